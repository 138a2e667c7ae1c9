import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CURRENCY,
  cpuPrice,
  credit,
  type Fixture,
  fixture,
  units,
  WINDOW_MS,
} from "../../../test/support/billing.ts";
import { withTransaction } from "../../db/db.ts";
import {
  auditLedger,
  balanceOf,
  endSlot,
  ensureWindowHeld,
  type GpuPrice,
  holdNextWindow,
  meterProbe,
  meterProbes,
  moneyVerdict,
  setGpuPrice,
  slotTime,
} from "../index.ts";
import { sumOfKind } from "../ledger/index.ts";

const MODEL = "11111111-1111-4111-8111-111111111111";
const DEPLOYMENT = "22222222-2222-4222-8222-222222222222";
const SECOND = 1_000;
/** A second at the fixture's CPU price. */
const SECOND_NANOS = units(0.001);

const ensure = (f: Fixture, price: GpuPrice, change: { slot?: number; userId?: string } = {}) =>
  withTransaction(f.ctx, (tx) =>
    ensureWindowHeld(tx, {
      modelId: MODEL,
      deploymentId: DEPLOYMENT,
      userId: f.userId,
      slot: 0,
      price,
      gpuCount: 0,
      windowMs: WINDOW_MS,
      now: f.now(),
      ...change,
    }),
  );
const probe = (f: Fixture, slot = 0) =>
  withTransaction(f.ctx, (tx) => meterProbe(tx, { deploymentId: DEPLOYMENT, slot, at: f.now() }));
const end = (f: Fixture, slot = 0) =>
  withTransaction(f.ctx, (tx) => endSlot(tx, { deploymentId: DEPLOYMENT, slot, at: f.now() }));
const holdNext = (f: Fixture, price: GpuPrice) =>
  withTransaction(f.ctx, (tx) =>
    holdNextWindow(tx, { deploymentId: DEPLOYMENT, slot: 0, price, now: f.now() }),
  );

async function setup(t: Parameters<typeof fixture>[0], nanos = units(10)) {
  const f = await fixture(t);
  if (nanos > 0n) await credit(f, nanos);
  return { f, price: await cpuPrice(f) };
}

/** Probes every ten seconds for so long. */
async function serve(f: Fixture, ms: number): Promise<void> {
  for (let served = 0; served < ms; served += 10 * SECOND) {
    f.advance(10 * SECOND);
    await probe(f);
  }
}

test("a window is held before it begins and captured by the second", async (t) => {
  const { f, price } = await setup(t);
  const held = await ensure(f, price);
  assert.deepEqual([held.state, held.windowNo, held.windowEndsAt], ["held", 1, null]);
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(0.9));
  f.advance(60 * SECOND);
  const opened = await probe(f);
  assert.deepEqual([opened.state, opened.chargedMs], ["open", 0n]);
  await serve(f, 100 * SECOND);
  f.advance(5 * SECOND);
  await end(f);
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(10) - 105n * SECOND_NANOS, 0n]);
  assert.equal(await sumOfKind(f.ctx, "revenue.gpu", CURRENCY), 105n * SECOND_NANOS);
});

test("a failed start costs nothing", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  f.advance(WINDOW_MS * 3);
  await end(f);
  await end(f);
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(10), 0n]);
  assert.equal((await slotTime(f.ctx, { deploymentId: DEPLOYMENT }))[0]?.state, "none");
});

test("repeating any call changes nothing", async (t) => {
  const { f, price } = await setup(t);
  const first = await ensure(f, price);
  assert.deepEqual(await ensure(f, price), first);
  const opened = await probe(f);
  assert.deepEqual(await probe(f), opened);
  assert.deepEqual(await ensure(f, price), opened);
  const next = await holdNext(f, price);
  assert.deepEqual([next.nextHeld, next.windowNo], [true, 1]);
  assert.deepEqual(await holdNext(f, price), next);
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(1.8));
});

test("an older probe changes nothing", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  await probe(f);
  f.advance(10 * SECOND);
  const time = await probe(f);
  f.advance(-5 * SECOND);
  assert.deepEqual(await probe(f), time);
});

test("time between probes more than 30 s apart is free", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  await probe(f);
  f.advance(30 * SECOND);
  assert.equal((await probe(f)).chargedMs, 30_000n);
  f.advance(30 * SECOND + 1);
  assert.equal((await probe(f)).chargedMs, 30_000n);
  f.advance(60 * SECOND);
  await end(f);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(10) - 30n * SECOND_NANOS);
});

test("time is split over a window's end, and the next window follows at once", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  const opened = await probe(f);
  await holdNext(f, price);
  await serve(f, WINDOW_MS - 10 * SECOND);
  f.advance(25 * SECOND);
  const time = await probe(f);
  assert.deepEqual([time.windowNo, time.state, time.nextHeld], [2, "open", false]);
  assert.equal(time.windowEndsAt?.getTime(), (opened.windowEndsAt?.getTime() ?? 0) + WINDOW_MS);
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(10) - units(0.9), units(0.9)]);
  await end(f);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(10) - units(0.9) - 15n * SECOND_NANOS);
});

