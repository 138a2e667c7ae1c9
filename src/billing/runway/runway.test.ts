import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import {
  CURRENCY,
  cpuPrice,
  credit,
  type Fixture,
  fixture,
  tokenPriceOf,
  units,
  usage,
  WINDOW_MS,
} from "../../../test/support/billing.ts";
import { withTransaction } from "../../db/db.ts";
import { grantCredit } from "../credit/index.ts";
import {
  balanceOf,
  configureBilling,
  ensureWindowHeld,
  type GpuPrice,
  ingestUsage,
  leaseSlice,
  meterProbe,
  moneyCameSince,
  moneyVerdict,
  type News,
  runwayOf,
  tellNews,
  watchRunways,
} from "../index.ts";
import { planMark } from "./marks.ts";
import { runwayAt } from "./runway.ts";

const MARKS = [86_400, 21_600, 3_600];
const DEPLOYMENT = "22222222-2222-4222-8222-222222222222";

/** Opens a window of a slot that costs 3.60 an hour. */
async function serve(f: Fixture, slot = 0, known?: GpuPrice): Promise<GpuPrice> {
  const price = known ?? (await cpuPrice(f));
  const key = { deploymentId: DEPLOYMENT, slot };
  await withTransaction(f.ctx, (tx) =>
    ensureWindowHeld(tx, {
      ...{ ...key, modelId: DEPLOYMENT, userId: f.userId, price, gpuCount: 0 },
      ...{ windowMs: WINDOW_MS, now: f.now() },
    }),
  );
  await withTransaction(f.ctx, (tx) => meterProbe(tx, { ...key, at: f.now() }));
  return price;
}

async function news(f: Fixture): Promise<readonly News[]> {
  const told: News[] = [];
  await tellNews(f.ctx, async (_tx, one) => void told.push(one));
  return told;
}

test("a mark is told once in a descent, and again only after the runway rose a tenth above it", () => {
  const walk = fc.array(fc.oneof(fc.nat(100_000), fc.constant(null)), { maxLength: 60 });
  fc.assert(
    fc.property(walk, (runways) => {
      let told: number | null = null;
      /** The highest the runway was since each mark was told. */
      const since = new Map<number, number>();
      for (const runway of runways) {
        for (const [mark, most] of since) since.set(mark, Math.max(most, runway ?? Number.POSITIVE_INFINITY));
        const plan = planMark(runway, MARKS, told);
        if (plan.tell) {
          const mark = plan.toldSeconds ?? 0;
          assert.ok(runway !== null && runway < mark);
          assert.ok(
            MARKS.every((other) => other >= mark || runway >= other),
            "the shortest that was passed",
          );
          const before = since.get(mark);
          assert.ok(before === undefined || before >= mark * 1.1, "a new descent");
          since.set(mark, runway);
        }
        told = plan.toldSeconds;
        const passed = MARKS.filter((mark) => runway !== null && runway < mark);
        if (passed.length > 0)
          assert.ok(told !== null && told <= Math.min(...passed), "nobody is left untold");
      }
    }),
  );
});

test("the runway counts open windows and the last hour's tokens over what no hold has taken", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  await serve(f);
  const price = await tokenPriceOf(f);
  const slice = await leaseSlice(f.ctx, {
    ...{ gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() },
  });
  const record = { sliceId: slice.sliceId, priceVersionId: price.versionId, promptTokens: 1_000_000 };
  await ingestUsage(f.ctx, [usage(f, { ...record, cachedTokens: 600_000, completionTokens: 0 })]);
  const balance = await balanceOf(f.ctx, f.userId);
  const runway = await runwayOf(f.ctx, f.userId, balance);
  assert.equal(runway.burnNanosPerHour, units(3.6));
  assert.equal(runway.tokenNanosPerHour, units(0.8));
  assert.equal(runway.runwaySeconds, Number((balance.availableNanos * 3_600n) / units(4.4)));
  f.advance(3_700_000);
  assert.equal(
    (await runwayOf(f.ctx, f.userId, balance)).tokenNanosPerHour,
    0n,
    "an hour later it is forgotten",
  );
});

test("credit that expires before it can be spent does not make the money last", () => {
  const now = new Date("2026-03-01T00:00:00Z");
  const hours = (count: number) => new Date(now.getTime() + count * 3_600_000);
  const burn = { burnNanosPerHour: 6n, tokenNanosPerHour: 4n };
  const lasts = (availableNanos: bigint, endings: readonly (readonly [bigint, number])[]) =>
    runwayAt(
      { availableNanos, endings: endings.map(([nanos, at]) => ({ nanos, at: hours(at) })) },
      burn,
      now,
    );
  assert.equal(lasts(100n, []), 36_000);
  assert.equal(lasts(100n, [[20n, 2]]), 36_000, "spent just in time");
  assert.equal(lasts(100n, [[80n, 2]]), 4 * 3_600, "20 of 80, then 20 of card money");
  assert.equal(
    lasts(100n, [
      [30n, 2],
      [30n, 3],
      [40n, 4],
    ]),
    4 * 3_600,
  );
  assert.equal(
    lasts(100n, [
      [10n, 1],
      [10n, 8],
      [80n, 9],
    ]),
    9 * 3_600,
  );
  const pots = fc.array(fc.tuple(fc.bigInt(0n, 200n), fc.integer({ min: 1, max: 30 })), { maxLength: 6 });
  fc.assert(
    fc.property(pots, fc.bigInt(0n, 300n), (unordered, rest) => {
      const endings = [...unordered].sort(([, a], [, b]) => a - b);
      const total = endings.reduce((sum, [nanos]) => sum + nanos, rest);
      // Hour by hour: what is charged in an hour is taken of what has not ended by then.
      let pocket = endings.map(([nanos, at]) => ({ nanos: Number(nanos), at }));
      let card = Number(rest);
      let seconds = 0;
      for (let hour = 0; ; hour++) {
        pocket = pocket.filter(({ nanos, at }) => at > hour && nanos > 0);
        const have = pocket.reduce((sum, { nanos }) => sum + nanos, card);
        seconds += (Math.min(10, have) * 3_600) / 10;
        if (have < 10) break;
        let due = 10;
        for (const pot of pocket) {
          const taken = Math.min(due, pot.nanos);
          pot.nanos -= taken;
          due -= taken;
        }
        card -= due;
      }
      assert.equal(lasts(total, endings), seconds);
    }),
  );
});

