import type { JSONWebKeySet } from "jose";
import { z } from "zod";
import type { GuardedClient } from "../base/guarded-client.ts";
import { StatusError } from "../base/status.ts";

const DEADLINE_MS = 5_000;
/** Metadata and keys of the largest issuers are some tens of KiB. */
const DOCUMENT_BYTES_MAX = 256 * 1024;
/** Issuers publish a handful; each costs memory and time to try. */
const KEYS_MAX = 100;

const metadataShape = z.object({ issuer: z.string(), jwks_uri: z.url() });
const keysShape = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(KEYS_MAX) });

/**
 * The issuer's public signing keys, found by its metadata. Throws UNAVAILABLE, DEADLINE, BODY_TOO_LARGE or URL_REFUSED, and
 * CONFIG_INVALID when what is there is not the metadata of this issuer.
 */
export async function fetchIssuerKeys(client: GuardedClient, issuer: string): Promise<JSONWebKeySet> {
  const metadata = metadataShape.safeParse(await fetchJson(client, metadataUrl(issuer)));
  if (!metadata.success || metadata.data.issuer !== issuer) {
    throw unusable(`The metadata at ${metadataUrl(issuer)} is not that of the issuer ${issuer}.`);
  }
  const { jwks_uri: keysUrl } = metadata.data;
  if (issuer.startsWith("https:") && !keysUrl.startsWith("https:")) {
    throw unusable(`The metadata of ${issuer} names keys that are not behind https.`);
  }
  const found = keysShape.safeParse(await fetchJson(client, keysUrl));
  if (!found.success)
    throw unusable(`The keys of ${issuer} are not a JSON Web Key Set of at most ${KEYS_MAX} keys.`);
  // A shared secret among public keys is nobody's signature, and keys for encryption sign nothing.
  return { keys: found.data.keys.filter((key) => key.kty !== "oct" && key.use !== "enc") };
}

/** Where OpenID Connect Discovery 1.0, section 4, puts an issuer's metadata. */
export function metadataUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
}

async function fetchJson(client: GuardedClient, url: string): Promise<unknown> {
  const answer = await client.fetch({
    url,
    headers: { accept: "application/json" },
    redirectsMax: 0,
    deadlineMs: DEADLINE_MS,
    bodyBytesMax: DOCUMENT_BYTES_MAX,
  });
  if (answer.status !== 200) throw unusable(`${url} answered ${answer.status}.`);
  try {
    return JSON.parse(answer.body.toString("utf8"));
  } catch {
    throw unusable(`${url} is not JSON.`);
  }
}

function unusable(message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason: "CONFIG_INVALID", message });
}
