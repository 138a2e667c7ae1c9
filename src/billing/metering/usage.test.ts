import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CURRENCY,
  credit,
  type Fixture,
  fixture,
  tokenPriceOf,
  units,
  usage,
} from "../../../test/support/billing.ts";
import { parsePage } from "../../base/page.ts";
import { listen } from "../../db/listen.ts";
import {
  auditLedger,
  balanceOf,
  closeSlice,
  getReceipt,
  ingestUsage,
  leaseSlice,
  settleSlices,
  statement,
  statementQuery,
} from "../index.ts";
import { sumOfKind } from "../ledger/index.ts";

const MINUTE = 60_000;
/** 600 uncached input tokens at 2 and 100 output tokens at 6 a million. */
const CHARGE = (600n * units(2) + 100n * units(6)) / 1_000_000n;

const lease = (f: Fixture, wantNanos: bigint, gatewayId = "gateway-1") =>
  leaseSlice(f.ctx, { gatewayId, userId: f.userId, wantNanos, currency: CURRENCY, now: f.now() });
const close = (f: Fixture, sliceId: string, gatewayId = "gateway-1") =>
  closeSlice(f.ctx, { gatewayId, sliceId, now: f.now() });
const principal = (userId: string) => ({ userId, role: "USER", tokenId: "t", scopes: [] }) as const;

async function setup(t: Parameters<typeof fixture>[0], nanos = units(100)) {
  const f = await fixture(t);
  await credit(f, nanos);
  const price = await tokenPriceOf(f);
  const priced = (sliceId: string) => ({ sliceId, priceVersionId: price.versionId });
  return { f, price, priced };
}

test("a slice takes a twentieth of what is available at most, unless one request needs more", async (t) => {
  const { f } = await setup(t);
  const small = await lease(f, 1_000n);
  assert.equal(small.amountNanos, 64_000n);
  assert.equal(small.spendUntil.getTime() - f.now().getTime(), small.spendMs);
  assert.equal(small.settleBy.getTime() - small.spendUntil.getTime(), 60 * MINUTE);
  assert.equal((await lease(f, units(1))).amountNanos, (units(100) - 64_000n) / 20n);
  assert.equal((await lease(f, units(50))).amountNanos, units(50));
  await assert.rejects(lease(f, units(60)), { reason: "BALANCE_TOO_LOW" });
  await assert.rejects(lease(f, 0n), { reason: "AMOUNT_INVALID" });
});

test("a lease that finds no money asks the gateways to give back what they hold", async (t) => {
  const { f } = await setup(t);
  const { sliceId } = await lease(f, units(80));
  const heard = Promise.withResolvers<string>();
  const connected = Promise.withResolvers<void>();
  const stop = listen({
    url: f.url,
    channels: ["slipway_slices"],
    log: f.ctx.log,
    clock: f.ctx.clock,
    onNotify: (_channel, payload) => heard.resolve(payload),
    onConnect: () => connected.resolve(),
  });
  t.after(stop);
  await connected.promise;
  await assert.rejects(lease(f, units(30)), { reason: "BALANCE_TOO_LOW" });
  assert.equal(await heard.promise, sliceId);
});

test("usage is counted and charged once, however often it is shipped", async (t) => {
  const { f, priced } = await setup(t);
  const { sliceId } = await lease(f, units(1));
  const records = [usage(f, priced(sliceId)), usage(f, priced(sliceId))];
  assert.deepEqual(await ingestUsage(f.ctx, [...records, ...records]), { inserted: 2 });
  assert.deepEqual(await ingestUsage(f.ctx, records), { inserted: 0 });
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(100) - 2n * CHARGE);
  await close(f, sliceId);
  await close(f, sliceId);
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(100) - 2n * CHARGE, 0n]);
});

test("the same batch from two shippers at once is charged once", async (t) => {
  const { f, priced } = await setup(t);
  const { sliceId } = await lease(f, units(1));
  const records = Array.from({ length: 20 }, () => usage(f, priced(sliceId)));
  const results = await Promise.all([
    ingestUsage(f.ctx, records),
    ingestUsage(f.ctx, records.toReversed()),
    ingestUsage(f.ctx, records.slice(5, 15)),
  ]);
  assert.equal(
    results.reduce((total, result) => total + result.inserted, 0),
    20,
  );
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(100) - 20n * CHARGE);
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});

