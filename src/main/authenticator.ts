/** Who may call: machine tokens of ours, and access tokens of the configured issuer. */
import { createGuardedClient } from "../base/guarded-client.ts";
import type { DbCtx } from "../db/db.ts";
import { authenticate, type Principal } from "../identity/index.ts";
import { createOidcAuthenticate, issuerKeys, looksLikeJwt } from "../oidc/index.ts";
import type { Config } from "./config.ts";
import { VERSION } from "./version.ts";

export interface Authenticator {
  authenticate(ctx: DbCtx, bearer: string): Promise<Principal>;
  close(): Promise<void>;
}

export function authenticatorOf(config: Config): Authenticator {
  const issuer = config.SLIPWAY_OIDC_ISSUER;
  if (issuer === undefined) return { authenticate, close: async () => undefined };
  // The operator chose the issuer, so its host is allowed wherever it lies; hosts that it names must be public or listed.
  const client = createGuardedClient({
    allowed: [new URL(issuer).host, ...config.SLIPWAY_OIDC_HOSTS],
    userAgent: `slipway/${VERSION}`,
  });
  const byIssuer = createOidcAuthenticate({
    rules: {
      issuer,
      audience: config.SLIPWAY_OIDC_AUDIENCE ?? "",
      algorithms: config.SLIPWAY_OIDC_ALGORITHMS,
      clockSkewMs: config.SLIPWAY_OIDC_CLOCK_SKEW_SECONDS * 1_000,
    },
    keys: issuerKeys({ issuer, client }),
    adminSubjects: config.SLIPWAY_ADMIN_SUBJECTS,
  });
  return {
    authenticate: (ctx, bearer) => (looksLikeJwt(bearer) ? byIssuer(ctx, bearer) : authenticate(ctx, bearer)),
    close: client.close,
  };
}
