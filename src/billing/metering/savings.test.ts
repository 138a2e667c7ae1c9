/** What the cache saves on GPU time: credited to windows once, estimated by the price, shared where its plan says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CURRENCY,
  credit,
  type Fixture,
  fixture,
  units,
  usage,
  WINDOW_MS,
} from "../../../test/support/billing.ts";
import { withTransaction } from "../../db/db.ts";
import {
  auditLedger,
  balanceOf,
  endSlot,
  ensureWindowHeld,
  type GpuPrice,
  ingestUsage,
  listReceipts,
  meterProbe,
  setGpuPrice,
} from "../index.ts";

const MODEL = "11111111-1111-4111-8111-111111111111";
const DEPLOYMENT = "22222222-2222-4222-8222-222222222222";
/** 3.60 an hour; ten cached tokens stand for a second. */
const PLAN = { sharePpm: 300_000n, prefillTokensPerSecond: 10n };

const price = (f: Fixture, plan: Partial<typeof PLAN>) =>
  setGpuPrice(f.ctx, {
    ...{ provider: "ONPREM", region: "local", gpuType: "UNSPECIFIED", currency: CURRENCY },
    ...{ nanosPerHour: units(3.6), validFrom: null, ...plan },
  });

async function open(f: Fixture, at: GpuPrice, slot = 0): Promise<void> {
  const input = { modelId: MODEL, deploymentId: DEPLOYMENT, userId: f.userId, price: at, slot };
  await withTransaction(f.ctx, (tx) =>
    ensureWindowHeld(tx, { ...input, gpuCount: 0, windowMs: WINDOW_MS, now: f.now() }),
  );
  await probe(f, slot);
}

const probe = (f: Fixture, slot = 0) =>
  withTransaction(f.ctx, (tx) => meterProbe(tx, { deploymentId: DEPLOYMENT, slot, at: f.now() }));
const end = (f: Fixture, slot = 0) =>
  withTransaction(f.ctx, (tx) => endSlot(tx, { deploymentId: DEPLOYMENT, slot, at: f.now() }));

async function serve(f: Fixture, seconds: number, slots = [0]): Promise<void> {
  for (let served = 0; served < seconds; served += 10) {
    f.advance(10_000);
    for (const slot of slots) await probe(f, slot);
  }
}

const cached = (f: Fixture, cachedTokens: number) => ingestUsage(f.ctx, [usage(f, { cachedTokens })]);

async function windows(f: Fixture) {
  const page = { size: 50, after: undefined };
  const { rows } = await listReceipts(f.ctx, { userId: f.userId, modelId: "" }, page);
  return rows.filter(({ usage: used }) => used.kind === "gpu");
}

test("with a value share a window costs its time and the share, holds the most that it can cost, and its receipt says why", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  await open(f, await price(f, PLAN));
  // A quarter of an hour at 3.60, and as much again saved at most: 0.90 and 30 % of 0.90.
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(1.17));
  await serve(f, 100);
  await cached(f, 500);
  await end(f);
  // 100 s cost 0.10; 500 tokens stand for 50 s: the cache saved 0.05, of which 0.015 are paid.
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(10) - units(0.115), 0n]);
  const [receipt] = await windows(f);
  assert.deepEqual([receipt?.chargeNanos, receipt?.savingNanos], [units(0.115), units(0.035)]);
  assert.ok(receipt?.usage.kind === "gpu");
  const { cachedTokens, estimatePpm, shareNanos } = receipt.usage;
  assert.deepEqual([cachedTokens, estimatePpm, shareNanos], [500n, 500_000n, units(0.015)]);
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});

test("what is passed through is estimated and told, and costs nothing", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  await open(f, await price(f, { prefillTokensPerSecond: 10n }));
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(0.9));
  await serve(f, 100);
  await cached(f, 500);
  await end(f);
  const [receipt] = await windows(f);
  assert.deepEqual([receipt?.chargeNanos, receipt?.savingNanos], [units(0.1), units(0.05)]);
});

test("a cache that saved more time than was used is paid for up to that time", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  await open(f, await price(f, PLAN));
  await serve(f, 100);
  await ingestUsage(f.ctx, [usage(f, { promptTokens: 1_000_000, cachedTokens: 900_000 })]);
  await end(f);
  assert.equal((await windows(f))[0]?.chargeNanos, units(0.13));
});

test("replicas share what their model found in the cache by the time that they served, and no token counts twice", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  const plan = await price(f, PLAN);
  await open(f, plan, 0);
  await serve(f, 50);
  await open(f, plan, 1);
  await serve(f, 50, [0, 1]);
  await cached(f, 600);
  await end(f, 0);
  await end(f, 1);
  const credited = (await windows(f)).map(({ usage: used }) =>
    used.kind === "gpu" ? used.cachedTokens : 0n,
  );
  assert.deepEqual([...credited].sort(), [200n, 400n]);
});

test("what was found in the cache before a model's first window is nobody's to pay", async (t) => {
  const f = await fixture(t);
  await credit(f, units(10));
  await cached(f, 900);
  await open(f, await price(f, PLAN));
  await serve(f, 100);
  await end(f);
  assert.equal((await windows(f))[0]?.chargeNanos, units(0.1));
});
