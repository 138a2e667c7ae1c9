import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bucketOf, middleOf, quantilesOf } from "./buckets.ts";
import { pointsOf, RANGES, type ServedRequest, startOfRange, sumsOf, total } from "./served.ts";

const MODEL = "11111111-2222-4333-8444-555555555555";
const START = new Date("2026-03-01T10:00:00Z");

const request = fc
  .record({
    promptTokens: fc.nat(10_000),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    completionTokens: fc.nat(2_000),
    outcome: fc.constantFrom("ok", "client_gone", "upstream_error"),
    tookMs: fc.nat(600_000),
    ttft: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
    afterMs: fc.nat(3 * 3_600_000),
  })
  .map(({ share, tookMs, ttft, afterMs, ...rest }): ServedRequest => {
    const endedAt = new Date(START.getTime() + afterMs);
    const startedAt = new Date(endedAt.getTime() - tookMs);
    const ttftMs = ttft === null ? null : Math.floor(ttft * tookMs);
    return {
      ...rest,
      modelId: MODEL,
      cachedTokens: Math.floor(share * rest.promptTokens),
      startedAt,
      endedAt,
      ttftMs,
    };
  });

test("a quantile is at most an eighth off, over seven orders of magnitude", () => {
  fc.assert(
    fc.property(fc.double({ min: 0.1, max: 600_000, noNaN: true }), (ms) => {
      const told = quantilesOf(new Map([[bucketOf(ms), 1]]))?.p50Ms ?? 0;
      assert.ok(told / ms < 1.125 && ms / told < 1.125, `${ms} ms is told as ${told}`);
    }),
  );
  for (const odd of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e12])
    assert.ok(middleOf(bucketOf(odd)) > 0);
});

test("half, 19 of 20 and 99 of 100 are what the quantiles say", () => {
  const counts = new Map([
    [bucketOf(10), 90],
    [bucketOf(100), 8],
    [bucketOf(1_000), 2],
  ]);
  const told = quantilesOf(counts);
  assert.equal(told?.count, 100);
  for (const [ms, expected] of [
    [told?.p50Ms, 10],
    [told?.p95Ms, 100],
    [told?.p99Ms, 1_000],
  ] as const)
    assert.ok(Math.abs((ms ?? 0) / expected - 1) < 0.125, `${ms} for ${expected}`);
  assert.equal(quantilesOf(new Map()), undefined);
});

test("every step of a range is in the series, and the steps sum to the requests that ended in it", () => {
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 30 }),
      fc.constantFrom("hour", "day", "week"),
      (requests, name) => {
        const range = RANGES[name];
        const now = new Date(START.getTime() + 3 * 3_600_000);
        const rows = sumsOf(requests).filter(
          ({ grain, startsAt }) => grain === range.grain && startsAt >= startOfRange(range, now),
        );
        const points = pointsOf(range, now, rows);
        assert.equal(points.length, range.steps);
        const gaps = points
          .slice(1)
          .map((point, at) => point.startsAt.getTime() - (points[at]?.startsAt.getTime() ?? 0));
        assert.ok(gaps.every((gap) => gap === range.stepMs));
        const last = points.at(-1)?.startsAt.getTime() ?? 0;
        assert.ok(last <= now.getTime() && now.getTime() < last + range.stepMs, "the last step is going on");
        const inRange = requests.filter(({ endedAt }) => endedAt >= startOfRange(range, now));
        const sum = total(points.map((point) => point.sum));
        assert.equal(sum.requests, inRange.length);
        assert.equal(
          sum.cachedTokens,
          inRange.reduce((all, one) => all + one.cachedTokens, 0),
        );
        assert.equal(sum.failed, inRange.filter(({ outcome }) => outcome === "upstream_error").length);
        const streamed = inRange.filter(({ ttftMs }) => ttftMs !== null).length;
        assert.equal(
          [...sum.ttft.values()].reduce((all, count) => all + count, 0),
          streamed,
        );
      },
    ),
  );
});

test("the time between tokens leaves out the first token's, and an answer of one token has none", () => {
  const base = { modelId: MODEL, promptTokens: 1, cachedTokens: 0, outcome: "ok", startedAt: START } as const;
  const endedAt = new Date(START.getTime() + 2_000);
  const [row] = sumsOf([
    { ...base, completionTokens: 11, endedAt, ttftMs: 1_000 },
    { ...base, completionTokens: 1, endedAt, ttftMs: 2_000 },
    { ...base, completionTokens: 50, endedAt, ttftMs: null },
  ]);
  assert.deepEqual([...(row?.itl ?? [])], [[bucketOf(100), 1]]);
});
