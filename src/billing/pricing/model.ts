/** Prices have versions; a version is never changed, and takes over at its validFrom. */
import type { SavingsPlan } from "../../base/gpu-savings.ts";
import { nanosForTokens } from "../../base/money.ts";
import type { GpuType } from "../../engines/engine.ts";

export type Provider = "ONPREM" | "NEBIUS" | "LAMBDA" | "YOTTA";

/** Bounds what any sum of tokens or hours can come to: a million units for an hour or a million tokens. */
export const PRICE_MAX_NANOS = 1_000_000n * 1_000_000_000n;

/** The version of a GPU price that is in force: of one GPU for an hour, or of one replica on CPUs. */
export interface GpuPrice extends SavingsPlan {
  readonly versionId: string;
  readonly currency: string;
  readonly nanosPerHour: bigint;
}

export interface GpuPriceVersion extends GpuPrice {
  readonly provider: Provider;
  /** "" = every region of the provider that has no price of its own. */
  readonly region: string;
  readonly gpuType: GpuType;
  readonly validFrom: Date;
  /** In force at the time of the question. */
  readonly active: boolean;
  /** True: from its validFrom on there is no price. */
  readonly removed: boolean;
}

export interface TokenPrice {
  readonly versionId: string;
  readonly currency: string;
  readonly inputNanosPerMillion: bigint;
  readonly cachedNanosPerMillion: bigint;
  readonly outputNanosPerMillion: bigint;
}

export interface TokenPriceVersion extends TokenPrice {
  readonly servedName: string;
  readonly validFrom: Date;
  readonly active: boolean;
  /** True: from its validFrom on there is no price. */
  readonly removed: boolean;
}

export interface TokenCounts {
  readonly promptTokens: bigint;
  /** Part of promptTokens. */
  readonly cachedTokens: bigint;
  readonly completionTokens: bigint;
}

/** What a request costs: input that was not cached, cached input and output, floored once. */
export function tokenCharge(price: TokenPrice, counts: TokenCounts): bigint {
  return nanosForTokens([
    { tokens: counts.promptTokens - counts.cachedTokens, nanosPerMillion: price.inputNanosPerMillion },
    { tokens: counts.cachedTokens, nanosPerMillion: price.cachedNanosPerMillion },
    { tokens: counts.completionTokens, nanosPerMillion: price.outputNanosPerMillion },
  ]);
}

/** What the cached tokens would have cost as input. */
export function tokenSaving(price: TokenPrice, counts: TokenCounts): bigint {
  return nanosForTokens([{ tokens: counts.cachedTokens, nanosPerMillion: price.inputNanosPerMillion }]);
}

/** Price of a whole replica for an hour; a CPU replica (no GPUs) is priced as one. */
export function replicaNanosPerHour(price: GpuPrice, gpuCount: number): bigint {
  return price.nanosPerHour * BigInt(Math.max(1, gpuCount));
}
