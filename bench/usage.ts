/**
 * Usage from a gateway's batch to the ledger, and what users read of it, with few and with many requests on record: charged
 * requests a second with the process's memory, and p50 and p99 of the reads, before and after, as ratios.
 *
 *   node bench/usage.ts [ROWS]        ten million by default: some minutes and some gigabytes
 */
import { sql } from "kysely";
import {
  grantCredit,
  ingestUsage,
  leaseSlice,
  listReceipts,
  setTokenPrice,
  type UsageRecord,
} from "../src/billing/index.ts";
import { listModelUsage, spendingHistory, spendingSummaries } from "../src/billing/spending/index.ts";
import type { Db, DbCtx } from "../src/db/db.ts";
import { createUser } from "../src/identity/index.ts";
import { loop, percentile, withDurablePostgres } from "./support.ts";

const ROWS = Number(process.argv[2] ?? 10_000_000);
const USERS = 20;
/** How far back the filled history reaches. */
const DAYS = 365;
/** As a gateway ships them at 5,000 requests a second, every 200 ms. */
const BATCH = 1_000;
const INGEST_MS = 10_000;
const CALLS = 200;
const WARM_UP_CALLS = 20;
/** Rows of one statement that fills. */
const FILL_ROWS = 500_000;
const MIB = 1_048_576;

interface Payer {
  readonly userId: string;
  readonly sliceId: string;
}

await withDurablePostgres(4, async (ctx, owner) => {
  const price = await setTokenPrice(ctx, {
    ...{ servedName: "tiny", currency: "USD", validFrom: null },
    ...{ inputNanosPerMillion: 1_000_000n, cachedNanosPerMillion: 0n, outputNanosPerMillion: 4_000_000n },
  });
  const payers = await Promise.all(Array.from({ length: USERS }, () => payerOf(ctx)));
  const modelId = ctx.random.uuid();
  const few = await measure(ctx, payers, price.versionId, modelId);
  const began = performance.now();
  await fill(owner, payers, price.versionId, modelId);
  console.log(`filled to ${ROWS} requests in ${((performance.now() - began) / 1_000).toFixed(0)} s`);
  const many = await measure(ctx, payers, price.versionId, modelId);
  for (const [name, before] of few) {
    const ratio = (many.get(name) ?? Number.NaN) / before;
    console.log(`${name}: ${ratio.toFixed(2)} × what it was with few requests`);
  }
});

async function payerOf(ctx: DbCtx): Promise<Payer> {
  const { id: userId } = await createUser(ctx, { displayName: "payer" });
  const amount = { currency: "USD", nanos: 1_000_000_000_000_000n };
  await grantCredit(ctx, { operatorId: userId, userId, amount, reason: "bench", key: userId });
  const now = ctx.clock.now();
  const lease = { gatewayId: "g", userId, wantNanos: 10_000_000_000_000n, currency: "USD", now };
  return { userId, sliceId: (await leaseSlice(ctx, lease)).sliceId };
}

/** Requests a second and milliseconds, by name. */
async function measure(
  ctx: DbCtx,
  payers: readonly Payer[],
  priceVersionId: string,
  modelId: string,
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  const batch = (at: Date) =>
    Array.from({ length: BATCH }, (_, i): UsageRecord => {
      const { userId, sliceId } = payers[i % payers.length] ?? { userId: "", sliceId: "" };
      return {
        ...{ requestId: ctx.random.uuid(), gatewayId: "g", modelId, servedName: "tiny", userId, keyId: null },
        ...{ sliceId, priceVersionId, promptTokens: 2_000, cachedTokens: 1_000, completionTokens: 500 },
        ...{ estimated: false, outcome: "ok", startedAt: at, endedAt: at, ttftMs: 5 },
      };
    });
  const rate = BATCH * (await loop(1, (at) => ingestUsage(ctx, batch(at)), INGEST_MS));
  const memory = process.memoryUsage.rss() / MIB;
  console.log(
    `charged requests/s in batches of ${BATCH}: ${rate.toFixed(0)}, ${memory.toFixed(0)} MiB resident`,
  );
  found.set("charged requests/s", rate);
  const userId = payers[0]?.userId ?? "";
  const page = { size: 50, after: undefined };
  const query = { userId, modelId: "", startTime: null, endTime: null };
  const reads: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["spending summary", () => spendingSummaries(ctx, [userId])],
    ["spending history", () => spendingHistory(ctx, userId)],
    ["usage by model", () => listModelUsage(ctx, query, page)],
    ["first page of receipts", () => listReceipts(ctx, { userId, modelId: "" }, page)],
  ];
  for (const [name, read] of reads) found.set(`p99 of ${name}`, await latency(name, read));
  return found;
}

async function latency(name: string, read: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < CALLS + WARM_UP_CALLS; i++) {
    const began = performance.now();
    await read();
    if (i >= WARM_UP_CALLS) times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
  console.log(`${name}: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
  return p99;
}

/** Requests of a year before today, spread over the payers, with their sums: as if they had been charged then. */
async function fill(
  owner: Db,
  payers: readonly Payer[],
  priceVersionId: string,
  modelId: string,
): Promise<void> {
  const users = payers.map(({ userId }) => userId);
  // The sums over all rows take longer than any statement of the program may.
  await sql`set statement_timeout = 0`.execute(owner);
  for (let from = 0; from < ROWS; from += FILL_ROWS) {
    await sql`
      insert into usage_record (request_id, gateway_id, model_id, served_name, user_id, price_version_id, prompt_tokens,
        cached_tokens, completion_tokens, estimated, outcome, started_at, ended_at, ttft_ms, charge_nanos, written_off_nanos, saving_nanos)
      select gen_random_uuid(), 'g', ${modelId}, 'tiny', (${users}::uuid[])[1 + n % ${USERS}], ${priceVersionId}, 2000, 1000, 500,
        false, 'ok', at, at, 5, 3000, 0, 1000
      from generate_series(${from}::int, ${Math.min(from + FILL_ROWS, ROWS) - 1}::int) n cross join lateral (
        select date_trunc('day', now(), 'UTC') - make_interval(secs => n::double precision * ${DAYS * 86_400} / ${ROWS}) as at) t`.execute(
      owner,
    );
  }
  await sql`
    insert into usage_day
    select user_id, (ended_at at time zone 'UTC')::date, model_id, served_name, 'tokens', 'USD', count(*), sum(prompt_tokens),
      sum(cached_tokens), sum(completion_tokens), 0, sum(charge_nanos), sum(saving_nanos)
    from usage_record where ended_at < date_trunc('day', now(), 'UTC') group by 1, 2, 3, 4`.execute(owner);
  await sql`
    insert into spend_bucket
    select user_id, 'USD', grain, date_trunc(grain, ended_at, 'UTC'), 'tokens', sum(charge_nanos), sum(saving_nanos)
    from usage_record cross join (values ('minute'), ('hour'), ('day')) g(grain)
    where ended_at < date_trunc('day', now(), 'UTC') group by 1, 3, 4`.execute(owner);
  await sql`analyze`.execute(owner);
}
