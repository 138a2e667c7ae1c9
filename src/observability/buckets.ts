/** Latencies as counts: buckets from 0.1 ms on whose bounds grow by a quarter, up to about ten minutes. Pure. */

const FIRST_MS = 0.1;
const GROWTH = 1.25;
/** 0.1 ms × 1.25^70 is ten minutes; what takes longer is in the last bucket. */
const LAST = 70;

/** Bucket 0 is up to 0.1 ms; bucket n is over 0.1 × 1.25^(n-1) ms, up to 0.1 × 1.25^n ms. */
export function bucketOf(ms: number): number {
  if (!(ms > FIRST_MS)) return 0;
  return Math.min(LAST, Math.ceil(Math.log(ms / FIRST_MS) / Math.log(GROWTH)));
}

/** The middle of a bucket by ratio: no value in it is further than an eighth from it. */
export function middleOf(bucket: number): number {
  return FIRST_MS * GROWTH ** (bucket - 0.5);
}

/** Counts by bucket. */
export type Counts = ReadonlyMap<number, number>;

export interface Quantiles {
  readonly count: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/** Undefined where nothing was counted. */
export function quantilesOf(counts: Counts): Quantiles | undefined {
  const sorted = [...counts].toSorted(([a], [b]) => a - b);
  const count = sorted.reduce((sum, [, requests]) => sum + requests, 0);
  if (count === 0) return undefined;
  const at = (share: number) => {
    let seen = 0;
    const found = sorted.find(([, requests]) => {
      seen += requests;
      return seen >= share * count;
    });
    return middleOf(found?.[0] ?? 0);
  };
  return { count, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}

/** The counts of all, added. */
export function addCounts(all: readonly Counts[]): Counts {
  const sum = new Map<number, number>();
  for (const counts of all) {
    for (const [bucket, requests] of counts) sum.set(bucket, (sum.get(bucket) ?? 0) + requests);
  }
  return sum;
}
