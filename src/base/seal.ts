import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { StatusError } from "./status.ts";

/**
 * Encryption at rest: AES-256-GCM under a key derived from the installation's secret and a purpose, so that a value sealed
 * for one purpose can't be opened, or moved into a row, of another.
 */
export interface SecretBox {
  /** `purpose` names the kind of secret; `owner` binds the sealed bytes to their row. */
  seal(purpose: string, owner: string, plain: string): Buffer;
  /** Throws INTERNAL when the bytes were sealed under another key, purpose or owner, or were changed. */
  open(purpose: string, owner: string, sealed: Uint8Array): string;
  /** A key for another use (HMAC of cache salts, page tokens …), always the same for the same purpose. */
  derive(purpose: string): Buffer;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** A box under `secret` (32 random bytes, or any operator's text of at least 32 characters). */
export function secretBox(secret: string | Uint8Array): SecretBox {
  const keys = new Map<string, Buffer>();
  const derive = (purpose: string): Buffer => {
    let key = keys.get(purpose);
    if (!key) {
      key = Buffer.from(hkdfSync("sha256", secret, "slipway", purpose, KEY_BYTES));
      keys.set(purpose, key);
    }
    return key;
  };
  return {
    derive,
    seal(purpose, owner, plain) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", derive(purpose), iv).setAAD(Buffer.from(owner));
      return Buffer.concat([iv, cipher.update(plain, "utf8"), cipher.final(), cipher.getAuthTag()]);
    },
    open(purpose, owner, sealed) {
      const bytes = Buffer.from(sealed);
      try {
        const decipher = createDecipheriv("aes-256-gcm", derive(purpose), bytes.subarray(0, IV_BYTES))
          .setAAD(Buffer.from(owner))
          .setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
        const body = bytes.subarray(IV_BYTES, bytes.length - TAG_BYTES);
        return Buffer.concat([decipher.update(body), decipher.final()]).toString("utf8");
      } catch (cause) {
        throw new StatusError({
          code: "INTERNAL",
          reason: "INTERNAL",
          message: "A stored secret can't be opened with this installation's key.",
          cause,
        });
      }
    },
  };
}
