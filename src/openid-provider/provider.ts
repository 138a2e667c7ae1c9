import type { EventEmitter } from "node:events";
import type { JWK } from "jose";
import Provider, { type Configuration, errors } from "oidc-provider";
import type { SecretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";
import { findUser, LOCAL_ISSUER } from "../identity/index.ts";
import { artifactAdapter } from "./adapter.ts";
import { CLI_SCOPES, CLIENTS, SIGNING_ALGORITHM } from "./clients.ts";
import { ACCESS_TOKEN_S, loginIdOf } from "./login-id.ts";
import { deviceCodePage, deviceConfirmPage, deviceDonePage, errorPage } from "./pages/protocol-pages.ts";
import { MOUNTED_AT } from "./where.ts";

const MINUTE_S = 60;
const DAY_S = 24 * 3_600;
/** How long things hold, in seconds. Short where theft is likely, long where a person would have to log in again. */
const TTL = {
  AccessToken: ACCESS_TOKEN_S,
  AuthorizationCode: MINUTE_S,
  DeviceCode: 10 * MINUTE_S,
  Grant: 90 * DAY_S,
  IdToken: 10 * MINUTE_S,
  Interaction: 15 * MINUTE_S,
  RefreshToken: 30 * DAY_S,
  Session: 8 * 3_600,
} as const;
/** Scopes of the control plane's tokens. */
const RESOURCE_SCOPES = "slipway:read slipway:write slipway:admin";

export interface ProviderInput {
  readonly issuer: string;
  /** What tokens are for: the control plane's public address. */
  readonly audience: string;
  readonly keys: readonly JWK[];
  readonly box: SecretBox;
}

/** The library, set up: one client, short tokens, our storage and our pages. */
export function configuredProvider(ctx: DbCtx, input: ProviderInput): Provider {
  const provider = new Provider(input.issuer, configuration(ctx, input));
  // The headers that it believes then are ours: where we are reached is configured (see handle.ts).
  provider.proxy = true;
  provider.on("server_error", (_call, error) => ctx.log.error({ err: error }, "the OpenID provider failed"));
  // Without a listener the framework below writes to the console. Its types know only the library's own events.
  const below: EventEmitter = provider;
  below.on("error", (error: unknown) =>
    ctx.log.warn({ err: error }, "a request of the OpenID provider broke off"),
  );
  return provider;
}

function configuration(ctx: DbCtx, { issuer, audience, keys, box }: ProviderInput): Configuration {
  const secure = issuer.startsWith("https:");
  const cookie = { signed: true, httpOnly: true, sameSite: "lax", secure } as const;
  return {
    adapter: (kind) => artifactAdapter(ctx, box, kind),
    clients: [...CLIENTS],
    jwks: { keys: keys.map((key) => ({ ...key })) },
    enabledJWA: { idTokenSigningAlgValues: [SIGNING_ALGORITHM] },
    scopes: [...CLI_SCOPES],
    claims: { openid: ["sub"] },
    responseTypes: ["code"],
    clientAuthMethods: ["none"],
    extraTokenClaims: (_call, token) =>
      "grantId" in token && typeof token.grantId === "string" ? { sid: loginIdOf(token.grantId) } : undefined,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: TTL,
    cookies: {
      keys: [box.derive("oidc-cookies").toString("base64url")],
      long: { ...cookie, path: MOUNTED_AT },
      short: cookie,
    },
    interactions: { url: (_call, interaction) => `${MOUNTED_AT}/interaction/${interaction.uid}` },
    findAccount: async (_call, subject) => {
      const user = await findUser(ctx, subject);
      if (!user || user.issuer !== LOCAL_ISSUER || user.disabledAt !== null) return undefined;
      return { accountId: user.id, claims: () => ({ sub: user.id }) };
    },
    features: features(audience),
    renderError: (call, told) => {
      call.type = "html";
      call.body = errorPage(told.error, told.error_description ?? "");
    },
  };
}

function features(audience: string): NonNullable<Configuration["features"]> {
  return {
    devInteractions: { enabled: false },
    rpInitiatedLogout: { enabled: false },
    pushedAuthorizationRequests: { enabled: false },
    userinfo: { enabled: false },
    dPoP: { enabled: false },
    revocation: {
      enabled: true,
      allowedPolicy: (_call, client, token) => token.clientId === client.clientId,
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: (_call, resource) => {
        if (resource !== audience) throw new errors.InvalidTarget();
        return {
          scope: RESOURCE_SCOPES,
          audience,
          accessTokenFormat: "jwt",
          accessTokenTTL: TTL.AccessToken,
          jwt: { sign: { alg: SIGNING_ALGORITHM } },
        };
      },
    },
    deviceFlow: {
      enabled: true,
      deviceInfo: () => ({}),
      userCodeInputSource: (call, _form, _out, error) => {
        call.type = "html";
        call.body = deviceCodePage(formOf(call), error);
      },
      userCodeConfirmSource: (call, _form, _client, _device, userCode) => {
        call.type = "html";
        call.body = deviceConfirmPage(formOf(call), userCode);
      },
      successSource: (call) => {
        call.type = "html";
        call.body = deviceDonePage();
      },
    },
  };
}

/** Where a page of the device flow is sent, and the token by which it is known to be ours. */
function formOf(call: Parameters<NonNullable<Configuration["renderError"]>>[0]): {
  action: string;
  xsrf: string;
} {
  const state: unknown = call.oidc.session?.state;
  const xsrf = typeof state === "object" && state !== null && "secret" in state ? String(state.secret) : "";
  return { action: call.oidc.urlFor("code_verification"), xsrf };
}
