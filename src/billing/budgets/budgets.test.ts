/** Budgets on the real database: whatever happens in whatever order, none is overrun and nothing stays reserved. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import pg from "pg";
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
  WINDOW_MS,
} from "../../../test/support/billing.ts";
import { StatusError } from "../../base/status.ts";
import { withTransaction } from "../../db/db.ts";
import { listen } from "../../db/listen.ts";
import { createApiKey, createUser, deleteApiKey, rotateApiKey } from "../../identity/index.ts";
import {
  type BudgetUse,
  balanceOf,
  budgetRoomSince,
  checkBooks,
  closeSlice,
  endSlot,
  ensureWindowHeld,
  holdNextWindow,
  ingestUsage,
  leaseSlice,
  listBudgets,
  meterProbe,
  type NewBudget,
  removeBudget,
  type Slice,
  setBudget,
  settleSlices,
  type UsageRecord,
} from "../index.ts";

const MODEL = "11111111-1111-4111-8111-111111111111";
const HOUR = 3_600_000;
/** 600 uncached input tokens at 2 and 100 output tokens at 6 a million. */
const CHARGE = (600n * units(2) + 100n * units(6)) / 1_000_000n;
const everybody = { mayReach: () => true };

const set = (f: Fixture, more: Partial<NewBudget> & { nanos: bigint }) =>
  setBudget(f.ctx, {
    ...{ userId: f.userId, kind: "key", subject: "key-a", period: "day" },
    limit: { currency: CURRENCY, nanos: more.nanos },
    ...more,
  });
const lease = (f: Fixture, wantNanos: bigint, keyId: string | null = "key-a", servedName = "tiny") =>
  leaseSlice(f.ctx, {
    ...{ gatewayId: "gateway-1", userId: f.userId, wantNanos, currency: CURRENCY, now: f.now() },
    purpose: { keyId, modelId: MODEL, servedName },
  });
const close = (f: Fixture, sliceId: string) =>
  closeSlice(f.ctx, { gatewayId: "gateway-1", sliceId, now: f.now() });
const useOf = async (f: Fixture, period = "day", kind = "key"): Promise<BudgetUse> => {
  const found = (await listBudgets(f.ctx, { userId: f.userId })).find(
    (one) => one.period === period && one.kind === kind,
  );
  assert.ok(found, `there is a ${period} budget of a ${kind}`);
  return found;
};
const counted = async (f: Fixture, period?: string, kind?: string) => {
  const { spentNanos, reservedNanos } = await useOf(f, period, kind);
  return [spentNanos, reservedNanos];
};
const goodBooks = async (f: Fixture) => {
  // What other tests have left out is overdue by now, or not: the job that ends it has run.
  await settleSlices(f.ctx, { now: f.now() });
  assert.deepEqual((await checkBooks(f.ctx, { now: f.now() })).findings, []);
};

/** One database for all: each test has a user of its own, and begins at the same time. */
const database = fixture({ after }, { connectionsMax: 8 });
const tokenPrice = database.then((f) => tokenPriceOf(f));

async function setup(nanos = units(100)) {
  const shared = await database;
  const f: Fixture = { ...shared, userId: (await createUser(shared.ctx, {})).id };
  f.advance(START.getTime() - f.now().getTime());
  await credit(f, nanos);
  const price = await tokenPrice;
  const priced = (sliceId: string) => ({ sliceId, priceVersionId: price.versionId, keyId: "key-a" });
  return { f, priced };
}

