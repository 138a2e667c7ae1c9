import type { DbCtx } from "../db/db.ts";
import type { ReplicaStorage } from "../providers/driver.ts";
import type { StorageDeps } from "./ports.ts";
import { selectBucket, selectDetached } from "./store.ts";

/** Where a model's replicas keep what they evaluate; undefined where its owner has no bucket, or detached it. */
export async function storagePartOf(
  ctx: DbCtx,
  deps: Pick<StorageDeps, "tiers">,
  model: { readonly userId: string; readonly modelId: string },
): Promise<ReplicaStorage | undefined> {
  const bucket = await selectBucket(ctx, model.userId);
  if (!bucket || deps.tiers[bucket.tier] === 0) return undefined;
  const detached = await selectDetached(ctx, [model.modelId]);
  if (detached.some((one) => one.bucketId === bucket.id)) return undefined;
  return { bucketId: bucket.id, modelId: model.modelId, limitBytes: deps.tiers[bucket.tier] };
}
