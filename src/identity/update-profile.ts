import { invalidArgument } from "../base/status.ts";
import { hidesSomething } from "../base/visible-text.ts";
import type { DbCtx } from "../db/db.ts";
import { requireProfileRightsOver } from "./access.ts";
import { getUser } from "./find-user.ts";
import type { Principal, User } from "./model.ts";
import { updateUser } from "./store/users.ts";

export interface ProfileChange {
  readonly principal: Principal;
  /** Whose profile. */
  readonly userId: string;
  /** Undefined stays as it is, "" is cleared. */
  readonly firstName: string | undefined;
  readonly lastName: string | undefined;
  readonly displayName: string | undefined;
  readonly company: string | undefined;
}

/**
 * Changes what is known of a user. An e-mail address is not among it: that is the issuer's word. Throws NOT_ALLOWED
 * where the user ranks higher than an administrator who asks, USER_NOT_FOUND, and INVALID_FIELD for a name with characters that
 * nobody sees: support reads it beside what the user writes.
 */
export async function updateProfile(ctx: DbCtx, input: ProfileChange): Promise<User> {
  const { principal, firstName, lastName, displayName, company } = input;
  requireVisible({ first_name: firstName, last_name: lastName, display_name: displayName, company });
  const user = await getUser(ctx, input.userId);
  requireProfileRightsOver(principal, user);
  return (await updateUser(ctx, user.id, { firstName, lastName, displayName, company })) ?? user;
}

function requireVisible(names: Readonly<Record<string, string | undefined>>): void {
  const violations = Object.entries(names)
    .filter(([, name]) => name !== undefined && hidesSomething(name))
    .map(([field]) => ({ field, description: "must have no characters that nobody sees" }));
  if (violations.length > 0) throw invalidArgument(violations);
}