test("a lease takes from what is left of every budget that applies, and of no other's", async () => {
  const { f, priced } = await setup();
  await set(f, { nanos: units(1) });
  await set(f, { period: "month", nanos: units(2) });
  await set(f, { kind: "catalog", subject: "tiny", period: "total", nanos: units(3) });
  await set(f, { subject: "key-b", nanos: 1n });
  const { sliceId, amountNanos } = await lease(f, units(0.9));
  assert.equal(amountNanos, units(0.9));
  for (const [period, kind] of [["day"], ["month"], ["total", "catalog"]])
    assert.deepEqual(await counted(f, period, kind), [0n, units(0.9)]);
  await assert.rejects(lease(f, units(0.2)), (error: StatusError) => {
    assert.equal(error.reason, "BUDGET_EXCEEDED");
    const { budget, period, subject, needed, available, resets_at: resets } = error.metadata;
    assert.deepEqual([budget, period, subject, needed, available], ["key", "day", "key-a", "0.20", "0.10"]);
    assert.equal(resets, "2026-03-02T00:00:00.000Z");
    return true;
  });
  assert.ok((await lease(f, units(0.2), "key-of-nobody-else")).amountNanos > 0n);
  await ingestUsage(f.ctx, [usage(f, priced(sliceId)), usage(f, priced(sliceId))]);
  assert.deepEqual(await counted(f), [2n * CHARGE, units(0.9) - 2n * CHARGE]);
  await close(f, sliceId);
  await close(f, sliceId);
  assert.deepEqual(await counted(f), [2n * CHARGE, 0n]);
  assert.deepEqual(await counted(f, "month"), [2n * CHARGE, 0n]);
  await goodBooks(f);
});

test("a small lease takes a twentieth of the budget's rest at most, so that gateways find something left", async () => {
  const { f } = await setup();
  await set(f, { nanos: units(2) });
  assert.equal((await lease(f, units(0.05))).amountNanos, units(0.1));
  assert.equal((await lease(f, 1_000n)).amountNanos, 64_000n);
});

test("the smaller of budget and balance is told, so that what it affords is affordable", async () => {
  const { f } = await setup(units(1));
  await set(f, { nanos: units(5) });
  await assert.rejects(lease(f, units(2)), { reason: "BALANCE_TOO_LOW" });
  await set(f, { nanos: units(0.5) });
  await assert.rejects(lease(f, units(2)), (error: StatusError) => {
    assert.deepEqual([error.reason, error.metadata.available], ["BUDGET_EXCEEDED", "0.50"]);
    return true;
  });
  assert.equal((await lease(f, units(0.5))).amountNanos, units(0.5));
});

test("a period's turn frees the budget at once; what an older slice still spends counts where it was leased", async () => {
  const { f, priced } = await setup();
  await set(f, { nanos: units(1) });
  await set(f, { period: "total", nanos: units(1.5) });
  f.advance(Date.parse("2026-03-31T23:59:00Z") - f.now().getTime());
  const { sliceId } = await lease(f, units(1));
  await assert.rejects(lease(f, 1n), { reason: "BUDGET_EXCEEDED" });
  f.advance(60_000);
  assert.deepEqual(await counted(f), [0n, 0n]);
  const next = await lease(f, units(0.5));
  await assert.rejects(lease(f, units(0.1)), (error: StatusError) => error.metadata.period === "total");
  await ingestUsage(f.ctx, [usage(f, priced(sliceId))]);
  assert.deepEqual(await counted(f), [0n, units(0.5)], "not the day in which it was used");
  await close(f, next.sliceId);
  f.advance(2 * HOUR);
  await settleSlices(f.ctx, { now: f.now() });
  assert.deepEqual(await counted(f, "total"), [CHARGE, 0n], "a slice that nobody closed gives back too");
  await goodBooks(f);
});

