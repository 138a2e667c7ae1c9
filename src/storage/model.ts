/** Types and pure rules of external storage. */
import { StatusError } from "../base/status.ts";

/** Smallest first. What each means in bytes is the operator's choice. */
export const TIERS = ["BRONZE", "SILVER", "GOLD"] as const;
export type Tier = (typeof TIERS)[number];

/** Bytes of each tier; 0 for one that is not offered. */
export type TierSizes = Readonly<Record<Tier, number>>;

export interface Bucket {
  readonly id: string;
  readonly userId: string;
  readonly tier: Tier;
  /** Prompts that were not used for so many days go. */
  readonly retentionDays: number;
  /** Since when prompts go for want of room; null while there is room. */
  readonly fullSince: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a bucket, or a model in it, held at the last look, over all places. */
export interface Use {
  readonly bytes: number;
  readonly states: number;
  readonly lastUsedAt: Date | null;
  /** Null before the first look. */
  readonly observedAt: Date | null;
}

export const NO_USE: Use = { bytes: 0, states: 0, lastUsedAt: null, observedAt: null };

export interface BucketView {
  readonly bucket: Bucket;
  readonly limitBytes: number;
  readonly use: Use;
}

export interface StoredModel {
  readonly modelId: string;
  readonly name: string;
  /** Its replicas use the bucket, from their next start on. */
  readonly attached: boolean;
  readonly use: Use;
}

/** A month: who has not gone on with a conversation by then has left it. */
export const RETENTION_DEFAULT_DAYS = 30;
/** A bucket has room again once it is this much emptier: one that is always just full is told of once. */
export const ROOM_SHARE = 0.8;
/** Rows of deleted buckets outlive the files by this, so that a place that was away for a while is cleaned, too. */
export const DELETED_KEPT_MS = 24 * 3_600_000;

/** The bytes of a tier that is offered. Throws STORAGE_UNAVAILABLE. */
export function sizeOf(sizes: TierSizes, tier: Tier): number {
  if (sizes[tier] > 0) return sizes[tier];
  const offered = TIERS.filter((each) => sizes[each] > 0);
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "STORAGE_UNAVAILABLE",
    message:
      offered.length === 0
        ? "This installation offers no external storage. Its operator can: SLIPWAY_STORAGE_BRONZE_GIB and its like."
        : `This installation offers no storage of tier ${tier}. Choose ${offered.join(" or ")}.`,
  });
}

export function bucketMissing(): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "STORAGE_NOT_FOUND",
    message: "This user has no external storage. Make it with POST /v1/storage or `slipway storage create`.",
  });
}
