import { recordAudit } from "../audit/index.ts";
import { type DbCtx, notify, withTransaction } from "../db/db.ts";
import { type KeyInput, ownedKey } from "./owned-key.ts";
import { updateKeyDeleted } from "./store/inference-keys.ts";

/** Deletes a key; it stops opening anything within seconds. A repeat changes nothing. Throws KEY_NOT_FOUND. */
export function deleteApiKey(ctx: DbCtx, input: KeyInput): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    const key = await ownedKey(tx, input);
    await updateKeyDeleted(tx, key.id, tx.clock.now());
    await notify(tx, "slipway_routes", `key:${key.id}`);
    await recordAudit(tx, { action: "key.deleted", subjectId: key.userId, resource: `api_key:${key.id}` });
  });
}
