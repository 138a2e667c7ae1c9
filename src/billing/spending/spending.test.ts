/** What users are told of their spending, against the receipts and the ledger that it sums. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import {
  CURRENCY,
  cpuPrice,
  credit,
  type Fixture,
  fixture,
  START,
  tokenPriceOf,
  units,
  usage,
} from "../../../test/support/billing.ts";
import { MIGRATIONS } from "../../../test/support/postgres.ts";
import { silentLog } from "../../base/log.ts";
import { parsePage } from "../../base/page.ts";
import { withTransaction } from "../../db/db.ts";
import { openDatabase } from "../../db/pool.ts";
import { createUser } from "../../identity/index.ts";
import {
  endSlot,
  ensureWindowHeld,
  type GpuPrice,
  ingestUsage,
  leaseSlice,
  listReceipts,
  meterProbe,
  type Receipt,
  receiptsQuery,
  type TokenPriceVersion,
  type UsageRecord,
} from "../index.ts";
import {
  listModelUsage,
  listUsageHistory,
  pruneSpending,
  spendingHistory,
  spendingSummaries,
  type UsageQuery,
  type UsageSum,
  usageQuery,
} from "./index.ts";

const RUNS = 10;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** One deed after a pause: seconds, hours or days, so that histories cross minutes, days and the ends of the windows. */
const step = fc.record({
  user: fc.nat(1),
  pauseMs: fc.oneof(
    fc.integer({ min: 0, max: 90_000 }),
    fc.integer({ min: 0, max: 30 * HOUR_MS }),
    fc.constantFrom(DAY_MS, DAY_MS - 1, 7 * DAY_MS, 30 * DAY_MS, 30 * DAY_MS - 60_000),
  ),
  what: fc.constantFrom("slice", "slice", "deployment", "gpu", "late", "twice"),
  lagMs: fc.integer({ min: 0, max: 2 * HOUR_MS }),
  model: fc.nat(2),
  prompt: fc.nat(50_000),
  cached: fc.nat(50_000),
  completion: fc.nat(5_000),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface World {
  readonly f: Fixture;
  readonly users: readonly string[];
  readonly gpu: GpuPrice;
  readonly tokens: TokenPriceVersion;
}

test("spending and its days are the sums of the receipts, and of the ledger's charges, to the nano", async (t) => {
  const f = await fixture(t);
  const gpu = await cpuPrice(f, 3_600_000_007n);
  const tokens = await tokenPriceOf(f);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const users = [await createUser(f.ctx, {}), await createUser(f.ctx, {})].map((user) => user.id);
      const world = { f, users, gpu, tokens };
      for (const userId of users) await credit(f, units(1_000), userId);
      for (const one of steps) await perform(world, one);
      for (const userId of users) await check(f, userId);
      for (const userId of users) await checkUsage(f, userId);
      f.advance(17 * HOUR_MS + 1);
      for (const userId of users) await check(f, userId);
      await pruneSpending(f.ctx);
      for (const userId of users) await checkShown(f, userId);
    }),
    { numRuns: RUNS },
  );
});

test("minutes and hours are forgotten when no rolling period reaches them; days stay, and nobody else may delete them", async (t) => {
  const f = await fixture(t);
  const tokens = await tokenPriceOf(f);
  await credit(f, units(10));
  const lease = { gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, lease);
  await ingestUsage(f.ctx, [usage(f, { sliceId, priceVersionId: tokens.versionId })]);
  const grains = async () => {
    const { rows } = await sql<{ grain: string }>`select grain from spend_bucket order by grain`.execute(
      f.ctx.db,
    );
    return rows.map(({ grain }) => grain);
  };
  f.advance(31 * DAY_MS);
  assert.equal(await pruneSpending(f.ctx), 0);
  f.advance(10 * DAY_MS);
  assert.equal(await pruneSpending(f.ctx), 2);
  assert.deepEqual(await grains(), ["day"]);
  await assert.rejects(sql`delete from spend_bucket`.execute(f.ctx.db), { code: "42501" });
});

