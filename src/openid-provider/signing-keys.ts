import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK } from "jose";
import type { SecretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";
import { SIGNING_ALGORITHM } from "./clients.ts";
import { insertSigningKey, type SealedKey, selectSigningKeys } from "./store/signing-keys.ts";

const SEAL_PURPOSE = "oidc-signing-key";
/** A key that leaked unnoticed is of no more use some time after. */
const ROTATE_AFTER_MS = 90 * 24 * 3_600_000;
/** Every process looks this often whether there are other keys. */
export const REFRESH_KEYS_MS = 15 * 60_000;
/** A new key is published for so long before it signs: by then every process serves it. */
const LEAD_MS = 4 * REFRESH_KEYS_MS;
/** Tokens of the key before the last have expired long ago. */
const KEYS_MAX = 5;

/** Private keys, the one that signs first. Makes the first one, and the next one some time before the last is to be replaced. */
export async function signingKeys(ctx: DbCtx, box: SecretBox): Promise<readonly JWK[]> {
  const [newest] = await selectSigningKeys(ctx, 1);
  const now = ctx.clock.now();
  if (!newest || now.getTime() - newest.createdAt.getTime() >= ROTATE_AFTER_MS - LEAD_MS) {
    // Two processes that look at once make one each; both are known to both.
    await insertSigningKey(ctx, await newKey(box, now));
  }
  const keys = await selectSigningKeys(ctx, KEYS_MAX);
  const isReady = (key: SealedKey) => now.getTime() - key.createdAt.getTime() >= LEAD_MS;
  const signer = keys.find(isReady) ?? keys.at(-1);
  const ordered = keys.toSorted((a, b) => Number(b === signer) - Number(a === signer));
  return ordered.map((key): JWK => JSON.parse(box.open(SEAL_PURPOSE, key.keyId, key.privateKey)));
}

/** The public halves, as they are now: other processes may have made some. */
export async function publicSigningKeys(ctx: DbCtx, box: SecretBox): Promise<JSONWebKeySet> {
  const keys = await selectSigningKeys(ctx, KEYS_MAX);
  return {
    keys: keys.map((key) => {
      const { d: _private, ...publicKey }: JWK = JSON.parse(
        box.open(SEAL_PURPOSE, key.keyId, key.privateKey),
      );
      return publicKey;
    }),
  };
}

async function newKey(box: SecretBox, createdAt: Date): Promise<SealedKey> {
  const { privateKey } = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const jwk = await exportJWK(privateKey);
  const keyId = await calculateJwkThumbprint(jwk);
  const whole = JSON.stringify({ ...jwk, kid: keyId, alg: SIGNING_ALGORITHM, use: "sig" });
  return { keyId, privateKey: box.seal(SEAL_PURPOSE, keyId, whole), createdAt };
}
