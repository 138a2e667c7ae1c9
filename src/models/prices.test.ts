import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { modelFixture, NANOS_PER_HOUR } from "../../test/support/models.ts";
import * as billing from "../billing/index.ts";
import { LIMITS } from "./limits.ts";
import { resumeModel } from "./restart-model.ts";

type Fixture = Awaited<ReturnType<typeof modelFixture>>;
const ANYWHERE = { provider: "ONPREM", region: "", gpuType: "UNSPECIFIED", currency: "USD" } as const;
const CPU = { provider: "ONPREM", region: "", gpuType: "UNSPECIFIED" } as const;

async function windows(f: Fixture): Promise<readonly (readonly [string, bigint])[]> {
  const { rows } = await sql<{ state: string; nanos: bigint }>`
    select state, nanos_per_hour as nanos from gpu_window order by number`.execute(f.ctx.db);
  return rows.map(({ state, nanos }) => [state, nanos] as const);
}

test("a change ahead is taken by the first window that begins after it; the one that runs keeps its price", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const validFrom = new Date(f.clock.now().getTime() + LIMITS.windowMs / 2);
  await billing.setGpuPrice(f.ctx, { ...ANYWHERE, nanosPerHour: 2n * NANOS_PER_HOUR, validFrom });
  await f.live(LIMITS.windowMs + 60_000);
  assert.deepEqual(await windows(f), [
    ["captured", NANOS_PER_HOUR],
    ["open", 2n * NANOS_PER_HOUR],
  ]);
  const { rows } = await sql<{ place: string }>`
    select distinct provider || '/' || region || '/' || gpu_type as place from gpu_window`.execute(f.ctx.db);
  assert.deepEqual(rows, [{ place: "ONPREM/local/UNSPECIFIED" }]);
});

test("a price that ends while it is in use is paid to the end of the window; then the model is paused and says why", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  // It ends a moment before the next window would begin: at the hold the price of now is still there.
  const endsAt = new Date(f.clock.now().getTime() + LIMITS.windowMs - 5_000);
  await billing.removeGpuPrice(f.ctx, { ...CPU, validFrom: endsAt });
  const paused = await f.until(model.id, "PAUSED");
  assert.equal(paused.model.condition.reason, "PRICE_MISSING");
  assert.deepEqual(await windows(f), [["captured", NANOS_PER_HOUR]]);
  assert.equal(await f.heldNanos(), 0n);
  f.clock.advance(LIMITS.windowMs);
  const input = { principal: f.owner, modelId: model.id };
  await assert.rejects(resumeModel(f.ctx, f.deps, input), { reason: "PRICE_MISSING" });
  await billing.setGpuPrice(f.ctx, { ...ANYWHERE, nanosPerHour: NANOS_PER_HOUR, validFrom: null });
  await resumeModel(f.ctx, f.deps, input);
  await f.until(model.id, "RUNNING");
});

test("a model that waits for its machine when its price ends is given up before it is charged", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  f.clock.advance(1);
  await billing.removeGpuPrice(f.ctx, { ...CPU, validFrom: null });
  const failed = await f.until(model.id, "FAILED");
  assert.equal(failed.model.condition.reason, "PRICE_MISSING");
  assert.equal(await f.heldNanos(), 0n);
});
