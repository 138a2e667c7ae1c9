/** Secrets of endpoints, and signatures as Standard Webhooks 1.0 says (https://www.standardwebhooks.com). */
import { createHmac } from "node:crypto";
import type { Random } from "../base/random.ts";
import type { SecretBox } from "../base/seal.ts";
import type { SealedSecrets } from "./model.ts";

const PURPOSE = "webhook-secret";
const PREFIX = "whsec_";
/** The specification asks for 24 to 64. */
const SECRET_BYTES = 32;

/** `whsec_` and base64, as its owner sees it once. */
export function newSecret(random: Random): string {
  return PREFIX + random.bytes(SECRET_BYTES).toString("base64");
}

/** Bound to its endpoint: moved into another row it does not open. */
export function sealSecret(box: SecretBox, endpointId: string, secret: string): Buffer {
  return box.seal(PURPOSE, endpointId, secret);
}

/** The secrets that messages are signed with now: the newest, and the former one until it ends. */
export function openSecrets(
  box: SecretBox,
  endpointId: string,
  sealed: SealedSecrets,
  now: Date,
): readonly string[] {
  const secret = box.open(PURPOSE, endpointId, sealed.secret);
  const { former, formerEndsAt } = sealed;
  if (former === null || formerEndsAt === null || formerEndsAt <= now) return [secret];
  return [secret, box.open(PURPOSE, endpointId, former)];
}

export interface Message {
  /** The same for every attempt and replay of an event. */
  readonly id: string;
  /** When this attempt is made. */
  readonly at: Date;
  readonly body: string;
}

/** The three headers of a message; one signature for each secret. */
export function signedHeaders(message: Message, secrets: readonly string[]): Record<string, string> {
  const timestamp = Math.floor(message.at.getTime() / 1_000).toString();
  const signed = `${message.id}.${timestamp}.${message.body}`;
  return {
    "webhook-id": message.id,
    "webhook-timestamp": timestamp,
    "webhook-signature": secrets.map((secret) => `v1,${signature(secret, signed)}`).join(" "),
  };
}

function signature(secret: string, signed: string): string {
  const key = Buffer.from(secret.slice(PREFIX.length), "base64");
  return createHmac("sha256", key).update(signed).digest("base64");
}
