import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { sql } from "kysely";
import { chanceOf } from "../../../test/sim/chance.ts";
import { type SimProvider, simProvider } from "../../../test/sim/provider.ts";
import { simProbe } from "../../../test/sim/world.ts";
import {
  deployInput,
  type ModelFixture,
  modelFixture,
  NANOS_PER_HOUR,
} from "../../../test/support/models.ts";
import { StatusError } from "../../base/status.ts";
import { setGpuPrice } from "../../billing/index.ts";
import { deployModel } from "../deploy-model.ts";
import type { DeployInput } from "../index.ts";
import { LIMITS } from "../limits.ts";
import { pauseModel } from "../pause-model.ts";
import type { Layout } from "../placement.ts";
import { resumeModel } from "../restart-model.ts";

interface Cloud {
  readonly f: ModelFixture;
  readonly east: SimProvider;
  readonly west: SimProvider;
  /** Regions without room, and what their provider says. */
  readonly full: Map<string, string>;
  deploy(change?: Partial<DeployInput>): ReturnType<ModelFixture["deploy"]>;
}

const EAST = "us-east-1";
const WEST = "us-west-1";
const WINDOW_SHARE = 4n;
/** Less than the real one, for the sake of time. */
const PENDING_MS = 3 * 60_000;
/** Enough for any replica here to come up, and to fail and come up again. */
const LIVE_MS = 3 * 60_000;

/** One cloud with two regions; names there are unique. West costs `westHours` times what east does. */
async function cloud(t: TestContext, options: { layout?: Layout; westHours?: bigint } = {}): Promise<Cloud> {
  const full = new Map<string, string>();
  const chance = chanceOf(1);
  const faults = { on: false };
  const providers: SimProvider[] = [];
  const { layout = "pack", westHours = 1n } = options;
  const f = await modelFixture(t, {
    deps: {
      limits: { ...LIMITS, pendingMs: PENDING_MS },
      drivers: providers,
      layout,
      probe: simProbe(providers, chance, faults),
    },
  });
  for (const [region, hours] of [
    [EAST, 1n],
    [WEST, westHours],
  ] as const) {
    const nothing = { meanwhile: async () => {}, during: async () => {}, onRemove: async () => {} };
    const common = {
      provider: "LAMBDA",
      clock: f.clock,
      chance,
      faults,
      idempotent: true,
      ...nothing,
    } as const;
    const sim = simProvider({ ...common, name: region, region });
    providers.push({ ...sim, apply: refusing(full, region, sim.apply) });
    const price = {
      provider: "LAMBDA",
      region,
      gpuType: "UNSPECIFIED",
      currency: "USD",
      validFrom: null,
    } as const;
    await setGpuPrice(f.ctx, { ...price, nanosPerHour: hours * NANOS_PER_HOUR });
  }
  const [east, west] = providers;
  assert.ok(east && west);
  return { f, east, west, full, deploy: (change) => f.deploy({ provider: "LAMBDA", ...change }) };
}

function refusing(
  full: ReadonlyMap<string, string>,
  region: string,
  apply: SimProvider["apply"],
): SimProvider["apply"] {
  return async (ctx, spec) => {
    const message = full.get(region);
    if (message === undefined) return apply(ctx, spec);
    throw new StatusError({ code: "RESOURCE_EXHAUSTED", reason: "RATE_LIMITED", message });
  };
}

const regionsOf = ({ east, west }: Cloud) => [east.alive().length, west.alive().length];

test("where the chosen place has no room the next one is taken, and the model shows where it is", async (t) => {
  const c = await cloud(t);
  c.full.set(EAST, "no capacity here");
  const { model } = await c.deploy();
  assert.equal(model.place.region, EAST);
  const running = await c.f.until(model.id, "RUNNING");
  assert.equal(running.model.place.region, WEST);
  assert.deepEqual(regionsOf(c), [0, 1]);
  const told = running.events.map((event) => event.log).join("\n");
  assert.match(told, /no capacity here/);
  assert.match(told, /Tried at LAMBDA\/us-west-1 next/);
  const { rows } = await sql<{ region: string }>`select region from gpu_slot`.execute(c.f.ctx.db);
  assert.deepEqual(rows, [{ region: WEST }]);
});

test("a region that was asked for is kept to: it waits there, and gives up in the provider's words", async (t) => {
  const c = await cloud(t);
  c.full.set(EAST, "no capacity here");
  const { model } = await c.deploy({ regions: { LAMBDA: EAST } });
  await c.f.live(PENDING_MS / 2);
  const waiting = (await c.f.view(model.id)).model;
  assert.deepEqual([waiting.status, waiting.condition.reason], ["PENDING", "WAITING_FOR_CAPACITY"]);
  assert.match(waiting.condition.message, /no capacity here/);
  const failed = await c.f.until(model.id, "FAILED");
  assert.match(failed.model.condition.message, /No place until the deadline. no capacity here/);
  assert.deepEqual(regionsOf(c), [0, 0]);
  assert.equal(await c.f.heldNanos(), 0n);
});

