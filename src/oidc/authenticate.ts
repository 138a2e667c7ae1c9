import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { type Principal, principalThrough, type User } from "../identity/index.ts";
import type { IssuerKeys } from "./issuer-keys.ts";
import { verifiedTokens } from "./verified-tokens.ts";
import { type TokenRules, type VerifiedToken, verifyToken } from "./verify-token.ts";

export interface OidcDeps {
  readonly rules: TokenRules;
  readonly keys: IssuerKeys;
  /** Whether a login has ended before its tokens; absent where the issuer tells nobody. Asked at every call. */
  readonly hasEnded?: (ctx: DbCtx, loginId: string) => Promise<boolean>;
  /** The user that a verified token is of, as it is now. Asked at every call. */
  readonly userOf: (ctx: DbCtx, token: VerifiedToken) => Promise<User>;
}

/** The caller behind a JWT. Throws TOKEN_INVALID, TOKEN_EXPIRED, USER_DISABLED, or UNAVAILABLE while the issuer is down. */
export type OidcAuthenticate = (ctx: DbCtx, token: string) => Promise<Principal>;

/** Lets in whoever holds an access token of the issuer. */
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
    if (await deps.hasEnded?.(ctx, verified.loginId)) throw loginEnded();
    const user = await deps.userOf(ctx, verified);
    // Tokens of one user come and go by the minute; limits count them as one.
    return principalThrough(user, { id: `jwt:${user.id}`, scopes: verified.scopes });
  };
}

function loginEnded(): StatusError {
  return new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_EXPIRED",
    message: "The login of this access token has ended. Log in again (`slipway login`).",
  });
}

function requireUnexpired(ctx: DbCtx, { expiresAt }: VerifiedToken, clockSkewMs: number): void {
  if (expiresAt.getTime() + clockSkewMs > ctx.clock.now().getTime()) return;
  throw new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_EXPIRED",
    message: "The access token has expired. Refresh it, or log in again (`slipway login`).",
  });
}
