/** How charges become sums: pure. Every instant belongs to one minute, one hour and one day, all of UTC. */

/** What a receipt says, as far as sums need it. */
export interface ChargedItem {
  readonly userId: string;
  readonly modelId: string;
  /** "" for GPU time. */
  readonly servedName: string;
  readonly kind: "gpu" | "tokens";
  readonly currency: string;
  /** When the request ended or the window closed: the receipt's time. */
  readonly at: Date;
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly gpuMs: bigint;
  readonly chargeNanos: bigint;
  readonly savingNanos: bigint;
}

export type Grain = "minute" | "hour" | "day";

export const GRAIN_MS: Readonly<Record<Grain, number>> = {
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
};
const GRAINS: readonly Grain[] = ["minute", "hour", "day"];

export type BucketSum = Pick<ChargedItem, "userId" | "currency" | "kind" | "chargeNanos" | "savingNanos"> & {
  readonly grain: Grain;
  readonly startsAt: Date;
};

/** Sums of one model, name, kind and currency in one day; `at` is the day's start. */
export type DaySum = ChargedItem;

/** Start of the minute, hour or day of UTC that `at` lies in. */
export function startOf(grain: Grain, at: Date): Date {
  return new Date(Math.floor(at.getTime() / GRAIN_MS[grain]) * GRAIN_MS[grain]);
}

/** Start of the first minute, hour or day that begins at `at` or later. */
export function nextStart(grain: Grain, at: Date): Date {
  return new Date(Math.ceil(at.getTime() / GRAIN_MS[grain]) * GRAIN_MS[grain]);
}

/** A batch as the few rows that it adds to. What moved no money and saved none is in no bucket. */
export function rollUp(items: readonly ChargedItem[]): {
  readonly buckets: readonly BucketSum[];
  readonly days: readonly DaySum[];
} {
  const money = items.filter((item) => item.chargeNanos > 0n || item.savingNanos > 0n);
  return {
    buckets: sums(money.flatMap(bucketsOf), bucketKey, addMoney),
    days: sums(
      items.map((item) => ({ ...item, at: startOf("day", item.at) })),
      dayKey,
      addUsage,
    ),
  };
}

function bucketsOf(item: ChargedItem): readonly BucketSum[] {
  const { userId, currency, kind, chargeNanos, savingNanos } = item;
  return GRAINS.map((grain) => ({
    ...{ userId, currency, kind, chargeNanos, savingNanos, grain },
    startsAt: startOf(grain, item.at),
  }));
}

// Ids in either case are one to the database, which refuses a batch that names a row twice.
function bucketKey(sum: BucketSum): string {
  return JSON.stringify([sum.userId.toLowerCase(), sum.currency, sum.kind, sum.grain, sum.startsAt]);
}

function dayKey(sum: DaySum): string {
  const [userId, modelId] = [sum.userId.toLowerCase(), sum.modelId.toLowerCase()];
  return JSON.stringify([userId, sum.at, modelId, sum.servedName, sum.kind, sum.currency]);
}

function addMoney<T extends Pick<ChargedItem, "chargeNanos" | "savingNanos">>(a: T, b: T): T {
  return {
    ...a,
    chargeNanos: a.chargeNanos + b.chargeNanos,
    savingNanos: a.savingNanos + b.savingNanos,
  };
}

function addUsage(a: DaySum, b: DaySum): DaySum {
  return {
    ...addMoney(a, b),
    requests: a.requests + b.requests,
    promptTokens: a.promptTokens + b.promptTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    gpuMs: a.gpuMs + b.gpuMs,
  };
}

function sums<T>(rows: readonly T[], keyOf: (row: T) => string, add: (a: T, b: T) => T): readonly T[] {
  const found = new Map<string, T>();
  for (const row of rows) {
    const key = keyOf(row);
    const known = found.get(key);
    found.set(key, known === undefined ? row : add(known, row));
  }
  return [...found.values()];
}
