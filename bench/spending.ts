/**
 * Latency of what users are told of their spending, as their history grows: one user with charges every minute of every day and
 * twenty models, among others like it. Reads alone; what the sums cost while charging is part of `bench/ledger.ts`.
 *
 *   node bench/spending.ts [USERS]
 */
import { sql } from "kysely";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { systemRandom } from "../src/base/random.ts";
import {
  listModelUsage,
  spendingHistory,
  spendingSummaries,
  type UsageQuery,
} from "../src/billing/spending/index.ts";
import type { DbCtx } from "../src/db/db.ts";
import { testDatabase } from "../test/support/postgres.ts";
import { percentile, withCleanup } from "./support.ts";

const USERS = Number(process.argv[2] ?? 2);
const HISTORIES_DAYS = [31, 365, 1_095];
const MODELS = 20;
const CALLS = 200;
const WARM_UP_CALLS = 20;

await withCleanup(async (t) => {
  const { db } = await testDatabase(t);
  const ctx: DbCtx = { db, clock: systemClock, random: systemRandom, log: silentLog };
  const users = Array.from({ length: USERS }, () => systemRandom.uuid());
  const [userId = ""] = users;
  let filled = 0;
  for (const days of HISTORIES_DAYS) {
    await fill(ctx, users, filled, days);
    filled = days;
    const query: UsageQuery = { userId, modelId: "", startTime: null, endTime: null };
    const page = { size: 50, after: undefined };
    await measure(`${days} days, summary`, () => spendingSummaries(ctx, [userId]));
    await measure(`${days} days, summaries of ${USERS}`, () => spendingSummaries(ctx, users));
    await measure(`${days} days, history`, () => spendingHistory(ctx, userId));
    await measure(`${days} days, usage of ${MODELS} models`, () => listModelUsage(ctx, query, page));
  }
  const { rows } = await sql<{ rows: bigint }>`
    select (select count(*) from spend_bucket) + (select count(*) from usage_day) as rows`.execute(db);
  console.log(`${rows[0]?.rows} rows of sums`);
});

/** Days that ended between `from` and `to` days ago, for every user. */
async function fill(ctx: DbCtx, users: readonly string[], from: number, to: number): Promise<void> {
  const now = ctx.clock.now();
  await sql`
    insert into spend_bucket
    select u, 'USD', grain, at, 'tokens', 1000, 100
    from unnest(${[...users]}::uuid[]) u cross join (values ('minute'), ('hour'), ('day')) g(grain)
      cross join lateral generate_series(date_trunc('day', ${now}::timestamptz, 'UTC') - make_interval(days => ${to}),
        date_trunc('day', ${now}::timestamptz, 'UTC') - make_interval(days => ${from}) - interval '1 second',
        ('1 ' || grain)::interval) at`.execute(ctx.db);
  await sql`
    insert into usage_day
    select u, (date_trunc('day', ${now}::timestamptz, 'UTC') at time zone 'UTC')::date - d,
      ('00000000-0000-4000-8000-' || lpad(m::text, 12, '0'))::uuid, 'model-' || m, 'tokens', 'USD', 100, 1000, 500, 100, 0, 1000, 100
    from unnest(${[...users]}::uuid[]) u, generate_series(${from}::int, ${to}::int - 1) d, generate_series(1, ${MODELS}::int) m`.execute(
    ctx.db,
  );
}

async function measure(name: string, call: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < CALLS + WARM_UP_CALLS; i++) {
    const began = performance.now();
    await call();
    if (i >= WARM_UP_CALLS) times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
  console.log(`${name}: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
}
