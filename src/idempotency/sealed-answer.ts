import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import type { Random } from "../base/random.ts";
import { StatusError } from "../base/status.ts";

const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** What a call is, for the purpose of repeating it. */
export interface Scope {
  readonly principalId: string;
  readonly operation: string;
  /** As the client sent it. */
  readonly key: string;
}

/** What the row of a scope is found by. Keyed with the installation's secret, so that a short key can't be guessed from it. */
export function scopeHash(secret: Buffer, scope: Scope): Buffer {
  const text = JSON.stringify([scope.principalId, scope.operation, scope.key]);
  return createHmac("sha256", secret).update(text).digest();
}

/** Seals an answer so that it opens only with the installation's secret and the client's own key. */
export function sealAnswer(secret: Buffer, scope: Scope, answer: Uint8Array, random: Random): Buffer {
  const iv = random.bytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", answerKey(secret, scope), iv);
  return Buffer.concat([iv, cipher.update(answer), cipher.final(), cipher.getAuthTag()]);
}

/** Throws INTERNAL when the bytes were sealed for another scope or were changed. */
export function openAnswer(secret: Buffer, scope: Scope, sealed: Buffer): Uint8Array {
  try {
    const decipher = createDecipheriv("aes-256-gcm", answerKey(secret, scope), sealed.subarray(0, IV_BYTES));
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const body = sealed.subarray(IV_BYTES, sealed.length - TAG_BYTES);
    return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
  } catch (cause) {
    throw new StatusError({
      code: "INTERNAL",
      reason: "INTERNAL",
      message: "The stored answer of this Idempotency-Key can't be opened. Use another key.",
      cause,
    });
  }
}

function answerKey(secret: Buffer, scope: Scope): Buffer {
  const info = JSON.stringify([scope.principalId, scope.operation]);
  return Buffer.from(hkdfSync("sha256", scope.key, secret, info, KEY_BYTES));
}
