import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTEMPTS_MAX, retryDelayMs } from "./model.ts";

const HOUR_MS = 3_600_000;

test("a delivery is tried over about a day: waits grow threefold up to six hours, a quarter more or less", () => {
  const waits = Array.from({ length: ATTEMPTS_MAX - 1 }, (_, at) => retryDelayMs(at + 1, 0.5));
  assert.deepEqual(waits.slice(0, 4), [10_000, 30_000, 90_000, 270_000]);
  assert.equal(Math.max(...waits), 6 * HOUR_MS);
  const total = waits.reduce((sum, wait) => sum + wait, 0);
  assert.ok(total > 20 * HOUR_MS && total < 30 * HOUR_MS, `${total / HOUR_MS} h`);
  assert.deepEqual([retryDelayMs(1, 0), retryDelayMs(1, 1)], [7_500, 12_500]);
});

test("a receiver may ask for a longer wait, within six hours, and for no shorter one", () => {
  assert.equal(retryDelayMs(1, 0.5, HOUR_MS), HOUR_MS);
  assert.equal(retryDelayMs(1, 0.5, 100 * HOUR_MS), 6 * HOUR_MS);
  assert.equal(retryDelayMs(5, 0.5, 1_000), retryDelayMs(5, 0.5));
});
