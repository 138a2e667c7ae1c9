import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK } from "jose";
import type { SecretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";
import { SIGNING_ALGORITHM } from "./clients.ts";
import { insertSigningKey, type SealedKey, selectSigningKeys } from "./store/signing-keys.ts";

const SEAL_PURPOSE = "oidc-signing-key";
/** A key that leaked unnoticed is of no more use some time after. */
const ROTATE_AFTER_MS = 90 * 24 * 3_600_000;
/** The newest signs. Another process may sign with an older one until it is started again; five quarters are enough for that. */
const KEYS_MAX = 5;

/** Private keys, the one that signs first. Makes the first one, and a new one when the last has become old. */
export async function signingKeys(ctx: DbCtx, box: SecretBox): Promise<readonly JWK[]> {
  const [newest] = await selectSigningKeys(ctx, 1);
  const now = ctx.clock.now();
  if (!newest || now.getTime() - newest.createdAt.getTime() >= ROTATE_AFTER_MS) {
    // Two processes that start at once make one each; both are known to both.
    await insertSigningKey(ctx, await newKey(box, now));
  }
  const keys = await selectSigningKeys(ctx, KEYS_MAX);
  return keys.map((key): JWK => JSON.parse(box.open(SEAL_PURPOSE, key.keyId, key.privateKey)));
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