test("a limit lowered below what is spent holds at once, breaks nothing and calls back what is out", async (t) => {
  const { f, priced } = await setup();
  await set(f, { nanos: units(1) });
  const { sliceId } = await lease(f, units(1));
  await ingestUsage(f.ctx, [usage(f, priced(sliceId))]);
  const heard = Promise.withResolvers<string>();
  const connected = Promise.withResolvers<void>();
  const stop = listen({
    ...{ url: f.url, channels: ["slipway_slices"], log: f.ctx.log, clock: f.ctx.clock },
    onNotify: (_channel, payload) => heard.resolve(payload),
    onConnect: () => connected.resolve(),
  });
  t.after(stop);
  await connected.promise;
  const lowered = await set(f, { nanos: 1n });
  assert.equal(await heard.promise, sliceId);
  assert.deepEqual([lowered.limitNanos, lowered.spentNanos], [1n, CHARGE]);
  await ingestUsage(f.ctx, [usage(f, priced(sliceId))]);
  await close(f, sliceId);
  assert.deepEqual(await counted(f), [2n * CHARGE, 0n]);
  await assert.rejects(lease(f, 1n), (error: StatusError) => error.metadata.available === "0.00");
  await set(f, { nanos: 3n * CHARGE });
  assert.equal((await lease(f, CHARGE)).amountNanos, CHARGE, "raised, it goes on from what was spent");
  const { budgetId } = await useOf(f);
  await removeBudget(f.ctx, { budgetId, ...everybody });
  await removeBudget(f.ctx, { budgetId, ...everybody });
  assert.ok((await lease(f, units(2))).amountNanos >= units(2));
  assert.deepEqual([(await set(f, { nanos: 5n })).spentNanos, await counted(f)], [0n, [0n, 0n]]);
  await goodBooks(f);
});

test("limits that are no sound amount of the installation's money are refused, and another's budget is not there", async () => {
  const { f } = await setup();
  for (const nanos of [0n, -1n, 10n ** 18n + 1n])
    await assert.rejects(set(f, { nanos }), { reason: "AMOUNT_INVALID" });
  await assert.rejects(set(f, { nanos: 1n, limit: { currency: "EUR", nanos: 1n } }), {
    reason: "CURRENCY_MISMATCH",
  });
  const { budgetId } = await set(f, { nanos: 10n ** 18n });
  await assert.rejects(removeBudget(f.ctx, { budgetId, mayReach: () => false }), {
    reason: "BUDGET_NOT_FOUND",
  });
  const missing = f.ctx.random.uuid();
  await assert.rejects(removeBudget(f.ctx, { budgetId: missing, ...everybody }), {
    reason: "BUDGET_NOT_FOUND",
  });
});

test("a key's new secret keeps its budget, and a deleted key's is over", async () => {
  const { f } = await setup();
  const { apiKey } = await createApiKey(f.ctx, { userId: f.userId, name: "", scopes: [], expiresAt: null });
  await set(f, { subject: apiKey.id, nanos: units(1) });
  const slice = await lease(f, units(1), apiKey.id);
  const principal = { userId: f.userId, role: "USER", tokenId: "t", scopes: [] } as const;
  await rotateApiKey(f.ctx, { principal, keyId: apiKey.id, graceMs: 0 });
  await assert.rejects(lease(f, 1n, apiKey.id), { reason: "BUDGET_EXCEEDED" });
  await deleteApiKey(f.ctx, { principal, keyId: apiKey.id });
  assert.deepEqual(await listBudgets(f.ctx, { userId: f.userId }), []);
  await close(f, slice.sliceId);
  await goodBooks(f);
});

