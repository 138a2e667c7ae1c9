/** The OAuth client, loaded only by commands that log in: most commands need none of it. */
import type * as Oauth from "openid-client";
import { StatusError } from "../../base/status.ts";
import { UnreachableError } from "../../client/index.ts";
import type { CliIo } from "../io.ts";
import type { LoginServer } from "./login-server.ts";

const TIMEOUT_S = 30;

export interface Issuer {
  readonly oauth: typeof Oauth;
  readonly config: Oauth.Configuration;
}

/** Tokens that the issuer gave. */
export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  readonly expiresAt: Date;
}

/** Where the issuer tells no lifetime: it is asked again soon. */
const LIFETIME_UNKNOWN_S = 300;

/** The issuer's metadata, read anew. */
export async function issuerOf(io: CliIo, server: Pick<LoginServer, "issuer" | "clientId">): Promise<Issuer> {
  const oauth = await import("openid-client");
  const insecure = server.issuer.startsWith("http:");
  const config = await told(server.issuer, io, () =>
    oauth.discovery(new URL(server.issuer), server.clientId, undefined, oauth.None(), {
      [oauth.customFetch]: (url, options) => io.fetch(url, fetchInit(io, options)),
      timeout: TIMEOUT_S,
      // Loopback only: other plain addresses were refused before.
      ...(insecure ? { execute: [oauth.allowInsecureRequests] } : {}),
    }),
  );
  return { oauth, config };
}

/** What tokens are asked for, as a parameter. */
export function resourceOf({ resource }: { readonly resource?: string | undefined }): Record<string, string> {
  return resource === undefined ? {} : { resource };
}

function fetchInit(
  io: CliIo,
  { body, headers, method, redirect, signal }: Oauth.CustomFetchOptions,
): RequestInit {
  const ended = signal === undefined ? io.interrupted : AbortSignal.any([io.interrupted, signal]);
  return {
    headers,
    method,
    redirect,
    signal: ended,
    ...(body === undefined ? {} : { body: body as NonNullable<RequestInit["body"]> }),
  };
}

export function tokensOf(
  io: CliIo,
  answer: Oauth.TokenEndpointResponse,
  known: string | undefined = undefined,
): Tokens {
  const lifetimeMs = (answer.expires_in ?? LIFETIME_UNKNOWN_S) * 1_000;
  return {
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token ?? known,
    expiresAt: new Date(io.clock.now().getTime() + lifetimeMs),
  };
}

/** Runs a call to the issuer; its refusals become ours, and never quote a token or code. */
export async function told<T>(issuer: string, io: CliIo, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (io.interrupted.aborted) throw io.interrupted.reason;
    if (error instanceof StatusError || error instanceof UnreachableError) throw error;
    const code = errorCode(error);
    if (code === undefined) throw new UnreachableError(issuer, causeOf(error));
    throw new StatusError({
      code: "UNAUTHENTICATED",
      reason: "LOGIN_FAILED",
      message: `${issuer} refused: ${code}. Begin again with \`slipway login\`.`,
      metadata: { error: code },
    });
  }
}

/** OAuth's own word for a refusal, such as `access_denied`; undefined when the issuer did not answer one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("error" in error)) return undefined;
  return typeof error.error === "string" && /^\w{1,50}$/.test(error.error) ? error.error : undefined;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? error.cause : error;
}