test("who has only credit that ends soon is told as if it ended then", async (t) => {
  const f = await fixture(t);
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off", runwayMarks: [7_200] });
  await grantCredit(f.ctx, {
    ...{ operatorId: f.userId, userId: f.userId, amount: { currency: CURRENCY, nanos: units(1_000) } },
    ...{ reason: "", key: "k", expiresAt: new Date(f.now().getTime() + 3_600_000) },
  });
  await serve(f);
  assert.equal((await runwayOf(f.ctx, f.userId, await balanceOf(f.ctx, f.userId))).runwaySeconds, 3_600);
  assert.equal(await watchRunways(f.ctx), 1);
  const [told] = await news(f);
  assert.ok(told?.kind === "RUNWAY_LOW" && told.runwaySeconds === 3_600);
  await credit(f, units(1_000));
  assert.equal(await watchRunways(f.ctx), 0);
});

test("marks are told in order down to the shortest, by one worker, with an event of the account", async (t) => {
  const f = await fixture(t, { connectionsMax: 8 });
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off", runwayMarks: MARKS });
  await credit(f, units(30));
  const price = await serve(f);
  const passes = await Promise.all([1, 2, 3].map(() => watchRunways(f.ctx)));
  assert.deepEqual(passes.sort(), [0, 0, 1], "of three workers one tells");
  await watchRunways(f.ctx);
  const [first, ...rest] = await news(f);
  assert.deepEqual(rest, []);
  assert.ok(first?.kind === "RUNWAY_LOW");
  assert.equal(first.markSeconds, 86_400);
  assert.ok(first.runwaySeconds < 86_400 && first.runwaySeconds > 21_600);
  assert.deepEqual(first.burn, { currency: CURRENCY, nanos: units(3.6) });
  await serve(f, 1, price);
  await serve(f, 2, price);
  await watchRunways(f.ctx);
  assert.deepEqual(
    (await news(f)).map((one) => one.kind === "RUNWAY_LOW" && one.markSeconds),
    [21_600],
  );
  await credit(f, units(1_000));
  await watchRunways(f.ctx);
  assert.deepEqual(await news(f), [], "money came: armed again, and nothing to tell");
  const { rows } = await sql<{ action: string }>`
    select action from audit_event where action = 'balance.runway_low' and subject_id = ${f.userId}`.execute(
    f.ctx.db,
  );
  assert.equal(rows.length, 2);
});

test("who spends nothing, or has an installation without marks, is told nothing", async (t) => {
  const f = await fixture(t);
  await credit(f, units(2));
  await serve(f);
  assert.equal(await watchRunways(f.ctx), 0);
  const g = await fixture(t);
  await configureBilling(g.ctx, { currency: CURRENCY, payments: "off", runwayMarks: MARKS });
  await credit(g, units(0.01));
  assert.equal(await watchRunways(g.ctx), 0);
});

test("a model may not scale up into a runway shorter than the shortest mark; a deploy may", async (t) => {
  const f = await fixture(t);
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off", runwayMarks: [3_600, 7_200] });
  await credit(f, units(5));
  const question = {
    userId: f.userId,
    holdNanos: units(0.9),
    currency: CURRENCY,
    placeKind: "local",
  } as const;
  assert.equal((await moneyVerdict(f.ctx, question)).ok, true);
  const far = await moneyVerdict(f.ctx, { ...question, scaleUpNanosPerHour: units(3.6) });
  assert.equal(far.ok, true);
  const short = await moneyVerdict(f.ctx, { ...question, scaleUpNanosPerHour: units(7.2) });
  assert.deepEqual(
    short.errors.map(({ reason, metadata }) => [reason, metadata.neededSeconds]),
    [["RUNWAY_SHORT", "3600"]],
  );
});

test("money that came is told from money that a hold gave back", async (t) => {
  const f = await fixture(t);
  await credit(f, units(5));
  f.advance(600_000);
  const since = f.now();
  f.advance(600_000);
  const asked = [{ userId: f.userId, since }];
  assert.deepEqual(await moneyCameSince(f.ctx, asked), [false]);
  const slice = await leaseSlice(f.ctx, {
    ...{ gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() },
  });
  assert.ok(slice.amountNanos > 0n);
  assert.deepEqual(await moneyCameSince(f.ctx, asked), [false]);
  await credit(f, units(1));
  assert.deepEqual(await moneyCameSince(f.ctx, [...asked, { userId: f.userId, since: f.advance(600_000) }]), [
    true,
    false,
  ]);
});