test("GPU windows count in the model's budgets, in the period in which they begin", async () => {
  const { f } = await setup();
  const price = await cpuPrice(f);
  const whole = units(0.9);
  const slot = { deploymentId: f.ctx.random.uuid(), slot: 0 };
  const input = { ...slot, modelId: MODEL, userId: f.userId, price, gpuCount: 0, windowMs: WINDOW_MS };
  const ensure = () => withTransaction(f.ctx, (tx) => ensureWindowHeld(tx, { ...input, now: f.now() }));
  const next = () => withTransaction(f.ctx, (tx) => holdNextWindow(tx, { ...slot, price, now: f.now() }));
  const probe = () => withTransaction(f.ctx, (tx) => meterProbe(tx, { ...slot, at: f.now() }));
  await set(f, { kind: "model", subject: MODEL, nanos: whole });
  await set(f, { kind: "key", subject: "key-a", nanos: 1n });
  f.advance(Date.parse("2026-03-01T23:40:00Z") - f.now().getTime());
  await ensure();
  await probe();
  assert.deepEqual(await counted(f, "day", "model"), [0n, whole]);
  await assert.rejects(next(), (error: StatusError) => {
    assert.deepEqual([error.reason, error.metadata.budget], ["BUDGET_EXCEEDED", "model"]);
    return true;
  });
  await withTransaction(f.ctx, (tx) => endSlot(tx, { ...slot, at: f.advance(10_000) }));
  assert.deepEqual(await counted(f, "day", "model"), [units(0.01), 0n]);
  await assert.rejects(ensure(), { reason: "BUDGET_EXCEEDED" });
  const pausedAt = f.now();
  const room = async () => (await budgetRoomSince(f.ctx, [{ modelId: MODEL, since: pausedAt }]))[0];
  f.advance(90_000);
  assert.equal(await room(), false, "what the ended window gave back is no reason");
  const { budgetId } = await set(f, { kind: "model", subject: MODEL, nanos: 2n * whole });
  assert.equal(await room(), true);
  f.advance(4 * 60_000);
  await ensure();
  await probe();
  f.advance(Date.parse("2026-03-01T23:59:50Z") - f.now().getTime());
  assert.deepEqual((await counted(f, "day", "model"))[1], whole);
  await next();
  assert.deepEqual((await counted(f, "day", "model"))[1], whole, "the next one is tomorrow's");
  f.advance(20_000);
  assert.deepEqual(await counted(f, "day", "model"), [0n, whole]);
  await withTransaction(f.ctx, (tx) => endSlot(tx, { ...slot, at: f.now() }));
  assert.deepEqual(await counted(f, "day", "model"), [0n, 0n]);
  assert.equal(await room(), true, "the day has turned");
  await removeBudget(f.ctx, { budgetId, ...everybody });
  assert.equal(await room(), true, "nothing bounds it any more");
  await goodBooks(f);
});

test("many connections that lease at once never set aside more than the budget, and what is free is had", async () => {
  const { f } = await setup(units(100));
  await set(f, { nanos: 1_000n });
  await set(f, { period: "month", nanos: 1_500n });
  const asked = Array.from({ length: 40 }, (_, at) => lease(f, 90n, "key-a", at % 2 ? "tiny" : "other"));
  const outcomes = await Promise.allSettled(asked);
  const got = outcomes.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const sum = got.reduce((total, slice) => total + slice.amountNanos, 0n);
  assert.ok(sum <= 1_000n && sum > 1_000n - 90n, `${sum} set aside`);
  for (const one of outcomes)
    if (one.status === "rejected") assert.equal(StatusError.from(one.reason).reason, "BUDGET_EXCEEDED");
  assert.deepEqual(await counted(f), [0n, sum]);
  await Promise.all(got.flatMap(({ sliceId }) => [close(f, sliceId), close(f, sliceId)]));
  assert.deepEqual(await counted(f), [0n, 0n]);
  assert.deepEqual(await counted(f, "month"), [0n, 0n]);
  await goodBooks(f);
});

