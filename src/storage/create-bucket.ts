import { StatusError } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { getUser } from "../identity/index.ts";
import { type Bucket, type BucketView, NO_USE, RETENTION_DEFAULT_DAYS, sizeOf, type Tier } from "./model.ts";
import type { StorageDeps } from "./ports.ts";
import { insertBucket } from "./store.ts";

export interface NewBucket {
  readonly userId: string;
  readonly tier: Tier;
  /** 0 for the default. */
  readonly retentionDays: number;
}

/** Makes a user's bucket. Throws USER_NOT_FOUND, STORAGE_EXISTS, STORAGE_UNAVAILABLE. */
export function createBucket(
  ctx: DbCtx,
  deps: Pick<StorageDeps, "tiers">,
  input: NewBucket,
): Promise<BucketView> {
  const limitBytes = sizeOf(deps.tiers, input.tier);
  return withTransaction(ctx, async (tx) => {
    const { id: userId } = await getUser(tx, input.userId);
    const now = tx.clock.now();
    const bucket: Bucket = {
      id: tx.random.uuid(),
      userId,
      tier: input.tier,
      retentionDays: input.retentionDays || RETENTION_DEFAULT_DAYS,
      fullSince: null,
      createdAt: now,
      updatedAt: now,
    };
    if (!(await insertBucket(tx, bucket))) throw exists();
    return { bucket, limitBytes, use: NO_USE };
  });
}

function exists(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "STORAGE_EXISTS",
    message: "This user has external storage already. Change its tier with PATCH /v1/storage.",
  });
}