async function perform({ f, users, gpu, tokens }: World, one: Step): Promise<void> {
  f.advance(one.pauseMs);
  const userId = users[one.user] ?? "";
  if (one.what === "gpu") return serve(f, userId, gpu, one.lagMs);
  const record: Partial<UsageRecord> = {
    userId,
    ...{ modelId: `22222222-2222-4222-8222-22222222222${one.model}`, servedName: `model-${one.model}` },
    ...{ promptTokens: one.prompt, cachedTokens: one.cached, completionTokens: one.completion },
    endedAt: new Date(f.now().getTime() - one.lagMs),
  };
  if (one.what === "deployment") {
    await ingestUsage(f.ctx, [usage(f, record), usage(f, record)]);
    return;
  }
  const lease = { gatewayId: "g", userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const sliceId = one.what === "late" ? f.ctx.random.uuid() : (await leaseSlice(f.ctx, lease)).sliceId;
  const shipped = usage(f, { ...record, sliceId, priceVersionId: tokens.versionId });
  await ingestUsage(f.ctx, [shipped]);
  if (one.what === "twice") await ingestUsage(f.ctx, [shipped, usage(f, record)]);
}

async function serve(f: Fixture, userId: string, price: GpuPrice, ms: number): Promise<void> {
  const slot = { deploymentId: f.ctx.random.uuid(), slot: 0 };
  const window = { ...slot, modelId: slot.deploymentId, userId, price, gpuCount: 0, windowMs: 60_000 };
  await withTransaction(f.ctx, async (tx) => {
    await ensureWindowHeld(tx, { ...window, now: f.now() });
    await meterProbe(tx, { ...slot, at: f.now() });
    await endSlot(tx, { ...slot, at: f.advance(ms % 40_000) });
  });
}

async function check(f: Fixture, userId: string): Promise<void> {
  await agreesWithLedger(f, userId, sum(await checkShown(f, userId)).chargeNanos);
}

/** What is shown, counted from the receipts once more; returns those. */
async function checkShown(f: Fixture, userId: string): Promise<readonly Receipt[]> {
  const receipts = await allReceipts(f, userId);
  const now = f.now().getTime();
  const since = (days: number) => {
    const from = Math.floor((now - days * DAY_MS) / 60_000) * 60_000;
    return sum(receipts.filter(({ at }) => at.getTime() >= from)).chargeNanos;
  };
  const [summary] = await spendingSummaries(f.ctx, [userId]);
  assert.deepEqual(summary?.nanos, { "24h": since(1), "7d": since(7), "30d": since(30) });
  const { days } = await spendingHistory(f.ctx, userId);
  const today = startOfDay(f.now());
  assert.deepEqual(
    days,
    Array.from({ length: 31 }, (_, at) => {
      const start = today - (30 - at) * DAY_MS;
      const within = receipts.filter(({ at: when }) => startOfDay(when) === start);
      return { startsAt: new Date(start), ...sum(within) };
    }),
  );
  return receipts;
}

/** What models used, in all, by model, and by day and model, is counted from the receipts once more. */
async function checkUsage(f: Fixture, userId: string): Promise<void> {
  const from = startOfDay(f.now()) - 30 * DAY_MS;
  const receipts = (await allReceipts(f, userId)).filter(({ at }) => at.getTime() >= from);
  const query = allOf(userId);
  const byModel = await collect(query, "models", (page) => listModelUsage(f.ctx, query, page));
  assert.deepEqual(
    byModel.map(({ modelId, servedName, ...sums }) => [servedName, modelId, sums]),
    counted(receipts, (one) => [one.servedName, one.modelId]),
  );
  const { total } = await listModelUsage(f.ctx, query, { size: 1, after: undefined });
  assert.deepEqual(total, usageOf(receipts));
  const byDay = await collect(query, "days", (page) => listUsageHistory(f.ctx, query, page));
  assert.deepEqual(
    byDay.map(({ day, modelId, servedName, ...sums }) => [day, servedName, modelId, sums]),
    counted(receipts, (one) => [one.at.toISOString().slice(0, 10), one.servedName, one.modelId]).toSorted(
      ([a = ""], [b = ""]) => (a === b ? 0 : a < b ? 1 : -1),
    ),
  );
}

function allOf(userId: string): UsageQuery {
  return { userId, modelId: "", startTime: null, endTime: null };
}

/** All pages, two rows each. */
async function collect<T>(
  query: UsageQuery,
  list: "models" | "days",
  fetchPage: (page: ReturnType<typeof parsePage>) => Promise<{ rows: readonly T[]; nextPageToken: string }>,
): Promise<readonly T[]> {
  const rows: T[] = [];
  let pageToken = "";
  do {
    const answer = await fetchPage(parsePage({ pageSize: 2, pageToken }, usageQuery(list, query)));
    rows.push(...answer.rows);
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  return rows;
}

/** Receipts in groups of one key, ordered by its parts. */
function counted(
  receipts: readonly Receipt[],
  keyOf: (one: Receipt) => readonly string[],
): readonly (readonly [...string[], UsageSum])[] {
  const groups = Map.groupBy(receipts, (one) => JSON.stringify(keyOf(one)));
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => [...(group[0] ? keyOf(group[0]) : []), usageOf(group)]);
}

function usageOf(receipts: readonly Receipt[]): UsageSum {
  const add = (of: (one: Receipt["usage"]) => bigint) =>
    receipts.reduce((total, { usage: one }) => total + of(one), 0n);
  return {
    requests: add((one) => (one.kind === "tokens" ? 1n : 0n)),
    promptTokens: add((one) => (one.kind === "tokens" ? one.promptTokens : 0n)),
    cachedTokens: add((one) => (one.kind === "tokens" ? one.cachedTokens : 0n)),
    completionTokens: add((one) => (one.kind === "tokens" ? one.completionTokens : 0n)),
    gpuMs: add((one) => (one.kind === "gpu" ? one.chargedMs : 0n)),
    ...sum(receipts),
  };
}

function startOfDay(at: Date): number {
  return Math.floor(at.getTime() / DAY_MS) * DAY_MS;
}

/** Whatever was charged since the beginning is in each grain once, and left the user's account. */
async function agreesWithLedger(f: Fixture, userId: string, charged: bigint): Promise<void> {
  const { rows } = await sql<{ grain: string; total: bigint }>`
    select grain, sum(charge_nanos)::bigint as total from spend_bucket where user_id = ${userId} group by 1
    union all
    select 'usage', coalesce(sum(charge_nanos), 0)::bigint from usage_day where user_id = ${userId}
    union all
    select 'ledger', coalesce(-sum(e.amount), 0)::bigint
    from ledger_entry e join ledger_account a on a.id = e.account_id join ledger_transfer t on t.id = e.transfer_id
    where a.owner_id = ${userId} and a.kind in ('user', 'credit') and t.code in ('charge.gpu', 'charge.tokens')`.execute(
    f.ctx.db,
  );
  for (const { grain, total } of rows) assert.equal(total, charged, grain);
}

async function allReceipts(f: Fixture, userId: string): Promise<readonly Receipt[]> {
  const query = { userId, modelId: "" };
  const page = parsePage({ pageSize: 1_000, pageToken: "" }, receiptsQuery(query));
  return (await listReceipts(f.ctx, query, page)).rows;
}

function sum(receipts: readonly Receipt[]): { chargeNanos: bigint; savingNanos: bigint } {
  return {
    chargeNanos: receipts.reduce((total, one) => total + one.chargeNanos, 0n),
    savingNanos: receipts.reduce((total, one) => total + one.savingNanos, 0n),
  };
}

test("a charge leaves each rolling period in the minute in which it is older", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  await serve(f, f.userId, await cpuPrice(f), 20_000);
  const spent = 20_000_000n;
  const periods = async () => (await spendingSummaries(f.ctx, [f.userId]))[0]?.nanos;
  const closedAt = f.now().getTime();
  const after = (days: number, ms: number) =>
    f.advance(closedAt + days * DAY_MS + ms - f.now().getTime()).getTime();
  after(1, 0);
  assert.deepEqual(await periods(), { "24h": spent, "7d": spent, "30d": spent });
  after(1, 60_000);
  assert.deepEqual(await periods(), { "24h": 0n, "7d": spent, "30d": spent });
  after(7, 0);
  assert.deepEqual(await periods(), { "24h": 0n, "7d": spent, "30d": spent });
  after(7, 60_000);
  assert.deepEqual(await periods(), { "24h": 0n, "7d": 0n, "30d": spent });
  after(30, 0);
  assert.deepEqual(await periods(), { "24h": 0n, "7d": 0n, "30d": spent });
  after(30, 60_000);
  assert.deepEqual(await periods(), { "24h": 0n, "7d": 0n, "30d": 0n });
});