test("a dearer place is not taken unasked; with leave it is, and held by its own price", async (t) => {
  const c = await cloud(t, { westHours: 3n });
  c.full.set(EAST, "no capacity here");
  const { model: careful } = await c.deploy();
  const priceMax = { currency: "USD", nanosPerHour: 3n * NANOS_PER_HOUR };
  const { model: ready } = await c.deploy({ modelName: "ready", priceMax });
  assert.equal(await c.f.heldNanos(), (2n * NANOS_PER_HOUR) / WINDOW_SHARE, "by the price that was named");
  const running = await c.f.until(ready.id, "RUNNING");
  assert.equal(running.model.place.region, WEST);
  assert.equal((await c.f.view(careful.id)).model.status, "PENDING");
  assert.equal(await c.f.heldNanos(), ((1n + 3n) * NANOS_PER_HOUR) / WINDOW_SHARE);
});

test("a dearer place that the balance can't pay for is not started; the own one is waited for", async (t) => {
  const c = await cloud(t, { westHours: 1_000n });
  c.full.set(EAST, "no capacity here");
  const { model } = await c.deploy({ priceMax: { currency: "USD", nanosPerHour: 1_000n * NANOS_PER_HOUR } });
  await c.f.live(PENDING_MS / 2);
  assert.deepEqual(regionsOf(c), [0, 0]);
  assert.equal((await c.f.view(model.id)).model.condition.reason, "WAITING_FOR_CAPACITY");
  c.full.clear();
  assert.equal((await c.f.until(model.id, "RUNNING")).model.place.region, EAST);
});

test("a replica that crashes is had again where it was, not elsewhere", async (t) => {
  const c = await cloud(t);
  const { model } = await c.deploy();
  await c.f.until(model.id, "RUNNING");
  for (const machine of c.east.alive()) machine.diesMs = c.f.clock.now().getTime();
  await c.f.live(LIVE_MS);
  assert.equal((await c.f.view(model.id)).model.status, "RUNNING");
  assert.equal(c.east.machines.length, 2);
  assert.equal(c.west.machines.length, 0);
});

test("replicas are packed at the best place, or spread where the operator says so", async (t) => {
  for (const [layout, expected] of [
    ["pack", [2, 0]],
    ["spread", [1, 1]],
  ] as const) {
    const c = await cloud(t, { layout });
    const { model } = await c.deploy({ replicas: 2 });
    await c.f.live(LIVE_MS);
    assert.equal((await c.f.view(model.id)).model.readyReplicas, 2);
    assert.deepEqual(regionsOf(c), expected, layout);
  }
});

test("a new generation of a spread model stays where each replica was, and a resumed one is spread anew", async (t) => {
  const c = await cloud(t, { layout: "spread" });
  const { model } = await c.deploy({ replicas: 2 });
  await c.f.live(LIVE_MS);
  const input = { principal: c.f.owner, modelId: model.id };
  await pauseModel(c.f.ctx, c.f.deps, input);
  await c.f.until(model.id, "PAUSED");
  await resumeModel(c.f.ctx, c.f.deps, input);
  await c.f.live(LIVE_MS);
  assert.deepEqual(regionsOf(c), [1, 1]);
  assert.equal((await c.f.view(model.id)).model.readyReplicas, 2);
});

test("a machine that its provider takes back is replaced at the next place, and is no failure; only who said so gets one", async (t) => {
  const c = await cloud(t);
  const asked: (boolean | undefined)[] = [];
  const spot = (sim: SimProvider): SimProvider => ({
    ...sim,
    offers: async (ctx) => (await sim.offers(ctx)).map((offer) => ({ ...offer, spot: true })),
    async apply(ctx, spec) {
      asked.push(spec.spot);
      await sim.apply(ctx, spec);
    },
    async observe(ctx, names) {
      const seen = await sim.observe(ctx, names);
      const failure = {
        reason: "CAPACITY_SHORT",
        message: "The machine was taken back.",
        retryable: true,
      } as const;
      return seen.map((one) => (one.phase === "gone" ? { ...one, failure } : one));
    },
  });
  const deps = { ...c.f.deps, drivers: [spot(c.east), spot(c.west)] };
  const input = { ...deployInput(c.f.owner.userId), provider: "LAMBDA" } as const;
  await assert.rejects(deployModel(c.f.ctx, deps, input), { reason: "PLACE_UNAVAILABLE" });
  const { model } = await deployModel(c.f.ctx, deps, { ...input, spot: true });
  const live = async () => {
    for (let step = 0; step < LIVE_MS / 1_000; step++) {
      c.f.clock.advance(1_000);
      await c.f.pass(deps);
    }
    return (await c.f.view(model.id)).model;
  };
  assert.deepEqual([(await live()).status, regionsOf(c)], ["RUNNING", [1, 0]]);
  for (const machine of c.east.alive()) machine.diesMs = c.f.clock.now().getTime();
  const after = await live();
  assert.deepEqual([after.status, after.place.region, regionsOf(c)], ["RUNNING", WEST, [0, 1]]);
  assert.ok(asked.every(Boolean));
  const { rows } = await sql<{
    failures: number;
  }>`select max(failures) as failures from model_attempt`.execute(c.f.ctx.db);
  assert.deepEqual(rows, [{ failures: 0 }]);
});
