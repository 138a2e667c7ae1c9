import type { IncomingMessage, ServerResponse } from "node:http";
import type { JSONWebKeySet } from "jose";
import type { SecretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";
import { SIGNING_ALGORITHM } from "./clients.ts";
import { currentWeb } from "./current-web.ts";
import { endedLogins } from "./ended-logins.ts";
import { handle } from "./handle.ts";
import { publicSigningKeys } from "./signing-keys.ts";
import { issuerAt, MOUNTED_AT, passwordPageAt } from "./where.ts";

export interface OpenIdProviderDeps {
  readonly box: SecretBox;
  /** Where browsers and clients reach the control plane: an origin, https or loopback. */
  readonly publicUrl: string;
}

export interface OpenIdProvider {
  readonly issuer: string;
  /** The audience of its access tokens. */
  readonly audience: string;
  readonly algorithms: readonly string[];
  readonly passwordUrl: string;
  /** Everything below this path is for `handle`. */
  readonly mountedAt: string;
  /** Its public keys, those that other processes made included. */
  publicKeys(): Promise<JSONWebKeySet>;
  /** Whether the login that an access token came from has ended, as of a few seconds ago. */
  hasEnded(ctx: DbCtx, loginId: string): Promise<boolean>;
  /** Answers one request. Its body has not been read; `address` is the caller's. */
  handle(request: IncomingMessage, response: ServerResponse, address: string): Promise<void>;
}

/** The provider of one control plane; makes its signing key where there is none. */
export async function createOpenIdProvider(ctx: DbCtx, deps: OpenIdProviderDeps): Promise<OpenIdProvider> {
  const { box, publicUrl } = deps;
  const issuer = issuerAt(publicUrl);
  const web = await currentWeb({ ctx, box, publicUrl, issuer, audience: publicUrl });
  return {
    issuer,
    audience: publicUrl,
    algorithms: [SIGNING_ALGORITHM],
    passwordUrl: passwordPageAt(publicUrl),
    mountedAt: MOUNTED_AT,
    publicKeys: () => publicSigningKeys(ctx, box),
    hasEnded: endedLogins(),
    handle: async (request, response, address) => handle(await web(), request, response, address),
  };
}
