import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { type Principal, principalThrough, signIn } from "../identity/index.ts";
import type { IssuerKeys } from "./issuer-keys.ts";
import { verifiedTokens } from "./verified-tokens.ts";
import { type TokenRules, type VerifiedToken, verifyToken } from "./verify-token.ts";

export interface OidcDeps {
  readonly rules: TokenRules;
  readonly keys: IssuerKeys;
  /** Subjects of the issuer that are SUPER_ADMIN for as long as they are listed. */
  readonly adminSubjects: readonly string[];
}

/** The caller behind a JWT. Throws TOKEN_INVALID, TOKEN_EXPIRED, USER_DISABLED, or UNAVAILABLE while the issuer is down. */
export type OidcAuthenticate = (ctx: DbCtx, token: string) => Promise<Principal>;

/** Lets in whoever holds an access token of the issuer. The first valid token of a subject makes its user. */
export function createOidcAuthenticate(deps: OidcDeps): OidcAuthenticate {
  const recent = verifiedTokens();
  return async (ctx, token) => {
    const nowMs = ctx.clock.monotonicMs();
    let verified = recent.find(token, nowMs);
    if (verified) {
      requireUnexpired(ctx, verified, deps.rules.clockSkewMs);
    } else {
      verified = await verifyToken(ctx, token, deps);
      recent.keep(token, verified, nowMs);
    }
    const { subject, scopes, profile } = verified;
    // Read every time: a user who was disabled or demoted a moment ago is that now.
    const user = await signIn(ctx, {
      ...profile,
      identity: { issuer: deps.rules.issuer, subject },
      superAdmin: deps.adminSubjects.includes(subject),
    });
    // Tokens of one user come and go by the minute; limits count them as one.
    return principalThrough(user, { id: `jwt:${user.id}`, scopes });
  };
}

function requireUnexpired(ctx: DbCtx, { expiresAt }: VerifiedToken, clockSkewMs: number): void {
  if (expiresAt.getTime() + clockSkewMs > ctx.clock.now().getTime()) return;
  throw new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_EXPIRED",
    message: "The access token has expired. Refresh it, or log in again (`slipway login`).",
  });
}
