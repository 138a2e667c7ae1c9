import { invalidArgument, StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { atLeast, mayReach, notAllowed } from "./access.ts";
import type { Principal, User } from "./model.ts";
import { selectKnown, selectPlatformUser, selectUser, selectUsersByEmail } from "./store/users.ts";

/** The user, or undefined. */
export function findUser(ctx: DbCtx, userId: string): Promise<User | undefined> {
  return selectUser(ctx, userId);
}

/** The user; throws NOT_FOUND with USER_NOT_FOUND. For callers that may know who exists. */
export async function getUser(ctx: DbCtx, userId: string): Promise<User> {
  const user = await selectUser(ctx, userId);
  if (user) return user;
  throw notFound(userId);
}

/** Throws USER_NOT_FOUND, naming the first of the ids that is nobody's. For callers that may know who exists. */
export async function requireUsers(ctx: DbCtx, userIds: readonly string[]): Promise<void> {
  const known = new Set(await selectKnown(ctx, userIds));
  const missing = userIds.find((id) => !known.has(id));
  if (missing !== undefined) throw notFound(missing);
}

function notFound(userId: string): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "USER_NOT_FOUND",
    message: `There is no user ${userId}.`,
  });
}

/** The account that owns what this installation itself serves; undefined before the first administrator is made. */
export function platformUser(ctx: DbCtx): Promise<User | undefined> {
  return selectPlatformUser(ctx);
}

/**
 * A user's profile by id (one that the edge has granted), by e-mail or by both (which must name the same user). By e-mail, all
 * but their own is NOT_ALLOWED to non-administrators, whether it exists or not.
 */
export async function getUserProfile(
  ctx: DbCtx,
  principal: Principal,
  input: { readonly userId: string; readonly userEmail: string },
): Promise<User> {
  if (input.userEmail === "") return getUser(ctx, input.userId);
  if (!atLeast(principal.role, "ADMIN")) return ownProfile(ctx, principal, input.userEmail);
  const user = await byEmail(ctx, input.userEmail, input.userId);
  if (user && mayReach(ctx, principal, user.id)) return user;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "USER_NOT_FOUND",
    message: `There is no such user with the address ${input.userEmail}.`,
  });
}

async function ownProfile(ctx: DbCtx, principal: Principal, userEmail: string): Promise<User> {
  const self = await getUser(ctx, principal.userId);
  if (self.email.toLowerCase() === userEmail.toLowerCase()) return self;
  throw notAllowed("Only administrators may see another user.");
}

/** Most users with one address that are looked at: an address is not unique. */
const SAME_EMAIL_MAX = 100;

async function byEmail(ctx: DbCtx, email: string, userId: string): Promise<User | undefined> {
  const found = await selectUsersByEmail(ctx, email, SAME_EMAIL_MAX);
  if (userId !== "") return found.find((user) => user.id === userId);
  if (found.length > 1) {
    throw invalidArgument([
      { field: "user_email", description: `names ${found.length} users; ask for one of them by user_id` },
    ]);
  }
  return found[0];
}