test("days are days of UTC over a leap day and a month's end, and days without spending are there", async (t) => {
  const f = await fixture(t);
  f.advance(new Date("2028-02-29T23:59:59.999Z").getTime() - START.getTime());
  await credit(f, units(10));
  const price = await tokenPriceOf(f);
  const lease = { gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, lease);
  const priced = { sliceId, priceVersionId: price.versionId };
  await ingestUsage(f.ctx, [usage(f, priced)]);
  f.advance(1);
  await ingestUsage(f.ctx, [usage(f, priced), usage(f, priced)]);
  const { days, currency } = await spendingHistory(f.ctx, f.userId);
  assert.equal(currency, CURRENCY);
  assert.deepEqual(
    days.slice(-3).map((day) => [day.startsAt.toISOString(), day.chargeNanos, day.savingNanos]),
    [
      ["2028-02-28T00:00:00.000Z", 0n, 0n],
      ["2028-02-29T00:00:00.000Z", 1_800_000n, 800_000n],
      ["2028-03-01T00:00:00.000Z", 3_600_000n, 1_600_000n],
    ],
  );
  assert.equal(days.length, 31);
});

test("batches of several users at once lose and double nothing, whatever case their ids are in", async (t) => {
  const f = await fixture(t, { connectionsMax: 8 });
  const price = await tokenPriceOf(f);
  const users = [f.userId, (await createUser(f.ctx, {})).id];
  const slices = new Map<string, string>();
  for (const userId of users) {
    await credit(f, units(100), userId);
    const lease = { gatewayId: "g", userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
    slices.set(userId, (await leaseSlice(f.ctx, lease)).sliceId);
  }
  const modelId = "aaaaaaaa-2222-4222-8222-222222222222";
  const batch = (at: number) =>
    [...users, ...users].flatMap((userId, one) => {
      const ids = { userId, modelId: one < 2 ? modelId : modelId.toUpperCase() };
      const charged = { ...ids, sliceId: slices.get(userId) ?? null, priceVersionId: price.versionId };
      const records = [
        usage(f, charged),
        usage(f, { ...ids, userId: one < 2 ? userId : userId.toUpperCase() }),
      ];
      return at % 2 === 0 ? records : records.toReversed();
    });
  const batches = Array.from({ length: 12 }, (_, at) => (at % 2 === 0 ? batch(at) : batch(at).toReversed()));
  await Promise.all(batches.map((records) => ingestUsage(f.ctx, records)));
  for (const userId of users) {
    await check(f, userId);
    await checkUsage(f, userId);
    const { total } = await listModelUsage(f.ctx, allOf(userId), { size: 1, after: undefined });
    assert.deepEqual([total.requests, total.chargeNanos], [48n, 24n * 1_800_000n]);
  }
});

test("sums in another currency are in no figure", async (t) => {
  const f = await fixture(t);
  await sql`insert into spend_bucket select ${f.userId}, 'EUR', grain, date_trunc(grain, ${f.now()}::timestamptz, 'UTC'), 'gpu', 5, 5
    from (values ('minute'), ('hour'), ('day')) as g(grain)`.execute(f.ctx.db);
  const [summary] = await spendingSummaries(f.ctx, [f.userId]);
  assert.deepEqual(summary?.nanos, { "24h": 0n, "7d": 0n, "30d": 0n });
  const { days } = await spendingHistory(f.ctx, f.userId);
  assert.ok(days.every((day) => day.chargeNanos === 0n && day.savingNanos === 0n));
});

test("what was charged before there were sums is summed by the migration as it would have been since", async (t) => {
  const f = await fixture(t);
  const world = { f, users: [f.userId], gpu: await cpuPrice(f), tokens: await tokenPriceOf(f) };
  await credit(f, units(1_000));
  const deeds = ["gpu", "slice", "late", "deployment", "slice", "gpu"] as const;
  for (const [at, what] of deeds.entries()) {
    const tokens = { prompt: 20_000, cached: 7_001, completion: 333 };
    await perform(world, { user: 0, pauseMs: 7 * HOUR_MS, what, lagMs: 59_000, model: at % 2, ...tokens });
  }
  const owner = openDatabase({ url: f.url, connectionsMax: 1, log: silentLog });
  t.after(() => owner.close());
  const tables = async () => [
    (await sql`select * from spend_bucket order by 1, 2, 3, 4, 5`.execute(owner.db)).rows,
    (await sql`select * from usage_day order by 1, 2, 3, 4, 5, 6`.execute(owner.db)).rows,
  ];
  const filled = await tables();
  await sql`truncate spend_bucket, usage_day`.execute(owner.db);
  const migration = await readFile(join(MIGRATIONS, "0008_spending.sql"), "utf8");
  for (const statement of migration.match(/^insert into [^;]+/gm) ?? []) {
    await sql.raw(statement).execute(owner.db);
  }
  assert.deepEqual(await tables(), filled);
  assert.ok(filled.every((rows) => rows.length > 4));
});
