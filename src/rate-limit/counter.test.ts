import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Counter, type RatePolicy } from "./counter.ts";

const POLICY: RatePolicy = { requestsMax: 10, windowMs: 60_000 };
const START = Date.UTC(2030, 0, 1);

test("as many as allowed are let through, then none until some have aged", () => {
  const counter = new Counter(POLICY, START);
  for (let left = 9; left >= 0; left--) {
    const { allowed, remaining } = counter.take(START);
    assert.deepEqual([allowed, remaining], [true, left]);
  }
  const refused = counter.take(START + 1_000);
  assert.deepEqual([refused.allowed, refused.remaining, refused.resetMs], [false, 0, 59_000]);
  assert.equal(counter.take(START + 60_000).allowed, false, "last minute's still count");
  assert.equal(counter.take(START + 66_000).allowed, true, "a tenth of them has aged");
  assert.equal(counter.take(START + 66_000).allowed, false);
});

test("who waits as told is let through, whatever came before", () => {
  const pauses = fc.array(fc.integer({ min: 0, max: 90_000 }), { minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(pauses, (all) => {
      const counter = new Counter(POLICY, START);
      let now = START;
      for (const pause of all) {
        now += pause;
        const verdict = counter.take(now);
        if (verdict.allowed) continue;
        assert.ok(verdict.resetMs > 0 && verdict.resetMs <= POLICY.windowMs);
        // Where this window is full by itself the wait is to its end, and the next may tell of a further part.
        now = Math.ceil(now + verdict.resetMs);
        const again = counter.take(now);
        if (!again.allowed) assert.equal(counter.take(Math.ceil(now + again.resetMs)).allowed, true);
      }
    }),
  );
});

test("no window lets through more than the limit", () => {
  const pauses = fc.array(fc.integer({ min: 0, max: 9_000 }), { minLength: 20, maxLength: 200 });
  fc.assert(
    fc.property(pauses, (all) => {
      const counter = new Counter(POLICY, START);
      const letThrough: number[] = [];
      let now = START;
      for (const pause of all) {
        now += pause;
        if (counter.take(now).allowed) letThrough.push(now);
      }
      for (const from of letThrough.map((at) => Math.floor(at / POLICY.windowMs) * POLICY.windowMs)) {
        const inside = letThrough.filter((at) => at >= from && at < from + POLICY.windowMs);
        assert.ok(inside.length <= POLICY.requestsMax, `${inside.length} in a window`);
      }
    }),
  );
});

test("what others counted counts, and what was handed over is not counted twice", () => {
  const counter = new Counter(POLICY, START);
  counter.take(START);
  counter.take(START);
  assert.deepEqual(counter.handOver(), [{ startsAt: START, requests: 2 }]);
  assert.deepEqual(counter.handOver(), []);
  counter.learn(START, 9);
  assert.equal(counter.take(START).allowed, true);
  assert.equal(counter.take(START).allowed, false);
});

test("a clock that is set back frees nothing", () => {
  const counter = new Counter(POLICY, START);
  for (let n = 0; n < 10; n++) counter.take(START);
  assert.equal(counter.take(START - 120_000).allowed, false);
});

test("a caller that was quiet for two windows is forgotten", () => {
  const counter = new Counter(POLICY, START);
  counter.take(START);
  assert.equal(counter.isIdle(START + 60_000), false);
  assert.equal(counter.isIdle(START + 120_000), true);
});
