/**
 * Who may call, and how people come by a token: machine tokens of ours always; beside them the access tokens of the configured
 * issuer, or of the embedded provider where none is configured.
 */
import { createGuardedClient, type GuardedClient } from "../base/guarded-client.ts";
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { authenticate, type PasswordPage, type Principal } from "../identity/index.ts";
import {
  createOidcAuthenticate,
  fetchIssuerKeys,
  issuerKeys,
  localUser,
  looksLikeJwt,
  usersOfIssuer,
} from "../oidc/index.ts";
import {
  CLI_CLIENT_ID,
  CLI_SCOPES,
  createOpenIdProvider,
  type OpenIdProvider,
} from "../openid-provider/index.ts";
import type { Mount } from "../rpc/index.ts";
import type { Config } from "./config.ts";
import type { Installation } from "./installation.ts";
import { VERSION } from "./version.ts";

export interface Login {
  authenticate(ctx: DbCtx, bearer: string): Promise<Principal>;
  readonly mounts: readonly Mount[];
  /** Tells clients where their users log in (RFC 9728). */
  metadata(): Promise<ResourceMetadata>;
  readonly passwordPage: PasswordPage;
  /** The control plane listens at this address. Until then nobody can log in. */
  listening(apiUrl: string): void;
  close(): Promise<void>;
}

/** OAuth 2.0 Protected Resource Metadata, and with which client the command line logs in. */
export interface ResourceMetadata {
  readonly resource: string;
  readonly resource_name: string;
  readonly authorization_servers: readonly string[];
  readonly bearer_methods_supported: readonly string[];
  readonly scopes_supported: readonly string[];
  readonly slipway_login?: {
    readonly client_id: string;
    readonly scopes: readonly string[];
    /** What the command line asks for as `resource` (RFC 8707). */
    readonly resource?: string;
  };
}

export const METADATA_PATH = "/.well-known/oauth-protected-resource";

export function loginOf(installation: Installation): Login {
  const { config } = installation;
  return config.SLIPWAY_OIDC_ISSUER === undefined
    ? embeddedLogin(installation)
    : issuerLogin(config, config.SLIPWAY_OIDC_ISSUER);
}

function issuerLogin(config: Config, issuer: string): Login {
  const client = issuerClient(config, issuer);
  const audience = config.SLIPWAY_OIDC_AUDIENCE ?? "";
  const byIssuer = createOidcAuthenticate({
    rules: { issuer, audience, algorithms: config.SLIPWAY_OIDC_ALGORITHMS, clockSkewMs: skewMs(config) },
    keys: issuerKeys({ issuer, fetch: () => fetchIssuerKeys(client, issuer) }),
    userOf: usersOfIssuer(issuer, config.SLIPWAY_ADMIN_SUBJECTS),
  });
  const clientId = config.SLIPWAY_OIDC_CLIENT_ID;
  const wanted = config.SLIPWAY_OIDC_RESOURCE;
  const resource = wanted === undefined ? {} : { resource: wanted };
  const scopes = config.SLIPWAY_OIDC_SCOPES.split(" ").filter((scope) => scope !== "");
  return {
    authenticate: (ctx, bearer) => (looksLikeJwt(bearer) ? byIssuer(ctx, bearer) : authenticate(ctx, bearer)),
    mounts: [],
    metadata: async () => ({
      ...metadataOf(audience, issuer),
      ...(clientId === undefined ? {} : { slipway_login: { client_id: clientId, scopes, ...resource } }),
    }),
    passwordPage: async () => ({
      absentBecause: `Users log in at ${issuer}, and set their passwords there.`,
    }),
    listening: () => undefined,
    close: client.close,
  };
}

/** The operator chose the issuer, so its host is allowed wherever it lies; hosts that it names must be public or listed. */
export function issuerClient(config: Config, issuer: string): GuardedClient {
  return createGuardedClient({
    allowed: [new URL(issuer).host, ...config.SLIPWAY_OIDC_HOSTS],
    userAgent: `slipway/${VERSION}`,
  });
}

/** The provider is made once the address is known: it is part of everything that it says. */
function embeddedLogin({ ctx, box, config }: Installation): Login {
  const address = Promise.withResolvers<string>();
  const started = address.promise.then(async (publicUrl) => {
    if (!safeForPasswords(publicUrl)) throw unsafe();
    const provider = await createOpenIdProvider(ctx, { box, publicUrl });
    return { provider, byProvider: authenticateBy(provider, skewMs(config)) };
  });
  started.catch((error: unknown) =>
    ctx.log.warn({ err: error }, "people can't log in here; machine tokens can be used"),
  );
  return {
    async authenticate(call, bearer) {
      // Where nobody can log in a JWT is as unknown as any other text.
      const login = looksLikeJwt(bearer) ? await started.catch(() => undefined) : undefined;
      return login ? login.byProvider(call, bearer) : authenticate(call, bearer);
    },
    mounts: [{ prefix: "/oidc", ready: async () => (await started).provider.handle }],
    metadata: () =>
      started.then(
        ({ provider }) => ({
          ...metadataOf(provider.audience, provider.issuer),
          slipway_login: { client_id: CLI_CLIENT_ID, scopes: CLI_SCOPES },
        }),
        async () => metadataOf(await address.promise),
      ),
    passwordPage: () =>
      started.then(
        ({ provider }) => ({ url: provider.passwordUrl }),
        (error: unknown) => ({ absentBecause: StatusError.from(error).message }),
      ),
    listening: (apiUrl) => address.resolve(new URL(config.SLIPWAY_PUBLIC_URL ?? apiUrl).origin),
    close: async () => undefined,
  };
}

function authenticateBy(provider: OpenIdProvider, clockSkewMs: number) {
  const { issuer, audience, algorithms } = provider;
  return createOidcAuthenticate({
    rules: { issuer, audience, algorithms, clockSkewMs },
    keys: issuerKeys({ issuer, fetch: provider.publicKeys }),
    hasEnded: provider.hasEnded,
    userOf: localUser,
  });
}

function metadataOf(resource: string, issuer?: string): ResourceMetadata {
  return {
    resource,
    resource_name: "Slipway",
    authorization_servers: issuer === undefined ? [] : [issuer],
    bearer_methods_supported: ["header"],
    scopes_supported: ["slipway:read", "slipway:write", "slipway:admin"],
  };
}

function skewMs(config: Config): number {
  return config.SLIPWAY_OIDC_CLOCK_SKEW_SECONDS * 1_000;
}

/** Passwords and session cookies go over https, or never leave the machine. */
export function safeForPasswords(publicUrl: string): boolean {
  const { protocol, hostname } = new URL(publicUrl);
  return protocol === "https:" || ["127.0.0.1", "[::1]", "localhost"].includes(hostname);
}

function unsafe(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "LOGIN_UNAVAILABLE",
    message:
      "People can't log in here: the control plane's address is neither https nor loopback. The operator sets SLIPWAY_PUBLIC_URL to its https address, or SLIPWAY_OIDC_ISSUER.",
  });
}
