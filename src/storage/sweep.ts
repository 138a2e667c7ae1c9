/** What is on disk brought down to what may be there, and written down. Safe to repeat, and to be cut off anywhere. */
import { type DbCtx, withTransaction } from "../db/db.ts";
import { findModels } from "../models/index.ts";
import type { Driver, DriverStorage, StorageRule, StoredPart } from "../providers/driver.ts";
import { type Bucket, DELETED_KEPT_MS, ROOM_SHARE } from "./model.ts";
import type { StorageDeps } from "./ports.ts";
import { forgetDeleted, markFull, replaceUse, selectBuckets, selectDetached } from "./store.ts";

const DAY_MS = 24 * 3_600_000;

/** One pass over all places. A place that can't be looked at keeps what is known of it. */
export async function sweepStorage(ctx: DbCtx, deps: StorageDeps): Promise<void> {
  for (const driver of deps.drivers) {
    if (!driver.storage) continue;
    try {
      await sweepPlace(ctx, deps, driver, driver.storage);
    } catch (error) {
      ctx.log.warn({ err: error, driver: driver.name }, "a place's storage could not be swept");
    }
  }
  await forgetDeleted(ctx, new Date(ctx.clock.now().getTime() - DELETED_KEPT_MS));
}

async function sweepPlace(
  ctx: DbCtx,
  deps: StorageDeps,
  driver: Driver,
  storage: DriverStorage,
): Promise<void> {
  // Looked first and asked then: what is on disk was allowed before it was made, so nothing new is taken for a stray.
  const found = await storage.list(ctx);
  const buckets = await selectBuckets(ctx, [...new Set(found.map((part) => part.bucketId))]);
  const evicted = await storage.trim(ctx, await rulesFor(ctx, deps, found, buckets));
  const left = await storage.list(ctx);
  await withTransaction(ctx, (tx) => replaceUse(tx, driver.name, left));
  for (const bucket of buckets) {
    const bytes = left
      .filter((part) => part.bucketId === bucket.id)
      .reduce((sum, part) => sum + part.bytes, 0);
    await tellFull(ctx, deps, bucket, { evicted: (evicted.get(bucket.id) ?? 0) > 0, bytes });
  }
}

/** A rule for each bucket that was found; of those that are gone nothing may stay. */
async function rulesFor(
  ctx: DbCtx,
  deps: StorageDeps,
  found: readonly StoredPart[],
  buckets: readonly Bucket[],
): Promise<readonly StorageRule[]> {
  const modelIds = [...new Set(found.map((part) => part.modelId))];
  const [models, detached] = await Promise.all([findModels(ctx, modelIds), selectDetached(ctx, modelIds)]);
  const now = ctx.clock.now().getTime();
  return [...new Set(found.map((part) => part.bucketId))].map((bucketId) => {
    const bucket = buckets.find((each) => each.id === bucketId);
    if (!bucket) return { bucketId, limitBytes: 0, usedSince: new Date(now), modelIds: [] };
    const out = detached.filter((one) => one.bucketId === bucketId).map((one) => one.modelId);
    return {
      bucketId,
      limitBytes: deps.tiers[bucket.tier],
      usedSince: new Date(now - bucket.retentionDays * DAY_MS),
      modelIds: models
        .filter((model) => model.userId === bucket.userId && !out.includes(model.modelId))
        .map((model) => model.modelId),
    };
  });
}

/** The owner is told once, until there is room again. */
async function tellFull(
  ctx: DbCtx,
  deps: StorageDeps,
  bucket: Bucket,
  now: { readonly evicted: boolean; readonly bytes: number },
): Promise<void> {
  const limitBytes = deps.tiers[bucket.tier];
  if (now.evicted && bucket.fullSince === null) {
    await withTransaction(ctx, async (tx) => {
      if (!(await markFull(tx, bucket.id, tx.clock.now()))) return;
      await deps.full(tx, { userId: bucket.userId, storageId: bucket.id, limitBytes });
    });
  }
  if (!now.evicted && bucket.fullSince !== null && now.bytes < limitBytes * ROOM_SHARE) {
    await withTransaction(ctx, (tx) => markFull(tx, bucket.id, null));
  }
}
