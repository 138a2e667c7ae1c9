/** Random histories of everything that moves money, against the real database; after each the books must be good. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import {
  CURRENCY,
  cpuPrice,
  type Fixture,
  fixture,
  tokenPriceOf,
  units,
  usage,
} from "../../test/support/billing.ts";
import { parsePage } from "../base/page.ts";
import { StatusError } from "../base/status.ts";
import { withTransaction } from "../db/db.ts";
import { createUser } from "../identity/index.ts";
import {
  attachCard,
  auditLedger,
  balanceOf,
  checkBooks,
  closeSlice,
  endSlot,
  ensureWindowHeld,
  expireCredit,
  type GpuPrice,
  grantCredit,
  holdNextWindow,
  ingestUsage,
  leaseSlice,
  meterProbes,
  rebuildBalances,
  type Slice,
  sealTransfers,
  settleSlices,
  statement,
  statementQuery,
  type TokenPriceVersion,
  testPayments,
  topUp,
  type UsageRecord,
} from "./index.ts";
import { sumOfKind } from "./ledger/index.ts";

const RUNS = 12;
const STEPS_MIN = 60;
const STEPS_MAX = 120;
const WINDOW_MS = 60_000;

/** One deed; numbers choose among what is there. */
const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("credit"),
      user: fc.nat(1),
      cents: fc.integer({ min: 1, max: 300 }),
      /** Until it expires; null: never. */
      minutes: fc.constantFrom(null, null, 1, 5),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("topUp"), user: fc.nat(1), key: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("ensure"), slot: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("holdNext"), slot: fc.nat(2) }) },
  {
    weight: 16,
    arbitrary: fc.record({
      do: fc.constant("probe"),
      slots: fc.uniqueArray(fc.nat(2), { minLength: 1 }),
      ms: fc.constantFrom(0, 1, 9_999, 20_000, 25_000, 30_000, 30_001),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("end"), slot: fc.nat(2), ms: fc.constantFrom(0, 5_000, 40_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("lease"),
      user: fc.nat(1),
      want: fc.integer({ min: 1, max: 300_000_000 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("use"),
      picks: fc.array(fc.nat(9), { minLength: 1, maxLength: 6 }),
      tokens: fc.nat(40_000),
      again: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("close"), pick: fc.nat(9) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("settle"), ms: fc.constantFrom(60_000, 3 * 3_600_000) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface World {
  readonly f: Fixture;
  readonly users: readonly string[];
  readonly gpu: GpuPrice;
  readonly tokens: TokenPriceVersion;
  readonly deploymentId: string;
  readonly slices: (Slice & { readonly userId: string })[];
  readonly shipped: UsageRecord[];
  readonly paidKeys: Set<string>;
  /** What came in, by user, as this test counts it. */
  readonly paidIn: Map<string, bigint>;
}

test("after any history entries sum to zero, nobody is below zero, and everything was counted once", async (t) => {
  const f = await fixture(t);
  const gpu = await cpuPrice(f, 3_600_000_007n);
  const tokens = await tokenPriceOf(f);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: STEPS_MIN, maxLength: STEPS_MAX }), async (steps) => {
      const world = await newWorld(f, gpu, tokens);
      for (const one of steps) await perform(world, one);
      await check(world);
    }),
    { numRuns: RUNS },
  );
});

async function newWorld(f: Fixture, gpu: GpuPrice, tokens: TokenPriceVersion): Promise<World> {
  const users = [await createUser(f.ctx, {}), await createUser(f.ctx, {})].map((user) => user.id);
  const processor = testPayments();
  for (const userId of users) await attachCard(f.ctx, processor, { userId, cardId: "pm_card_visa" });
  return {
    ...{ f, users, gpu, tokens, deploymentId: f.ctx.random.uuid() },
    ...{ slices: [], shipped: [], paidKeys: new Set(), paidIn: new Map() },
  };
}

/** Does one deed; money that isn't there is an answer like any other. */
async function perform(world: World, one: Step): Promise<void> {
  try {
    await deed(world, one);
  } catch (error) {
    if (!(error instanceof StatusError) || error.reason !== "BALANCE_TOO_LOW") throw error;
  }
}

async function deed(world: World, one: Step): Promise<void> {
  const { f, users, deploymentId } = world;
  const userAt = (at: number) => users[at] ?? "";
  const clocked = <T>(work: (tx: Parameters<typeof endSlot>[0]) => Promise<T>) =>
    withTransaction(f.ctx, work);
  switch (one.do) {
    case "credit": {
      const nanos = units(one.cents / 100);
      await give(f, nanos, userAt(one.user), one.minutes);
      return paidIn(world, userAt(one.user), nanos);
    }
    case "topUp":
      return payOnce(world, userAt(one.user), `${deploymentId}/${one.user}/${one.key}`);
    case "ensure":
      return void (await clocked((tx) => ensureWindowHeld(tx, windowOf(world, one.slot))));
    case "holdNext":
      return void (await clocked((tx) =>
        holdNextWindow(tx, { deploymentId, slot: one.slot, price: world.gpu, now: f.now() }),
      ));
    case "probe": {
      const at = f.advance(one.ms);
      const probes = one.slots.map((slot) => ({ deploymentId, slot, at }));
      return void (await clocked((tx) => meterProbes(tx, probes)));
    }
    case "end": {
      const at = f.advance(one.ms);
      return clocked((tx) => endSlot(tx, { deploymentId, slot: one.slot, at }));
    }
    case "lease": {
      const userId = userAt(one.user);
      const wanted = {
        gatewayId: "g",
        userId,
        wantNanos: BigInt(one.want),
        currency: CURRENCY,
        now: f.now(),
      };
      world.slices.push({ ...(await leaseSlice(f.ctx, wanted)), userId });
      return;
    }
    case "use":
      return use(world, one.picks, one.tokens, one.again);
    case "close": {
      const slice = world.slices[one.pick % Math.max(1, world.slices.length)];
      if (!slice) return;
      return closeSlice(f.ctx, { gatewayId: "g", sliceId: slice.sliceId, now: f.now() });
    }
    case "settle":
      return void (await settleSlices(f.ctx, { now: f.advance(one.ms) }));
  }
}

async function give(f: Fixture, nanos: bigint, userId: string, minutes: number | null): Promise<void> {
  await grantCredit(f.ctx, {
    ...{
      operatorId: userId,
      userId,
      amount: { currency: CURRENCY, nanos },
      reason: "",
      key: f.ctx.random.uuid(),
    },
    expiresAt: minutes === null ? null : new Date(f.now().getTime() + minutes * 60_000),
  });
}

function windowOf(world: World, slot: number) {
  const { f, deploymentId, gpu, users } = world;
  return {
    ...{ deploymentId, modelId: deploymentId, slot, userId: users[slot % 2] ?? "" },
    ...{ price: gpu, gpuCount: slot, windowMs: WINDOW_MS, now: f.now() },
  };
}

async function payOnce(world: World, userId: string, key: string): Promise<void> {
  const nanos = units(2);
  await topUp(world.f.ctx, testPayments(), { userId, money: { currency: CURRENCY, nanos }, cardId: "", key });
  if (!world.paidKeys.has(key)) paidIn(world, userId, nanos);
  world.paidKeys.add(key);
}

function paidIn(world: World, userId: string, nanos: bigint): void {
  world.paidIn.set(userId, (world.paidIn.get(userId) ?? 0n) + nanos);
}

/** Ships fresh records, some twice in one batch, and with `again` everything that was ever shipped once more. */
async function use(world: World, picks: readonly number[], tokens: number, again: boolean): Promise<void> {
  const fresh = picks.flatMap((pick) => {
    const slice = world.slices[pick % Math.max(1, world.slices.length)];
    if (!slice) return [];
    const { sliceId, userId } = slice;
    const record = usage(world.f, {
      ...{ sliceId, userId, priceVersionId: world.tokens.versionId },
      ...{ promptTokens: tokens, cachedTokens: Math.floor(tokens / 3), completionTokens: pick * 1_000 },
    });
    return pick % 2 === 0 ? [record, record] : [record];
  });
  world.shipped.push(...fresh);
  await ingestUsage(world.f.ctx, again ? [...world.shipped, ...fresh] : fresh);
}

async function check(world: World): Promise<void> {
  const { f } = world;
  await expireCredit(f.ctx);
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
  assert.equal(await rebuildBalances(f.ctx), 0);
  await sealTransfers(f.ctx);
  assert.deepEqual((await checkBooks(f.ctx, { now: f.now() })).findings, []);
  for (const userId of world.users) await checkUser(world, userId);
  const requests = new Set(world.shipped.map((record) => record.requestId)).size;
  const found = await one<{ counted: bigint; charged: bigint; months: bigint; wrong: bigint }>(
    f,
    sql`select count(*) as counted, coalesce(sum(charge_nanos), 0)::bigint as charged,
      (select coalesce(sum(requests), 0)::bigint from token_month where user_id = any (${[...world.users]})) as months,
      count(*) filter (where charge_nanos + written_off_nanos <>
        ((prompt_tokens - cached_tokens) * 2000000000::bigint + completion_tokens * 6000000000::bigint) / 1000000) as wrong
      from usage_record where user_id = any (${[...world.users]})`,
  );
  assert.deepEqual([found.counted, found.months, found.wrong], [BigInt(requests), BigInt(requests), 0n]);
  const ends = await one<{ loose: bigint }>(
    f,
    sql`select count(*) as loose from ledger_hold h left join gpu_window w on w.hold_id = h.id left join token_slice s on s.id = h.id
      where (h.state = 'placed') <> coalesce(w.state in ('held', 'open'), s.closed_at is null)`,
  );
  assert.equal(ends.loose, 0n, "a hold is placed exactly while its window or slice lasts");
  const kinds = [
    "user",
    "credit",
    "revenue.gpu",
    "revenue.tokens",
    "processor.clearing",
    "credit.granted",
  ] as const;
  const sums = await Promise.all(
    [...kinds, "writeoff.unfunded" as const, "writeoff.late_usage" as const].map((kind) =>
      sumOfKind(f.ctx, kind, CURRENCY),
    ),
  );
  assert.equal(
    sums.reduce((total, sum) => total + sum, 0n),
    0n,
  );
}

/** Balance = what came in − what windows and tokens cost and what expired, and the statement says the same. */
async function checkUser(world: World, userId: string): Promise<void> {
  const { f } = world;
  const balance = await balanceOf(f.ctx, userId);
  assert.ok(balance.availableNanos >= 0n && balance.heldNanos >= 0n);
  const spent = await one<{ gpu: bigint; tokens: bigint; expired: bigint; uneven: bigint }>(
    f,
    sql`select
      (select coalesce(sum(charge_nanos), 0)::bigint from gpu_window where user_id = ${userId}) as gpu,
      (select coalesce(sum(charge_nanos), 0)::bigint from usage_record where user_id = ${userId}) as tokens,
      (select coalesce(-sum(e.amount), 0)::bigint from ledger_entry e join ledger_account a on a.id = e.account_id
        join ledger_transfer t on t.id = e.transfer_id
        where a.owner_id = ${userId} and t.code = 'credit.expire') as expired,
      (select count(*) from gpu_window where user_id = ${userId}
        and charged_ms > ${WINDOW_MS}) as uneven`,
  );
  assert.equal(
    balance.totalNanos,
    (world.paidIn.get(userId) ?? 0n) - spent.gpu - spent.tokens - spent.expired,
  );
  assert.equal(spent.uneven, 0n);
  const query = { userId, codes: undefined, modelId: "" };
  let total = 0n;
  let pageToken = "";
  do {
    const page = parsePage({ pageSize: 7, pageToken }, statementQuery(query));
    const answer = await statement(f.ctx, query, page);
    for (const line of answer.rows) if (line.state === "succeeded") total += line.nanos;
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  assert.equal(total, balance.totalNanos, "the statement adds up to the balance");
}

async function one<T>(f: Fixture, query: ReturnType<typeof sql>): Promise<T> {
  const { rows } = await sql<T>`${query}`.execute(f.ctx.db);
  const [row] = rows;
  if (row === undefined) throw new Error("no row");
  return row;
}
