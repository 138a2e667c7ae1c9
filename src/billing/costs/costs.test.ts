import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CURRENCY,
  credit,
  type Fixture,
  fixture,
  START,
  units,
  WINDOW_MS,
} from "../../../test/support/billing.ts";
import { withTransaction } from "../../db/db.ts";
import type { GpuType } from "../../engines/engine.ts";
import { endSlot, ensureWindowHeld, meterProbe, setGpuPrice } from "../index.ts";
import { marginReport, type NewProviderCost, setProviderCost } from "./index.ts";

const LATELY = { startTime: null, endTime: null };

/** Serves for `ms` on so many GPUs in a region and is charged for it. */
async function serve(
  f: Fixture,
  region: string,
  gpuType: GpuType,
  gpuCount: number,
  ms: number,
): Promise<void> {
  const place = { provider: "LAMBDA", region, gpuType } as const;
  f.advance(1);
  const price = await setGpuPrice(f.ctx, {
    ...{ ...place, region: "", currency: CURRENCY, nanosPerHour: units(3.6), validFrom: null },
  });
  const key = { deploymentId: f.ctx.random.uuid(), slot: 0 };
  const window = { ...key, modelId: key.deploymentId, userId: f.userId, price, place, gpuCount };
  await withTransaction(f.ctx, (tx) =>
    ensureWindowHeld(tx, { ...window, windowMs: WINDOW_MS, now: f.now() }),
  );
  await withTransaction(f.ctx, (tx) => meterProbe(tx, { ...key, at: f.now() }));
  for (let passed = 0; passed < ms; passed += 10_000) {
    const at = f.advance(10_000);
    await withTransaction(f.ctx, (tx) => meterProbe(tx, { ...key, at }));
  }
  await withTransaction(f.ctx, (tx) => endSlot(tx, { ...key, at: f.now() }));
}

function cost(f: Fixture, nanosPerHour: bigint, change: Partial<NewProviderCost> = {}) {
  return setProviderCost(f.ctx, {
    ...{ operatorId: f.userId, provider: "LAMBDA", region: "", gpuType: "H100", currency: CURRENCY },
    ...{ nanosPerHour, note: "contract", validFrom: null, ...change },
  });
}

test("the margin is what users paid less what the same time cost, by the place it ran at", async (t) => {
  const f = await fixture(t);
  await credit(f, units(100));
  await cost(f, units(1.8));
  await cost(f, units(7.2), { region: "dear" });
  await serve(f, "us-east-1", "H100", 2, 100_000);
  await serve(f, "dear", "H100", 1, 100_000);
  await serve(f, "us-east-1", "A100", 1, 100_000);
  const { rows, currency } = await marginReport(f.ctx, LATELY);
  assert.equal(currency, CURRENCY);
  assert.deepEqual(
    rows.map((row) => [row.region, row.gpuType, row.gpuMs, row.revenueNanos, row.costNanos, row.uncostedMs]),
    [
      ["dear", "H100", 100_000n, units(0.1), units(0.2), 0n],
      ["us-east-1", "A100", 100_000n, units(0.1), 0n, 100_000n],
      ["us-east-1", "H100", 200_000n, units(0.2), units(0.1), 0n],
    ],
  );
});

test("a cost that is told late counts for the past, the one told last wins, and other days are left out", async (t) => {
  const f = await fixture(t);
  await credit(f, units(100));
  await serve(f, "r", "H100", 1, 100_000);
  await cost(f, units(1.8), { validFrom: new Date(START.getTime() - 86_400_000) });
  f.advance(1);
  await cost(f, units(3.6), { validFrom: new Date(START.getTime() - 86_400_000) });
  await cost(f, units(36), { validFrom: f.now() });
  const [row] = (await marginReport(f.ctx, LATELY)).rows;
  assert.equal(row?.costNanos, units(0.1), "the window began before the dearer one");
  const before = { startTime: null, endTime: new Date(START.getTime() - 86_400_000) };
  assert.deepEqual((await marginReport(f.ctx, before)).rows, []);
});

test("costs are refused in another currency, below zero, or too large", async (t) => {
  const f = await fixture(t);
  await assert.rejects(cost(f, 1n, { currency: "EUR" }), { reason: "CURRENCY_MISMATCH" });
  await assert.rejects(cost(f, -1n), { reason: "AMOUNT_INVALID" });
  await assert.rejects(cost(f, units(2_000_000)), { reason: "AMOUNT_INVALID" });
});
