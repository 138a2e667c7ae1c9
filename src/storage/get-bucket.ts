import type { DbCtx } from "../db/db.ts";
import { type Bucket, type BucketView, bucketMissing } from "./model.ts";
import type { StorageDeps } from "./ports.ts";
import { selectBucket, selectUse } from "./store.ts";

/** A user's bucket and how full it is. Throws STORAGE_NOT_FOUND. */
export async function getBucket(
  ctx: DbCtx,
  deps: Pick<StorageDeps, "tiers">,
  userId: string,
): Promise<BucketView> {
  const bucket = await selectBucket(ctx, userId);
  if (!bucket) throw bucketMissing();
  return viewOf(ctx, deps, bucket);
}

export async function viewOf(
  ctx: DbCtx,
  deps: Pick<StorageDeps, "tiers">,
  bucket: Bucket,
): Promise<BucketView> {
  return { bucket, limitBytes: deps.tiers[bucket.tier], use: await selectUse(ctx, bucket.id) };
}
