/** Usage records: what gateways counted, and the pure rule of who pays for it. */
import { type TokenPrice, tokenCharge, tokenSaving } from "../pricing/index.ts";

/** One request's end, as its gateway shipped it: at least once, counted once by its id. */
export interface UsageRecord {
  readonly requestId: string;
  readonly gatewayId: string;
  readonly modelId: string;
  readonly servedName: string;
  /** Who pays, or asked. */
  readonly userId: string;
  readonly keyId: string | null;
  /** Null: nothing is charged (the tokens of a deployment). */
  readonly sliceId: string | null;
  readonly priceVersionId: string | null;
  readonly promptTokens: number;
  /** Part of promptTokens. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Counted by the gateway, because the engine's own numbers never came. */
  readonly estimated: boolean;
  readonly outcome: "ok" | "client_gone" | "upstream_error" | "rejected";
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly ttftMs: number | null;
}

export interface PricedUsage {
  readonly record: UsageRecord;
  /** What the user pays. */
  readonly chargeNanos: bigint;
  /** What nobody pays: the slice was settled, or held less. */
  readonly writtenOffNanos: bigint;
  readonly savingNanos: bigint;
}

/** No engine counts more for one request; bounds every product of tokens and price. */
const TOKENS_MAX = 2 ** 31;

/** A record whose numbers can't contradict each other: a broken count must not hold up the usage log behind it. */
export function soundUsage(record: UsageRecord): UsageRecord {
  const promptTokens = tokens(record.promptTokens);
  return {
    ...record,
    promptTokens,
    cachedTokens: Math.min(tokens(record.cachedTokens), promptTokens),
    completionTokens: tokens(record.completionTokens),
  };
}

function tokens(count: number): number {
  return Number.isFinite(count) ? Math.min(Math.max(0, Math.trunc(count)), TOKENS_MAX) : 0;
}

/** Prices records in order; each slice pays until what it held is used up. `restOf` is what every live slice still holds. */
export function priceUsage(
  records: readonly UsageRecord[],
  prices: ReadonlyMap<string, TokenPrice>,
  restOf: ReadonlyMap<string, bigint>,
): readonly PricedUsage[] {
  const rest = new Map(restOf);
  return records.map((record) => {
    const price = record.priceVersionId === null ? undefined : prices.get(record.priceVersionId);
    if (!price || record.sliceId === null) {
      return { record, chargeNanos: 0n, writtenOffNanos: 0n, savingNanos: 0n };
    }
    const counts = {
      promptTokens: BigInt(record.promptTokens),
      cachedTokens: BigInt(record.cachedTokens),
      completionTokens: BigInt(record.completionTokens),
    };
    const earned = tokenCharge(price, counts);
    const left = rest.get(record.sliceId) ?? 0n;
    const chargeNanos = earned < left ? earned : left;
    rest.set(record.sliceId, left - chargeNanos);
    return {
      record,
      chargeNanos,
      writtenOffNanos: earned - chargeNanos,
      savingNanos: tokenSaving(price, counts),
    };
  });
}
