import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nanosForDuration, nanosForTokens } from "./money.ts";
import { StatusError } from "./status.ts";
import { type CountedReceipt, whatIf } from "./what-if.ts";

const tokens = (change: Partial<CountedReceipt> = {}, priced = true): CountedReceipt => ({
  ...{ receiptId: "r1", modelId: "m", servedName: "tiny", currency: "USD", chargeNanos: 1_800_000n },
  usage: {
    ...{ kind: "tokens", priced, promptTokens: 1_000n, cachedTokens: 400n, completionTokens: 100n },
    ...{ inputNanosPerMillion: 2_000_000_000n, cachedNanosPerMillion: 0n },
    outputNanosPerMillion: 6_000_000_000n,
  },
  ...change,
});
const time = (chargedMs = 3_600_000n, plan = { estimatePpm: 0n, sharePpm: 0n }): CountedReceipt => ({
  ...{ receiptId: "w1", modelId: "m", servedName: "", currency: "USD", chargeNanos: 4_000_000_000n },
  usage: { kind: "gpu", gpuCount: 2, chargedMs, nanosPerHour: 4_000_000_000n, ...plan },
});
const sum = (...args: Parameters<typeof whatIf>) =>
  whatIf(...args).reduce((total, line) => total + line.computedNanos, 0n);

test("without a change everything comes to what was charged, whatever was written off or rounded", () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: 0n, max: 10n ** 15n })), (charges) => {
      const receipts = charges.map((chargeNanos, at) => tokens({ receiptId: `r${at}`, chargeNanos }));
      assert.equal(
        sum(receipts, {}),
        charges.reduce((total, one) => total + one, 0n),
      );
    }),
  );
});

test("a cache that is off makes every input token cost its price, and a full one none", () => {
  assert.equal(sum([tokens()], { cacheHitPpm: 0n }), 2_600_000n);
  assert.equal(sum([tokens()], { cacheHitPpm: 1_000_000n }), 600_000n);
  assert.equal(sum([tokens()], { cacheHitPpm: 400_000n }), 1_800_000n);
});

test("another GPU costs its own rate for each GPU, for the time that it needs", () => {
  assert.equal(sum([time()], { gpuNanosPerHour: 3_000_000_000n }), 6_000_000_000n);
  assert.equal(sum([time()], { gpuSpeedPpm: 2_000_000n }), 2_000_000_000n);
  assert.equal(sum([time()], { gpuNanosPerHour: 3_000_000_000n, gpuSpeedPpm: 1_500_000n }), 4_000_000_000n);
});

test("prices of tokens touch neither GPU time nor the tokens of a deployment, and a receipt counts once", () => {
  const free = tokens({ receiptId: "free", chargeNanos: 0n }, false);
  const lines = whatIf([tokens(), tokens(), free, time()], { outputNanosPerMillion: 0n, cacheHitPpm: 0n });
  assert.deepEqual(
    lines.map(({ kind, receipts, chargedNanos, computedNanos }) => [
      kind,
      receipts,
      chargedNanos,
      computedNanos,
    ]),
    [
      ["tokens", 2, 1_800_000n, 2_000_000n],
      ["gpu", 1, 4_000_000_000n, 4_000_000_000n],
    ],
  );
});

test("each receipt is floored once, as when it was charged", () => {
  const amount = fc.bigInt({ min: 0n, max: 10n ** 12n });
  fc.assert(
    fc.property(amount, amount, amount, (input, output, rate) => {
      assert.equal(
        sum([tokens()], { inputNanosPerMillion: input, outputNanosPerMillion: output }),
        nanosForTokens([
          { tokens: 600n, nanosPerMillion: input },
          { tokens: 100n, nanosPerMillion: output },
        ]),
      );
      assert.equal(sum([time(12_345n)], { gpuNanosPerHour: rate }), nanosForDuration(2n * rate, 12_345n));
    }),
  );
});

test("a share above one and a speed of nothing are refused, naming the field", () => {
  const refused = [
    { change: { cacheHitPpm: 1_000_001n }, field: "cache_hit_rate" },
    { change: { cacheHitPpm: -1n }, field: "cache_hit_rate" },
    { change: { gpuSpeedPpm: 0n }, field: "gpu_speed" },
    { change: { gpuSpeedPpm: 1_000_000_001n }, field: "gpu_speed" },
  ];
  for (const { change, field } of refused) {
    assert.throws(
      () => whatIf([], change),
      (error) => error instanceof StatusError && error.violations[0]?.field === field,
    );
  }
});

test("a share of savings grows and falls with the time that it is a share of", () => {
  const shared = time(3_600_000n, { estimatePpm: 500_000n, sharePpm: 300_000n });
  assert.equal(sum([shared], { gpuNanosPerHour: 2_000_000_000n }), 4_600_000_000n);
  assert.equal(sum([shared], { gpuNanosPerHour: 1_000_000_000n }), 2_300_000_000n);
});
