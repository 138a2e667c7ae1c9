/** Where the wire's words for storage meet ours. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  StorageModelSchema,
  StorageSchema,
  StorageTierOfferSchema,
  type Storage as WireStorage,
  StorageTier as WireTier,
} from "../../gen/slipway/storage/v1/storage_service_pb.js";
import { type BucketView, type StoredModel, TIERS, type Tier, type TierSizes } from "./model.ts";

const TIER: Readonly<Record<Tier, WireTier>> = {
  BRONZE: WireTier.BRONZE,
  SILVER: WireTier.SILVER,
  GOLD: WireTier.GOLD,
};

/** Undefined for UNSPECIFIED. The edge has refused undefined values. */
export function tierFromWire(tier: WireTier): Tier | undefined {
  return TIERS.find((known) => TIER[known] === tier);
}

export function storageToWire({ bucket, limitBytes, use }: BucketView): WireStorage {
  return create(StorageSchema, {
    storageId: bucket.id,
    userId: bucket.userId,
    tier: TIER[bucket.tier],
    limitBytes: BigInt(limitBytes),
    usedBytes: BigInt(use.bytes),
    promptCount: BigInt(use.states),
    retentionDays: bucket.retentionDays,
    ...(use.observedAt && { observedAt: timestampFromDate(use.observedAt) }),
    createdAt: timestampFromDate(bucket.createdAt),
    updatedAt: timestampFromDate(bucket.updatedAt),
  });
}

export function storedModelToWire({ modelId, name, attached, use }: StoredModel) {
  return create(StorageModelSchema, {
    ...{ modelId, modelName: name, attached },
    usedBytes: BigInt(use.bytes),
    promptCount: BigInt(use.states),
    ...(use.lastUsedAt && { lastUsedAt: timestampFromDate(use.lastUsedAt) }),
  });
}

export function offersToWire(sizes: TierSizes) {
  return TIERS.filter((tier) => sizes[tier] > 0).map((tier) =>
    create(StorageTierOfferSchema, { tier: TIER[tier], limitBytes: BigInt(sizes[tier]) }),
  );
}
