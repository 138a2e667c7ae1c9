/**
 * Requests by token and by address, counted over all processes. A request waits for no database: each process counts by itself,
 * and about once a second adds its counts to the table and learns the others'. So a caller that spreads over N processes may
 * get through with a second's worth of requests more, and a database that is away leaves each process with its own counts.
 */
import { hash } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { DbCtx } from "../db/db.ts";
import { Counter, type RatePolicy, type RateVerdict } from "./counter.ts";
import { addCounts, deleteWindowsBefore, type WindowCount } from "./store.ts";

export interface RateLimit<Kind extends string = string> {
  /** Counts one request; undefined when this kind of caller has no limit. */
  take(kind: Kind, id: string): RateVerdict | undefined;
  /** Adds what was counted and learns what others counted. Throws what the database throws; the counts stay, and go with the next exchange. */
  exchange(ctx: DbCtx): Promise<void>;
}

/** Callers that are remembered; beyond, the one that was forgotten longest ago starts afresh: memory has an end, too. */
const CALLERS_MAX = 100_000;
/** Rows of one statement; the rest goes with the next. */
const ROWS_MAX = 1_000;

/** Kinds are counted apart, over all processes that name them alike. */
export function createRateLimit<Kind extends string>(
  clock: Clock,
  policies: Readonly<Record<Kind, RatePolicy | undefined>>,
): RateLimit<Kind> {
  const counters = new Map<string, Counter>();
  const touched = new Set<string>();
  /** Callers whose counts are on their way to the table, by what they are called there. */
  const hashed = new Map<string, string>();
  let pending: WindowCount[] = [];
  const longestMs = Math.max(
    ...Object.values<RatePolicy | undefined>(policies).map((policy) => policy?.windowMs ?? 0),
  );
  return {
    take(kind, id) {
      const policy = policies[kind];
      if (!policy) return undefined;
      const now = clock.now().getTime();
      const key = `${kind}\0${id}`;
      let counter = counters.get(key);
      if (!counter) {
        if (counters.size >= CALLERS_MAX) forgetOldest(counters);
        counter = new Counter(policy, now);
        counters.set(key, counter);
      }
      touched.add(key);
      return counter.take(now);
    },
    async exchange(ctx) {
      for (const key of touched) {
        const callerHash = hash("sha256", key, "buffer");
        hashed.set(callerHash.toString("hex"), key);
        for (const { startsAt, requests } of counters.get(key)?.handOver() ?? []) {
          pending.push({
            callerHash,
            startsAt: new Date(startsAt),
            requests: BigInt(requests),
          });
        }
      }
      touched.clear();
      while (pending.length > 0) {
        const batch = pending.slice(0, ROWS_MAX);
        const sums = await addCounts(ctx, merged(batch));
        pending = pending.slice(batch.length);
        for (const { callerHash, startsAt, requests } of sums)
          counters
            .get(hashed.get(callerHash.toString("hex")) ?? "")
            ?.learn(startsAt.getTime(), Number(requests));
      }
      hashed.clear();
      const now = clock.now().getTime();
      await deleteWindowsBefore(ctx, new Date(now - 2 * longestMs));
      for (const [key, counter] of counters) if (counter.isIdle(now)) counters.delete(key);
    },
  };
}

/** One row may be touched only once by one statement. */
function merged(counts: readonly WindowCount[]): readonly WindowCount[] {
  const byRow = Map.groupBy(
    counts,
    (count) => `${count.callerHash.toString("hex")} ${count.startsAt.getTime()}`,
  );
  return [...byRow.values()].flatMap((same) => {
    const [first] = same;
    if (!first) return [];
    return [{ ...first, requests: same.reduce((sum, { requests }) => sum + requests, 0n) }];
  });
}

function forgetOldest(counters: Map<string, Counter>): void {
  const oldest = counters.keys().next();
  if (!oldest.done) counters.delete(oldest.value);
}
