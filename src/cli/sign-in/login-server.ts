import { z } from "zod";
import { StatusError } from "../../base/status.ts";
import { UnreachableError } from "../../client/index.ts";
import type { CliIo } from "../io.ts";

/** Where the users of a control plane log in, and as which client the command line asks. */
export interface LoginServer {
  readonly issuer: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
  /** What tokens are asked for (RFC 8707); undefined where the issuer knows. */
  readonly resource: string | undefined;
}

const DEADLINE_MS = 15_000;
const METADATA_PATH = "/.well-known/oauth-protected-resource";

const shape = z.object({
  authorization_servers: z.array(z.url()).max(10),
  slipway_login: z
    .object({ client_id: z.string(), scopes: z.array(z.string()).max(50), resource: z.url().optional() })
    .optional(),
});

/** What the control plane says (RFC 9728); undefined where people don't log in. Throws UnreachableError. */
export async function loginServerOf(io: CliIo, apiUrl: string): Promise<LoginServer | undefined> {
  const signal = AbortSignal.any([io.interrupted, AbortSignal.timeout(DEADLINE_MS)]);
  const response = await io
    .fetch(`${apiUrl}${METADATA_PATH}`, { signal, redirect: "manual" })
    .catch((cause: unknown) => {
      if (io.interrupted.aborted) throw io.interrupted.reason;
      throw new UnreachableError(apiUrl, cause);
    });
  const found = shape.safeParse(await response.json().catch(() => undefined));
  if (!response.ok || !found.success) return undefined;
  const { authorization_servers: servers, slipway_login: login } = found.data;
  const [issuer] = servers;
  if (issuer === undefined || login === undefined) return undefined;
  return {
    issuer: requireSafe(issuer, apiUrl),
    clientId: login.client_id,
    scopes: login.scopes,
    resource: login.resource,
  };
}

/** A login that others can read is none, and a control plane elsewhere has no business with what listens on this machine. */
function requireSafe(issuer: string, apiUrl: string): string {
  const local = isLoopback(issuer);
  if (local ? isLoopback(apiUrl) : issuer.startsWith("https:")) return issuer;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "LOGIN_UNAVAILABLE",
    message: local
      ? `${apiUrl} sends its users to ${issuer}, on this machine. Its operator must set SLIPWAY_PUBLIC_URL.`
      : `${apiUrl} sends its users to ${issuer}, which is not https.`,
  });
}

function isLoopback(address: string): boolean {
  return ["127.0.0.1", "[::1]", "localhost"].includes(new URL(address).hostname);
}
