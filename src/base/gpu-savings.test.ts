import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ESTIMATE_MAX_PPM, estimatePpm, mostWithShare, NO_SAVINGS, sharedSavings } from "./gpu-savings.ts";

const plans = fc.record({
  sharePpm: fc.bigInt({ min: 0n, max: 1_000_000n }),
  prefillTokensPerSecond: fc.bigInt({ min: 0n, max: 1_000_000n }),
});
const times = fc.record({
  cachedTokens: fc.bigInt({ min: 0n, max: 10n ** 12n }),
  gpuCount: fc.integer({ min: 0, max: 64 }),
  chargedMs: fc.bigInt({ min: 0n, max: 900_000n }),
});
const money = fc.bigInt({ min: 0n, max: 10n ** 15n });

test("the public formula: an hour at 4 with savings of a half costs 4.60 by a share of 30 %, and saves 1.40 of 6", () => {
  const plan = { sharePpm: 300_000n, prefillTokensPerSecond: 1_000n };
  const estimate = estimatePpm(plan, { cachedTokens: 1_800_000n, gpuCount: 1, chargedMs: 3_600_000n });
  assert.equal(estimate, 500_000n);
  assert.deepEqual(sharedSavings(plan, 4_000_000_000n, estimate), {
    shareNanos: 600_000_000n,
    savingNanos: 1_400_000_000n,
  });
});

test("no window costs more than was held for it, whatever the cache did", () => {
  fc.assert(
    fc.property(plans, times, money, (plan, time, nanos) => {
      const { shareNanos, savingNanos } = sharedSavings(plan, nanos, estimatePpm(plan, time));
      assert.ok(nanos + shareNanos <= mostWithShare(plan, nanos));
      assert.ok(shareNanos >= 0n && savingNanos >= 0n);
    }),
  );
});

test("a plan that passes savings through charges the time alone, and without a rate nothing is estimated", () => {
  fc.assert(
    fc.property(plans, times, money, (plan, time, nanos) => {
      const through = { ...plan, sharePpm: 0n };
      assert.equal(sharedSavings(through, nanos, estimatePpm(through, time)).shareNanos, 0n);
      assert.equal(mostWithShare(through, nanos), nanos);
      assert.equal(estimatePpm(NO_SAVINGS, time), 0n);
    }),
  );
});

test("the estimate grows with what was cached, and ends at as much time again as was used", () => {
  fc.assert(
    fc.property(plans, times, (plan, time) => {
      const more = estimatePpm(plan, { ...time, cachedTokens: time.cachedTokens * 2n });
      assert.ok(more >= estimatePpm(plan, time) && more <= ESTIMATE_MAX_PPM);
    }),
  );
});
