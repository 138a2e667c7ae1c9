import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { findUser, LOCAL_ISSUER, signIn, type User } from "../identity/index.ts";
import type { VerifiedToken } from "./verify-token.ts";

/**
 * Users of an issuer that is not ours: (issuer, subject), made at the first valid token. `adminSubjects` are SUPER_ADMIN for
 * as long as they are listed.
 */
export function usersOfIssuer(issuer: string, adminSubjects: readonly string[]) {
  return (ctx: DbCtx, { subject, profile }: VerifiedToken): Promise<User> =>
    signIn(ctx, {
      ...profile,
      identity: { issuer, subject },
      superAdmin: adminSubjects.includes(subject),
    });
}

/** Users of our own provider, whose subjects are the ids of users that were made here. Throws TOKEN_INVALID. */
export async function localUser(ctx: DbCtx, { subject }: VerifiedToken): Promise<User> {
  const user = await findUser(ctx, subject);
  if (user?.issuer === LOCAL_ISSUER) return user;
  throw new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_INVALID",
    message:
      "The access token is refused: its user is not one of this installation. Log in again (`slipway login`).",
  });
}
