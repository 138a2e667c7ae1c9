import { type DbCtx, withTransaction } from "../db/db.ts";
import { viewOf } from "./get-bucket.ts";
import { type BucketView, bucketMissing, sizeOf, type Tier } from "./model.ts";
import type { StorageDeps } from "./ports.ts";
import { lockBucket, updateBucketRow } from "./store.ts";

export interface BucketChange {
  readonly userId: string;
  /** Undefined leaves it. */
  readonly tier: Tier | undefined;
  /** 0 leaves it. */
  readonly retentionDays: number;
}

/** Changes what is given. Throws STORAGE_NOT_FOUND, STORAGE_UNAVAILABLE. */
export function updateBucket(
  ctx: DbCtx,
  deps: Pick<StorageDeps, "tiers">,
  change: BucketChange,
): Promise<BucketView> {
  return withTransaction(ctx, async (tx) => {
    const bucket = await lockBucket(tx, change.userId);
    if (!bucket) throw bucketMissing();
    const tier = change.tier ?? bucket.tier;
    // A tier that is offered no more may be kept, and not chosen.
    if (tier !== bucket.tier) sizeOf(deps.tiers, tier);
    const retentionDays = change.retentionDays || bucket.retentionDays;
    const updated = await updateBucketRow(tx, bucket.id, { tier, retentionDays, at: tx.clock.now() });
    return viewOf(tx, deps, updated);
  });
}
