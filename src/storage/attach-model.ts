/** Which models use their owner's bucket: all that reuse prompts at all, but for those that are detached. */
import { type DbCtx, withTransaction } from "../db/db.ts";
import type { Principal } from "../identity/index.ts";
import { findVisible, noteModelEvent, type OwnedModel } from "../models/index.ts";
import { bucketMissing, NO_USE, type StoredModel } from "./model.ts";
import { deleteDetached, insertDetached, lockBucket, selectUses } from "./store.ts";

export interface ModelTarget {
  readonly principal: Principal;
  readonly modelId: string;
}

/** Takes a model out; what it keeps goes at the next sweep. Throws MODEL_NOT_FOUND, STORAGE_NOT_FOUND. */
export function detachModel(ctx: DbCtx, target: ModelTarget): Promise<StoredModel> {
  return change(ctx, target, "Taken out of external storage; what it kept there is removed.", insertDetached);
}

/** Lets a model in again, from its next start on. Throws MODEL_NOT_FOUND, STORAGE_NOT_FOUND. */
export function attachModel(ctx: DbCtx, target: ModelTarget): Promise<StoredModel> {
  return change(ctx, target, "Uses external storage again, from its next start on.", deleteDetached);
}

function change(
  ctx: DbCtx,
  target: ModelTarget,
  log: string,
  write: typeof insertDetached,
): Promise<StoredModel> {
  return withTransaction(ctx, async (tx) => {
    const model = await findVisible(tx, target);
    const bucket = await lockBucket(tx, model.userId);
    if (!bucket) throw bucketMissing();
    if (await write(tx, bucket.id, model.modelId)) {
      await noteModelEvent(tx, { modelId: model.modelId, event: { type: "UPDATED", log } });
    }
    const use = await selectUses(tx, bucket.id, [model.modelId]);
    return storedModel(model, write === insertDetached, use.get(model.modelId));
  });
}

export function storedModel(model: OwnedModel, detached: boolean, use = NO_USE): StoredModel {
  const { modelId, name, kvCacheEnabled } = model;
  return { modelId, name, attached: kvCacheEnabled && !detached, use };
}
