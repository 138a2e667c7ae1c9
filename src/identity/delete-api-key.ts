import { StatusError } from "../base/status.ts";
import { type DbCtx, notify, withTransaction } from "../db/db.ts";
import { mayReach } from "./access.ts";
import type { Principal } from "./model.ts";
import { selectInferenceKey, updateKeyDeleted } from "./store/inference-keys.ts";

/**
 * Deletes a key; it stops opening anything within seconds. A repeat changes nothing. Throws KEY_NOT_FOUND, also for
 * another's key where the caller is no administrator: ids of keys tell nothing about who exists.
 */
export function deleteApiKey(
  ctx: DbCtx,
  input: { readonly principal: Principal; readonly keyId: string },
): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    const key = await selectInferenceKey(tx, input.keyId);
    if (!key || !mayReach(input.principal, key.userId)) throw keyNotFound(input.keyId);
    await updateKeyDeleted(tx, key.id, tx.clock.now());
    await notify(tx, "slipway_routes", `key:${key.id}`);
  });
}

function keyNotFound(keyId: string): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "KEY_NOT_FOUND",
    message: `There is no key ${keyId}. List the keys with GET /v1/users/api-keys.`,
  });
}
