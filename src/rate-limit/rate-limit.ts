/**
 * Requests by token and by address, counted over all processes. A request waits for no database: each process counts by itself,
 * and about once a second adds its counts to the table and learns the others'. So a caller that spreads over N processes may
 * get through with a second's worth of requests more, and a database that is away leaves each process with its own counts.
 */
import { hash } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { Counter, type RatePolicy, type RateVerdict } from "./counter.ts";
import type { CountStore, WindowCount } from "./store.ts";

export interface RateLimit<Kind extends string = string> {
  /** Counts one request; undefined when this kind of caller has no limit. */
  take(kind: Kind, id: string): RateVerdict | undefined;
  /** Adds what was counted and learns what others counted. Throws what the database throws; the counts stay, and go with the next exchange. */
  exchange(store: CountStore): Promise<void>;
}

interface Caller {
  /** Kind and id; its hash is what the table knows. */
  readonly name: string;
  readonly counter: Counter;
  /** Counted since the last exchange. */
  isTouched: boolean;
}

/** Callers of a kind that are remembered; beyond, the one that was forgotten longest ago starts afresh: memory has an end, too. */
const CALLERS_MAX = 100_000;
/** Rows of one statement; the rest goes with the next. */
const ROWS_MAX = 1_000;

/** Kinds are counted apart, over all processes that name them alike. */
export function createRateLimit<Kind extends string>(
  clock: Clock,
  policies: Readonly<Record<Kind, RatePolicy | undefined>>,
): RateLimit<Kind> {
  const callers = new Map<Kind, Map<string, Caller>>();
  let touched: Caller[] = [];
  /** Callers whose counts are on their way to the table, by what they are called there. */
  const hashed = new Map<string, Caller>();
  let pending: WindowCount[] = [];
  const longestMs = Math.max(
    ...Object.values<RatePolicy | undefined>(policies).map((policy) => policy?.windowMs ?? 0),
  );
  return {
    take(kind, id) {
      const policy = policies[kind];
      if (!policy) return undefined;
      const now = clock.now().getTime();
      let known = callers.get(kind);
      if (!known) {
        known = new Map();
        callers.set(kind, known);
      }
      let caller = known.get(id);
      if (!caller) {
        if (known.size >= CALLERS_MAX) forgetOldest(known);
        caller = { name: `${kind}\0${id}`, counter: new Counter(policy, now), isTouched: false };
        known.set(id, caller);
      }
      if (!caller.isTouched) {
        caller.isTouched = true;
        touched.push(caller);
      }
      return caller.counter.take(now);
    },
    async exchange(store) {
      for (const caller of touched) {
        const callerHash = hash("sha256", caller.name, "buffer");
        hashed.set(callerHash.toString("hex"), caller);
        caller.isTouched = false;
        for (const { startsAt, requests } of caller.counter.handOver()) {
          pending.push({ callerHash, startsAt: new Date(startsAt), requests: BigInt(requests) });
        }
      }
      touched = [];
      while (pending.length > 0) {
        const batch = pending.slice(0, ROWS_MAX);
        const sums = await store.add(merged(batch));
        pending = pending.slice(batch.length);
        for (const { callerHash, startsAt, requests } of sums)
          hashed.get(callerHash.toString("hex"))?.counter.learn(startsAt.getTime(), Number(requests));
      }
      hashed.clear();
      const now = clock.now().getTime();
      await store.deleteBefore(new Date(now - 2 * longestMs));
      for (const known of callers.values()) {
        for (const [id, { counter }] of known) if (counter.isIdle(now)) known.delete(id);
      }
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

function forgetOldest(known: Map<string, Caller>): void {
  const oldest = known.keys().next();
  if (!oldest.done) known.delete(oldest.value);
}
