import assert from "node:assert/strict";
import { test } from "node:test";
import { credit, fixture, tokenPriceOf, units, usage } from "../../test/support/billing.ts";
import { StatusError } from "../base/status.ts";
import { type CountedReceipt, MILLION, whatIf } from "../base/what-if.ts";
import { ingestUsage, leaseSlice } from "./index.ts";
import { whatIfOfMonth } from "./what-if-of-month.ts";

const OTHER = "33333333-3333-4333-8333-333333333333";

test("a month's what-if has its receipts and no others, page by page, up to a bound", async (t) => {
  const f = await fixture(t);
  const price = await tokenPriceOf(f);
  await credit(f, units(50));
  const lease = { gatewayId: "g", userId: f.userId, wantNanos: units(2), currency: "USD", now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, lease);
  const [from, last, to] = [
    "2026-03-01T00:00:00.000Z",
    "2026-03-31T23:59:59.999Z",
    "2026-04-01T00:00:00.000Z",
  ];
  const charged = { sliceId, priceVersionId: price.versionId };
  const at = (time: string) => ({ ...charged, endedAt: new Date(time) });
  const march = [
    usage(f, at(from)),
    usage(f, at(last)),
    // More than a page, all at one moment.
    ...Array.from({ length: 1_010 }, () => usage(f, at("2026-03-10T00:00:00.000Z"))),
    usage(f, { ...at(last), modelId: OTHER }),
    // A deployment's: no price of tokens touches it.
    usage(f, { endedAt: new Date(last), servedName: "own" }),
  ];
  await ingestUsage(f.ctx, [...march, usage(f, at(to)), usage(f, at("2026-02-28T23:59:59.999Z"))]);
  f.advance(Date.parse("2026-04-15T00:00:00Z") - f.now().getTime());
  const query = { userId: f.userId, modelId: "", month: "", prices: {}, change: { cacheHitPpm: 0n } };
  const answer = await whatIfOfMonth(f.ctx, query);
  assert.equal(answer.month, "2026-03", "the last one that is over");
  assert.deepEqual(
    answer.lines
      .map(({ servedName, receipts, chargedNanos, computedNanos }) => [
        ...[servedName, receipts, chargedNanos, computedNanos],
      ])
      .sort(),
    [
      ["own", 1, 0n, 0n],
      ["tiny", 1, 1_800_000n, 2_600_000n],
      ["tiny", 1_012, 1_012n * 1_800_000n, 1_012n * 2_600_000n],
    ],
  );
  const one = await whatIfOfMonth(f.ctx, {
    ...query,
    modelId: OTHER,
    change: { inputNanosPerMillion: units(1) },
  });
  const counted: CountedReceipt = {
    ...{ receiptId: "x", modelId: OTHER, servedName: "tiny", currency: "USD", chargeNanos: 1_800_000n },
    usage: {
      kind: "tokens",
      ...{ priced: true, promptTokens: 1_000n, cachedTokens: 400n, completionTokens: 100n },
      ...{ inputNanosPerMillion: units(2), cachedNanosPerMillion: 0n, outputNanosPerMillion: units(6) },
    },
  };
  assert.deepEqual(one.lines, whatIf([counted], { inputNanosPerMillion: units(1) }));
  const refusals: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["TOO_MANY_RECEIPTS", () => whatIfOfMonth(f.ctx, query, 1_000)],
    ["INVALID_FIELD", () => whatIfOfMonth(f.ctx, { ...query, month: "2026-05" })],
    ["INVALID_FIELD", () => whatIfOfMonth(f.ctx, { ...query, month: "2026-5" })],
    ["INVALID_FIELD", () => whatIfOfMonth(f.ctx, { ...query, change: { cacheHitPpm: MILLION + 1n } })],
    [
      "CURRENCY_MISMATCH",
      () => whatIfOfMonth(f.ctx, { ...query, prices: { gpu_hourly_rate: { currency: "EUR", nanos: 1n } } }),
    ],
    [
      "AMOUNT_INVALID",
      () =>
        whatIfOfMonth(f.ctx, {
          ...query,
          prices: { gpu_hourly_rate: { currency: "USD", nanos: units(2e6) } },
        }),
    ],
  ];
  for (const [reason, refused] of refusals) {
    await assert.rejects(
      refused(),
      (error) => error instanceof StatusError && error.reason === reason,
      reason,
    );
  }
  assert.deepEqual((await whatIfOfMonth(f.ctx, { ...query, userId: OTHER })).lines, []);
});
