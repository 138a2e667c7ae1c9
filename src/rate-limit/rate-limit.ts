/**
 * Requests by token and by address, counted over all processes. A request waits for no database: each process counts by itself,
 * and about once a second adds its counts to the table and learns the others'. So a caller that spreads over N processes may
 * get through with a second's worth of requests more, and a database that is away leaves each process with its own counts.
 */
import { createHash } from "node:crypto";
import type { DbCtx } from "../db/db.ts";
import { Counter, type RatePolicy, type RateVerdict } from "./counter.ts";
import { addCounts, deleteWindowsBefore, type WindowCount } from "./store.ts";

export type CallerKind = "token" | "address";

export interface RateLimit {
  /** Counts one request; undefined when this kind of caller has no limit. */
  take(kind: CallerKind, id: string): RateVerdict | undefined;
  /** Adds what was counted and learns what others counted. Throws what the database throws; the counts stay, and go with the next exchange. */
  exchange(): Promise<void>;
}

/** Callers that are remembered; beyond, the one that was forgotten longest ago starts afresh: memory has an end, too. */
const CALLERS_MAX = 100_000;
/** Rows of one statement; the rest goes with the next. */
const ROWS_MAX = 1_000;

export function createRateLimit(
  ctx: DbCtx,
  policies: Readonly<Record<CallerKind, RatePolicy | undefined>>,
): RateLimit {
  const counters = new Map<string, Counter>();
  const touched = new Set<string>();
  let pending: WindowCount[] = [];
  const longestMs = Math.max(...Object.values(policies).map((policy) => policy?.windowMs ?? 0));
  return {
    take(kind, id) {
      const policy = policies[kind];
      if (!policy) return undefined;
      const now = ctx.clock.now().getTime();
      const key = callerKey(kind, id);
      let counter = counters.get(key);
      if (!counter) {
        if (counters.size >= CALLERS_MAX) forgetOldest(counters);
        counter = new Counter(policy, now);
        counters.set(key, counter);
      }
      touched.add(key);
      return counter.take(now);
    },
    async exchange() {
      for (const key of touched) {
        for (const { startsAt, requests } of counters.get(key)?.handOver() ?? []) {
          pending.push({
            callerHash: Buffer.from(key, "base64url"),
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
          counters.get(callerHash.toString("base64url"))?.learn(startsAt.getTime(), Number(requests));
      }
      const now = ctx.clock.now().getTime();
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

function callerKey(kind: CallerKind, id: string): string {
  return createHash("sha256").update(`${kind}\0${id}`).digest("base64url");
}

function forgetOldest(counters: Map<string, Counter>): void {
  const oldest = counters.keys().next();
  if (!oldest.done) counters.delete(oldest.value);
}
