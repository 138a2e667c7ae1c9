/** Which control plane is asked, and with which token: flag, environment, stored login, quickstart, default. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { invalidArgument, StatusError } from "../base/status.ts";
import type { CliIo } from "./io.ts";
import { readLogins } from "./login-file.ts";
import { readTokenFile } from "./secret-input.ts";

const STORED = "stored login";
export const DEFAULT_API_URL = "http://127.0.0.1:8080";

/** Options that every command has. */
export interface CommonOptions {
  readonly apiUrl?: string;
  readonly tokenFile?: string;
  readonly output: "text" | "json" | "csv";
  readonly timeout: number;
}

/** Whether a command acts as a user or as the administrator, where the quickstart left tokens of both. */
export type Capacity = "user" | "admin";

export interface Settings {
  /** Without a slash at its end. */
  readonly apiUrl: string;
  /** "" where there is none. */
  readonly token: string;
  /** The token is of a stored login that refreshes itself: ask for it anew before each call. */
  readonly refreshes: boolean;
  /** Where the token came from, for people; never the token. */
  readonly tokenSource: string;
  /** Common base address of the gateway, where it is known. */
  readonly gatewayUrl: string | undefined;
  /** A key for inference with the catalogue, where it is known. */
  readonly apiKey: string | undefined;
}

const quickstartShape = z.object({
  apiUrl: z.string(),
  gatewayUrl: z.string(),
  adminToken: z.string(),
  userToken: z.string(),
  userKey: z.string().optional(),
});

/** Throws CONFIG_INVALID or INVALID_FIELD for settings that can't be used. Never refuses an absent token: `login` has none yet. */
export async function resolveSettings(
  io: CliIo,
  options: Pick<CommonOptions, "apiUrl" | "tokenFile">,
  capacity: Capacity,
): Promise<Settings> {
  const logins = await readLogins(io.configDir);
  const quickstart = await readQuickstart(io.installationDir);
  const apiUrl = checkedUrl(
    options.apiUrl ??
      given(io.env.SLIPWAY_API_URL) ??
      logins?.apiUrl ??
      quickstart?.apiUrl ??
      DEFAULT_API_URL,
    "api-url",
  );
  // A stored token goes to the control plane that it was stored for, and to no other.
  const login = logins?.logins[apiUrl];
  const local = quickstart && sameUrl(quickstart.apiUrl, apiUrl) ? quickstart : undefined;
  const found = await findToken(io, options.tokenFile, [
    [login?.token, STORED],
    [capacity === "admin" ? local?.adminToken : local?.userToken, "quickstart"],
  ]);
  const gatewayUrl = given(io.env.SLIPWAY_GATEWAY_URL) ?? login?.gatewayUrl ?? local?.gatewayUrl;
  return {
    apiUrl,
    ...found,
    refreshes: found.tokenSource === STORED && login?.session !== undefined,
    gatewayUrl: gatewayUrl === undefined ? undefined : checkedUrl(gatewayUrl, "SLIPWAY_GATEWAY_URL"),
    apiKey: given(io.env.SLIPWAY_API_KEY) ?? local?.userKey,
  };
}

async function findToken(
  io: CliIo,
  tokenFile: string | undefined,
  stored: readonly (readonly [token: string | undefined, source: string])[],
): Promise<{ token: string; tokenSource: string }> {
  if (tokenFile !== undefined)
    return { token: await readTokenFile(io, tokenFile), tokenSource: "--token-file" };
  const fromEnv = given(io.env.SLIPWAY_TOKEN);
  if (fromEnv !== undefined) return { token: fromEnv.trim(), tokenSource: "SLIPWAY_TOKEN" };
  for (const [token, tokenSource] of stored) {
    if (token !== undefined) return { token, tokenSource };
  }
  return { token: "", tokenSource: "none" };
}

/** Throws TOKEN_MISSING with the ways to get one. */
export function requireToken(settings: Settings): void {
  if (settings.token !== "") return;
  throw new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_MISSING",
    message: `There is no access token for ${settings.apiUrl}.`,
  });
}

async function readQuickstart(folder: string): Promise<z.infer<typeof quickstartShape> | undefined> {
  const text = await readFile(join(folder, "quickstart.json"), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return quickstartShape.parse(JSON.parse(text));
  } catch {
    return undefined; // of another version, or cut off: as good as none
  }
}

function given(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === "" ? undefined : value;
}

function sameUrl(a: string, b: string): boolean {
  return a.replace(/\/+$/, "") === b.replace(/\/+$/, "");
}

/** An http(s) address without slash, query or credentials (which would end up in logs). */
export function checkedUrl(text: string, field: string): string {
  const url = URL.parse(text);
  const usable = url && (url.protocol === "http:" || url.protocol === "https:") && url.username === "";
  if (!usable) {
    throw invalidArgument([{ field, description: "must be an http:// or https:// address without a user" }]);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}