test("after a silence over the window's end the next window begins with the probe, whole", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  await probe(f);
  await holdNext(f, price);
  await serve(f, 100 * SECOND);
  f.advance(WINDOW_MS);
  const time = await probe(f);
  assert.equal(time.windowEndsAt?.getTime(), f.now().getTime() + WINDOW_MS);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(10) - 100n * SECOND_NANOS);
});

test("served time that no hold covers is written off, never the user's", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  await probe(f);
  await serve(f, WINDOW_MS - 10 * SECOND);
  f.advance(20 * SECOND);
  assert.equal((await probe(f)).state, "none");
  await serve(f, 20 * SECOND);
  assert.equal(await sumOfKind(f.ctx, "writeoff.unfunded", CURRENCY), -30n * SECOND_NANOS);
  assert.equal((await ensure(f, price)).state, "held");
  f.advance(10 * SECOND);
  assert.equal((await probe(f)).state, "open");
  assert.equal(await sumOfKind(f.ctx, "writeoff.unfunded", CURRENCY), -40n * SECOND_NANOS);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(10) - units(0.9));
});

test("ensureWindowHeld captures a window that is over and holds a fresh one that begins at the next probe", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  await probe(f);
  await serve(f, 50 * SECOND);
  f.advance(WINDOW_MS);
  const held = await ensure(f, price);
  assert.deepEqual([held.state, held.windowNo, held.chargedMs], ["held", 2, 50_000n]);
  f.advance(60 * SECOND);
  const opened = await probe(f);
  assert.equal(opened.windowEndsAt?.getTime(), f.now().getTime() + WINDOW_MS);
});

test("without money no window is held, and nothing is left half done", async (t) => {
  const { f, price } = await setup(t, units(1));
  await ensure(f, price);
  await probe(f);
  await assert.rejects(holdNext(f, price), {
    reason: "BALANCE_TOO_LOW",
    metadata: { needed: "0.90", available: "0.10", currency: "USD" },
  });
  const [time] = await slotTime(f.ctx, { deploymentId: DEPLOYMENT });
  assert.deepEqual([time?.state, time?.nextHeld, time?.windowNo], ["open", false, 1]);
});

test("the price is the one in force when the window starts", async (t) => {
  const { f, price } = await setup(t);
  await ensure(f, price);
  const opened = await probe(f);
  const dearer = await setGpuPrice(f.ctx, {
    provider: "ONPREM",
    region: "local",
    gpuType: "UNSPECIFIED",
    currency: CURRENCY,
    nanosPerHour: units(7.2),
    validFrom: opened.windowEndsAt,
  });
  await holdNext(f, price);
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(0.9) + units(1.8));
  await serve(f, WINDOW_MS);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(10) - units(0.9));
  await serve(f, 10 * SECOND);
  await end(f);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(10) - units(0.9) - 20n * SECOND_NANOS);
  const held = await ensure(f, price);
  const anew = await ensure(f, dearer);
  assert.equal(anew.windowNo, held.windowNo + 1);
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(1.8));
});

test("windows of an uneven price add up to the floored price of the whole time", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  const price = await cpuPrice(f, 1_000_000_007n);
  await ensure(f, price);
  await probe(f);
  let servedMs = 0n;
  for (let round = 0; round < 4; round++) {
    await holdNext(f, price);
    for (let i = 0; i < 47; i++) {
      f.advance(19_997);
      await probe(f);
      servedMs += 19_997n;
    }
  }
  await end(f);
  const charged = units(10) - (await balanceOf(f.ctx, f.userId)).totalNanos;
  assert.equal(charged, (1_000_000_007n * servedMs) / 3_600_000n);
});

test("a batch of probes does what each does alone", async (t) => {
  const { f, price } = await setup(t);
  for (const slot of [0, 1, 2]) await ensure(f, price, { slot });
  const batch = (slots: readonly number[]) =>
    withTransaction(f.ctx, (tx) =>
      meterProbes(
        tx,
        slots.map((slot) => ({ deploymentId: DEPLOYMENT, slot, at: f.now() })),
      ),
    );
  assert.deepEqual(
    (await batch([2, 0])).map((time) => [time.slot, time.state]),
    [
      [2, "open"],
      [0, "open"],
    ],
  );
  f.advance(10 * SECOND);
  assert.deepEqual(
    (await batch([0, 1, 2, 9])).map((time) => [time.slot, time.state, time.chargedMs]),
    [
      [0, "open", 10_000n],
      [1, "open", 0n],
      [2, "open", 10_000n],
      [9, "none", 0n],
    ],
  );
  f.advance(10 * SECOND);
  assert.deepEqual(
    (await batch([1, 1])).map((time) => time.chargedMs),
    [10_000n, 10_000n],
  );
});

test("burn rate and runway count what runs now", async (t) => {
  const { f, price } = await setup(t);
  const question = { userId: f.userId, holdNanos: 0n, currency: CURRENCY, placeKind: "local" } as const;
  assert.equal((await moneyVerdict(f.ctx, question)).runwaySeconds, null);
  await ensure(f, price);
  await probe(f);
  const verdict = await moneyVerdict(f.ctx, question);
  assert.deepEqual([verdict.burnNanosPerHour, verdict.runwaySeconds], [units(3.6), 9_100]);
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});
