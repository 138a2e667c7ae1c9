import { StatusError } from "../base/status.ts";
import type { TxCtx } from "../db/db.ts";
import { mayReach } from "./access.ts";
import type { ApiKey, Principal } from "./model.ts";
import { lockInferenceKey } from "./store/inference-keys.ts";

export interface KeyInput {
  readonly principal: Principal;
  readonly keyId: string;
}

/**
 * A key that the caller may change, locked. Throws KEY_NOT_FOUND, also for another's key where the caller is no
 * administrator: ids of keys tell nothing about who exists.
 */
export async function ownedKey(tx: TxCtx, { principal, keyId }: KeyInput): Promise<ApiKey> {
  const key = await lockInferenceKey(tx, keyId);
  if (key && mayReach(tx, principal, key.userId)) return key;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "KEY_NOT_FOUND",
    message: `There is no key ${keyId}. List the keys with GET /v1/users/api-keys.`,
  });
}