test("the check of the books finds budgets that count something else than their holds", async () => {
  const { f } = await setup();
  await set(f, { nanos: units(1) });
  const { sliceId } = await lease(f, units(0.5));
  const findings = async () => (await checkBooks(f.ctx, { now: f.now() })).findings.map(({ check }) => check);
  await settleSlices(f.ctx, { now: f.now() });
  assert.deepEqual(await findings(), []);
  const use = `where budget_id = (select budget_id from budget_hold where hold_id = '${sliceId}')`;
  const wrongs: readonly (readonly [string, string])[] = [
    [
      `update budget_use set reserved = reserved + 1 ${use}`,
      `update budget_use set reserved = reserved - 1 ${use}`,
    ],
    [`update budget_use set spent = spent + 1 ${use}`, `update budget_use set spent = spent - 1 ${use}`],
    [
      `update ledger_hold set budgeted = false where id = '${sliceId}'`,
      `update ledger_hold set budgeted = true where id = '${sliceId}'`,
    ],
    [
      `update budget set currency = 'EUR' where id = (select budget_id from budget_use ${use})`,
      `update budget set currency = 'USD' where id = (select budget_id from budget_use ${use})`,
    ],
  ];
  const owner = new pg.Client({ connectionString: f.url });
  await owner.connect();
  try {
    for (const [wrong, right] of wrongs) {
      await owner.query(wrong);
      assert.deepEqual(await findings(), ["budgets"], wrong);
      await owner.query(right);
    }
  } finally {
    await owner.end();
  }
  await assert.rejects(sql`update budget_use set spent = 0`.execute(f.ctx.db), /permission denied/);
});

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("lease"),
      key: fc.constantFrom("key-a", "key-b", null),
      name: fc.constantFrom("tiny", "other"),
      want: fc.bigInt({ min: 1n, max: 6_000_000n }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("use"),
      picks: fc.array(fc.nat(9), { minLength: 1, maxLength: 4 }),
      again: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("close"), pick: fc.nat(9) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("pass"), ms: fc.constantFrom(60_000, 2 * HOUR, 26 * HOUR) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("limit"), nanos: fc.bigInt({ min: 1n, max: 9_000_000n }) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test("no history of leases, usage, closings, expiries and duplicates overruns a budget or leaves something reserved", async () => {
  const { f, priced } = await setup(units(1_000));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 20 }), async (steps) => {
      for (const one of await listBudgets(f.ctx, { userId: f.userId }))
        await removeBudget(f.ctx, { budgetId: one.budgetId, ...everybody });
      for (const period of ["day", "month", "total"] as const) await set(f, { period, nanos: 5_000_000n });
      await set(f, { kind: "catalog", subject: "tiny", period: "day", nanos: 4_000_000n });
      const slices: Slice[] = [];
      const shipped: UsageRecord[] = [];
      const highest = new Map<string, bigint>();
      for (const one of steps) {
        await perform(f, one, { slices, shipped, priced });
        for (const use of await listBudgets(f.ctx, { userId: f.userId })) {
          const key = use.budgetId;
          const most = highest.get(key) ?? 0n;
          highest.set(key, use.limitNanos > most ? use.limitNanos : most);
          assert.ok(use.spentNanos + use.reservedNanos <= (highest.get(key) ?? 0n), "a budget is overrun");
        }
      }
      f.advance(2 * HOUR);
      await settleSlices(f.ctx, { now: f.now() });
      for (const use of await listBudgets(f.ctx, { userId: f.userId })) assert.equal(use.reservedNanos, 0n);
      assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, 0n);
    }),
    { numRuns: 15 },
  );
  await goodBooks(f);
});

interface Made {
  readonly slices: Slice[];
  readonly shipped: UsageRecord[];
  priced(sliceId: string): Partial<UsageRecord>;
}

async function perform(f: Fixture, one: Step, { slices, shipped, priced }: Made): Promise<void> {
  switch (one.do) {
    case "lease": {
      const leased = await lease(f, one.want, one.key, one.name).catch((error: unknown) => {
        assert.equal(StatusError.from(error).reason, "BUDGET_EXCEEDED");
      });
      if (leased) slices.push(leased);
      return;
    }
    case "use": {
      const fresh = one.picks.flatMap((pick) => {
        const slice = slices[pick % Math.max(slices.length, 1)];
        return slice ? [usage(f, priced(slice.sliceId))] : [];
      });
      await ingestUsage(f.ctx, one.again ? [...shipped, ...fresh, ...fresh] : fresh);
      shipped.push(...fresh);
      return;
    }
    case "close": {
      const slice = slices[one.pick % Math.max(slices.length, 1)];
      if (slice) await close(f, slice.sliceId);
      return;
    }
    case "pass":
      f.advance(one.ms);
      return void (await settleSlices(f.ctx, { now: f.now() }));
    case "limit":
      return void (await set(f, { nanos: one.nanos }));
  }
}
