/** What receipts would have come to under other prices, another GPU or another cache: pure, in whole nanos. */
import { sharedSavings } from "./gpu-savings.ts";
import { nanosForDuration, nanosForTokens } from "./money.ts";
import { invalidArgument } from "./status.ts";

/** Speeds and shares are millionths, so that they are exact. */
export const MILLION = 1_000_000n;

/** What a receipt says, as far as this needs it. */
export interface CountedReceipt {
  readonly receiptId: string;
  readonly modelId: string;
  /** "" for GPU time. */
  readonly servedName: string;
  readonly currency: string;
  readonly chargeNanos: bigint;
  readonly usage: CountedTokens | CountedTime;
}

export interface CountedTokens {
  readonly kind: "tokens";
  /** False for the tokens of a deployment, which pays by the second: no price of tokens touches them. */
  readonly priced: boolean;
  readonly promptTokens: bigint;
  readonly cachedTokens: bigint;
  readonly completionTokens: bigint;
  readonly inputNanosPerMillion: bigint;
  readonly cachedNanosPerMillion: bigint;
  readonly outputNanosPerMillion: bigint;
}

export interface CountedTime {
  readonly kind: "gpu";
  readonly gpuCount: number;
  readonly chargedMs: bigint;
  /** Of the whole replica. */
  readonly nanosPerHour: bigint;
  /** What the cache is estimated to have saved, in millionths of the time, and the part of that which is paid. */
  readonly estimatePpm: bigint;
  readonly sharePpm: bigint;
}

/** What is different; what is left out stays as it was. */
export interface WhatIfChange {
  readonly inputNanosPerMillion?: bigint;
  readonly cachedNanosPerMillion?: bigint;
  readonly outputNanosPerMillion?: bigint;
  /** Of one GPU, or of a replica on CPUs. */
  readonly gpuNanosPerHour?: bigint;
  /** How fast the other GPU is, in millionths of the one that was used: 2,000,000 needs half the time. */
  readonly gpuSpeedPpm?: bigint;
  /** Share of the input that the cache would have had, in millionths; 0 for none. */
  readonly cacheHitPpm?: bigint;
}

/** One model, name and kind. */
export interface WhatIfLine {
  readonly modelId: string;
  readonly servedName: string;
  readonly kind: "tokens" | "gpu";
  readonly currency: string;
  readonly receipts: number;
  readonly chargedNanos: bigint;
  readonly computedNanos: bigint;
}

/**
 * The lines in the order of the receipts; a receipt that is there twice counts once, and one that no change touches counts as it was
 * charged. Throws INVALID_FIELD for a speed or a share that can't be.
 */
export function whatIf(receipts: Iterable<CountedReceipt>, change: WhatIfChange): readonly WhatIfLine[] {
  requireSound(change);
  const lines = new Map<string, WhatIfLine>();
  const seen = new Set<string>();
  for (const receipt of receipts) {
    if (seen.has(receipt.receiptId)) continue;
    seen.add(receipt.receiptId);
    const { modelId, servedName, currency, usage } = receipt;
    const key = JSON.stringify([usage.kind, modelId, servedName, currency]);
    const line = lines.get(key);
    lines.set(key, {
      ...{ modelId, servedName, currency, kind: usage.kind },
      receipts: (line?.receipts ?? 0) + 1,
      chargedNanos: (line?.chargedNanos ?? 0n) + receipt.chargeNanos,
      computedNanos: (line?.computedNanos ?? 0n) + computed(receipt, change),
    });
  }
  return [...lines.values()];
}

function computed({ usage, chargeNanos }: CountedReceipt, change: WhatIfChange): bigint {
  if (usage.kind === "gpu") return timeCharge(usage, change) ?? chargeNanos;
  return tokensCharge(usage, change) ?? chargeNanos;
}

/** Undefined where nothing changes. */
function timeCharge(usage: CountedTime, { gpuNanosPerHour, gpuSpeedPpm }: WhatIfChange): bigint | undefined {
  if (gpuNanosPerHour === undefined && gpuSpeedPpm === undefined) return undefined;
  const replica =
    gpuNanosPerHour === undefined
      ? usage.nanosPerHour
      : gpuNanosPerHour * BigInt(Math.max(1, usage.gpuCount));
  const time = nanosForDuration(replica, (usage.chargedMs * MILLION) / (gpuSpeedPpm ?? MILLION));
  return time + sharedSavings(usage, time, usage.estimatePpm).shareNanos;
}

function tokensCharge(usage: CountedTokens, change: WhatIfChange): bigint | undefined {
  const { inputNanosPerMillion, cachedNanosPerMillion, outputNanosPerMillion, cacheHitPpm } = change;
  const changes = [inputNanosPerMillion, cachedNanosPerMillion, outputNanosPerMillion, cacheHitPpm];
  if (!usage.priced || changes.every((one) => one === undefined)) return undefined;
  const cached =
    cacheHitPpm === undefined ? usage.cachedTokens : (usage.promptTokens * cacheHitPpm) / MILLION;
  return nanosForTokens([
    {
      tokens: usage.promptTokens - cached,
      nanosPerMillion: inputNanosPerMillion ?? usage.inputNanosPerMillion,
    },
    { tokens: cached, nanosPerMillion: cachedNanosPerMillion ?? usage.cachedNanosPerMillion },
    {
      tokens: usage.completionTokens,
      nanosPerMillion: outputNanosPerMillion ?? usage.outputNanosPerMillion,
    },
  ]);
}

/** A GPU a thousand times faster or slower is a slip of the pen. */
const SPEED_MAX_PPM = 1_000n * MILLION;
const SPEED_MIN_PPM = MILLION / 1_000n;

function requireSound({ gpuSpeedPpm = MILLION, cacheHitPpm = 0n }: WhatIfChange): void {
  if (gpuSpeedPpm < SPEED_MIN_PPM || gpuSpeedPpm > SPEED_MAX_PPM) {
    throw invalidArgument([{ field: "gpu_speed", description: "must be from 0.001 to 1000" }]);
  }
  if (cacheHitPpm < 0n || cacheHitPpm > MILLION) {
    throw invalidArgument([{ field: "cache_hit_rate", description: "must be from 0 to 1" }]);
  }
}
