/** The terms of use that an operator may ask users to accept before they deploy, change or restart models or make keys. */
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { getUser } from "./find-user.ts";
import type { User } from "./model.ts";

export interface Terms {
  /** Version in force. An acceptance of another one does not count. */
  readonly version: string;
  /** Where they can be read; "" where the operator named no place. */
  readonly url: string;
}

/** Whether the user has accepted the version in force. */
export function hasAccepted(terms: Terms, user: User): boolean {
  return user.tosAcceptedAt !== null && user.tosAcceptedVersion === terms.version;
}

/** What stands between the user and whatever needs accepted terms; undefined where nothing does. Throws USER_NOT_FOUND. */
export async function termsProblem(
  ctx: DbCtx,
  terms: Terms | undefined,
  userId: string,
): Promise<StatusError | undefined> {
  if (terms === undefined || hasAccepted(terms, await getUser(ctx, userId))) return undefined;
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOS_NOT_ACCEPTED",
    message: `This account has not accepted ${named(terms)}. Its user accepts them with POST /v1/users/accept-tos.`,
    metadata: { version: terms.version, ...(terms.url === "" ? {} : { url: terms.url }) },
  });
}

/** Throws TOS_NOT_ACCEPTED, USER_NOT_FOUND. */
export async function requireTerms(ctx: DbCtx, terms: Terms | undefined, userId: string): Promise<void> {
  const problem = await termsProblem(ctx, terms, userId);
  if (problem) throw problem;
}

/** The terms in words, with where to read them. */
export function named(terms: Terms): string {
  return `version ${terms.version} of the terms of use${terms.url === "" ? "" : ` (${terms.url})`}`;
}