test("one transfer a batch for each slice and price, and every receipt names it", async (t) => {
  const { f, priced, price } = await setup(t);
  const { sliceId } = await lease(f, units(1));
  const records = Array.from({ length: 5 }, () => usage(f, priced(sliceId)));
  await ingestUsage(f.ctx, records);
  const receipts = await Promise.all(
    records.map((record) => getReceipt(f.ctx, principal(f.userId), record.requestId)),
  );
  assert.equal(new Set(receipts.map((receipt) => receipt.transferId)).size, 1);
  assert.notEqual(receipts[0]?.transferId, null);
  assert.deepEqual(
    [receipts[0]?.chargeNanos, receipts[0]?.savingNanos, receipts[0]?.priceVersionId],
    [CHARGE, (400n * units(2)) / 1_000_000n, price.versionId],
  );
});

test("a slice never pays more than it held: the rest is written off", async (t) => {
  const { f, priced } = await setup(t, 10n * CHARGE);
  const { sliceId, amountNanos } = await lease(f, CHARGE + CHARGE / 2n);
  await ingestUsage(f.ctx, [usage(f, priced(sliceId)), usage(f, priced(sliceId))]);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, 10n * CHARGE - amountNanos);
  assert.equal(await sumOfKind(f.ctx, "writeoff.late_usage", CURRENCY), amountNanos - 2n * CHARGE);
});

test("usage after the slice was settled costs the operator, never the user", async (t) => {
  const { f, priced } = await setup(t);
  const { sliceId, settleBy } = await lease(f, units(1));
  f.advance(settleBy.getTime() - f.now().getTime() - 1);
  assert.equal(await settleSlices(f.ctx, { now: f.now() }), 0);
  f.advance(1);
  assert.equal(await settleSlices(f.ctx, { now: f.now() }), 1);
  assert.equal(await settleSlices(f.ctx, { now: f.now() }), 0);
  const late = usage(f, priced(sliceId));
  assert.deepEqual(await ingestUsage(f.ctx, [late]), { inserted: 1 });
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(100), 0n]);
  assert.equal(await sumOfKind(f.ctx, "writeoff.late_usage", CURRENCY), -CHARGE);
  assert.equal((await getReceipt(f.ctx, principal(f.userId), late.requestId)).chargeNanos, 0n);
});

test("only the gateway that leased a slice closes it", async (t) => {
  const { f } = await setup(t);
  const { sliceId, amountNanos } = await lease(f, units(1));
  await close(f, sliceId, "gateway-2");
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, amountNanos);
});

test("a slice pays for its own user alone", async (t) => {
  const { f, priced } = await setup(t);
  const { sliceId } = await lease(f, units(1));
  const foreign = usage(f, { ...priced(sliceId), userId: f.ctx.random.uuid() });
  assert.deepEqual(await ingestUsage(f.ctx, [foreign]), { inserted: 1 });
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(100));
});

test("the tokens of a deployment get receipts at price 0", async (t) => {
  const { f } = await setup(t);
  const record = usage(f);
  await ingestUsage(f.ctx, [record]);
  const receipt = await getReceipt(f.ctx, principal(f.userId), record.requestId);
  assert.deepEqual(
    [receipt.chargeNanos, receipt.priceVersionId, receipt.transferId, receipt.usage.kind],
    [0n, null, null, "tokens"],
  );
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(100));
});

test("a record whose numbers contradict each other doesn't hold up the others", async (t) => {
  const { f, priced } = await setup(t);
  const { sliceId } = await lease(f, units(1));
  const broken = usage(f, {
    ...priced(sliceId),
    promptTokens: 10,
    cachedTokens: 99,
    completionTokens: Number.NaN,
  });
  assert.deepEqual(await ingestUsage(f.ctx, [broken, usage(f, priced(sliceId))]), { inserted: 2 });
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(100) - CHARGE);
});

test("tokens are one growing line a month of the statement, with the models in it", async (t) => {
  const { f, priced } = await setup(t);
  const { sliceId } = await lease(f, units(1));
  await ingestUsage(f.ctx, [
    usage(f, priced(sliceId)),
    usage(f, { ...priced(sliceId), servedName: "other" }),
  ]);
  f.advance(MINUTE);
  await ingestUsage(f.ctx, [usage(f, priced(sliceId))]);
  const query = { userId: f.userId, codes: ["charge.tokens"], modelId: "" } as const;
  const page = parsePage({ pageSize: 10, pageToken: "" }, statementQuery(query));
  const { rows } = await statement(f.ctx, query, page);
  assert.deepEqual(
    rows.map((line) => [line.id, line.nanos, line.tokens?.models.map((one) => [one.model, one.requests])]),
    [
      [
        "tokens-2026-03",
        -3n * CHARGE,
        [
          ["other", 1],
          ["tiny", 2],
        ],
      ],
    ],
  );
});
