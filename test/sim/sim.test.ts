/** Seeded histories of the control plane. SLIPWAY_SIM_SEEDS=100 runs more; SLIPWAY_SIM_SEED=7 runs one again. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { sql } from "kysely";
import { StatusError } from "../../src/base/status.ts";
import { balanceOf, configureBilling, grantCredit, setGpuPrice } from "../../src/billing/index.ts";
import { withTransaction } from "../../src/db/db.ts";
import {
  deleteModel,
  deployModel,
  pauseModel,
  resumeModel,
  retryModel,
  updateModel,
} from "../../src/models/index.ts";
import type { Endpoint } from "../../src/webhooks/index.ts";
import { insertEndpoint } from "../../src/webhooks/store/endpoints.ts";
import { testDatabase } from "../support/postgres.ts";
import {
  chargedMs,
  checkBooks,
  checkOwned,
  checkTold,
  invariants,
  ownership,
  readModels,
} from "./invariants.ts";
import { type SimWorld, simWorld, WORKERS } from "./world.ts";

const SEEDS = Number(process.env.SLIPWAY_SIM_SEEDS ?? 3);
const FIRST = Number(process.env.SLIPWAY_SIM_SEED ?? 1);
const STEPS = 130;
const MODELS_MAX = 6;
/** Enough for some hours of one replica, so that money runs short now and then. */
const START_NANOS = 8_000_000_000n;
const TOP_UP_NANOS = 2_000_000_000n;
/** Virtual time that everything gets to come to rest once nothing fails any more. */
const REST_MS = 2 * 60 * 60_000;
/** Once all rests, so much more shows whether it stays so. */
const CALM_MS = 5 * 60_000;
/** Passes, five seconds apart, within which everything that was deleted is gone. */
const WIPE_ROUNDS_MAX = 200;

for (let seed = FIRST; seed < FIRST + (process.env.SLIPWAY_SIM_SEED ? 1 : SEEDS); seed++) {
  test(`history ${seed}: every invariant holds at every step, and everything comes to rest`, (t) =>
    history(t, seed));
}

async function history(t: TestContext, seed: number): Promise<void> {
  const world = await prepare(t, seed);
  world.interrupt = () => wishSomething(world);
  const watch = invariants(world);
  for (let step = 0; step < STEPS; step++) {
    try {
      await oneStep(world, step);
      await watch.check();
    } catch (error) {
      throw new Error(`seed ${seed}, step ${step}: ${String(error)}`, { cause: error });
    }
  }
  stopFaults(world);
  await rest(world, watch.check);
  await checkTold(world);
  const restful = ["RUNNING", "PAUSED", "FAILED", "DELETED"];
  for (const model of await readModels(world)) {
    assert.ok(
      restful.includes(model.status),
      `seed ${seed}: ${model.id} rests ${model.status}: ${model.reason} ${model.message}`,
    );
  }
  await checkOwned(world);
  await wipe(world, watch.check);
  await checkTold(world);
  const crashed = [...world.crashes].map(([step, count]) => `${step} ${count}`).join(", ");
  const { rows } = await sql<{ moves: number }>`
    select count(*)::int as moves from model_event where log like 'Tried at %'`.execute(world.ctx.db);
  const machines = world.providers.map((one) => one.machines.length).join("+");
  t.diagnostic(`machines ${machines}; moves ${rows[0]?.moves}; crashes: ${crashed}`);
}

/** From now on nothing fails, and machines that would have died live on. */
function stopFaults(world: SimWorld): void {
  world.faults.on = false;
  const now = world.clock.now().getTime();
  for (const machine of world.providers.flatMap((provider) => provider.machines)) {
    if (machine.diesMs !== null && machine.diesMs > now) machine.diesMs = null;
  }
}

async function prepare(t: TestContext, seed: number): Promise<SimWorld> {
  const { db } = await testDatabase(t);
  const world = await simWorld(db, seed);
  await configureBilling(world.ctx, { currency: "USD", payments: "off" });
  for (const { provider } of world.providers) {
    const price = { provider, region: "", gpuType: "UNSPECIFIED", currency: "USD", validFrom: null } as const;
    await setGpuPrice(world.ctx, { ...price, nanosPerHour: 3_600_000_000n });
  }
  await topUp(world, START_NANOS);
  await listenIn(world);
  return world;
}

/** An endpoint of the owner's for everything: its events are read, never sent. */
async function listenIn({ ctx, owner }: SimWorld): Promise<void> {
  const now = ctx.clock.now();
  const endpoint: Endpoint = {
    ...{ id: ctx.random.uuid(), userId: owner.userId, url: "https://hooks.example.com/", description: "" },
    ...{ eventTypes: ["*"], disabled: null, failingSince: null, lastDeliveredAt: null },
    ...{ formerSecretEndsAt: null, createdAt: now, updatedAt: now },
  };
  await withTransaction(ctx, (tx) => insertEndpoint(tx, endpoint, Buffer.from("sealed")));
}

async function oneStep(world: SimWorld, step: number): Promise<void> {
  const { chance, clock } = world;
  clock.advance(chance.pick("tick", [100, 300, 1_000, 5_000, 20_000, 60_000]));
  if (chance.happens("wish", 0.3)) await wishSomething(world);
  if (step % 10 === 0) await world.sweep();
  if (chance.happens("together", 0.3)) await Promise.all([world.pass(0), world.pass(1)]);
  else await world.pass(chance.between("worker", 0, WORKERS - 1));
}

/** One wish after the other: what was wished last is what must hold. */
let wishing = Promise.resolve();

function wishSomething(world: SimWorld): Promise<void> {
  wishing = wishing.then(() => tryWish(world));
  return wishing;
}

/** Owners may be told no; only that is forgiven. */
async function tryWish(world: SimWorld): Promise<void> {
  try {
    await oneWish(world);
  } catch (error) {
    if (!(error instanceof StatusError) || error.code === "INTERNAL") throw error;
  }
}

async function oneWish(world: SimWorld): Promise<void> {
  const { chance, ctx, deps, owner } = world;
  const models = (await readModels(world)).filter((model) => model.desired !== "DELETED");
  const kind = chance.pick("wish-kind", [
    "deploy",
    "deploy",
    "pause",
    "resume",
    "retry",
    "delete",
    "update",
    "scale",
    "money",
  ]);
  if (kind === "money") return topUp(world);
  if (kind === "deploy" || models.length === 0) {
    if (models.length >= MODELS_MAX) return;
    const provider = chance.pick("provider", ["LAMBDA", "ONPREM", "any", "any"] as const);
    await deployModel(ctx, deps, {
      ownerId: owner.userId,
      modelName: `model-${ctx.random.uuid()}`,
      description: "",
      modelPath: "org/tiny",
      provider: provider === "any" ? undefined : provider,
      regions: {},
      gpuType: "UNSPECIFIED",
      gpuCount: 0,
      modelSpec: undefined,
      apiKey: "",
      hfToken: "",
      kvCacheEnabled: true,
      cpuOffloadingEnabled: false,
      nodeId: "",
      replicas: chance.between("replicas", 1, 2),
    });
    return;
  }
  const model = chance.pick("which", models);
  const input = { principal: owner, modelId: model.id };
  const nothing = { description: undefined, modelSpec: undefined, replicas: undefined };
  const stopped = async (desired: "PAUSED" | "DELETED") =>
    world.stopped.set(model.id, { desired, chargedMs: await chargedMs(world, model.deployment_id) });
  if (kind === "pause") await pauseModel(ctx, deps, input).then(() => stopped("PAUSED"));
  if (kind === "resume") await resumeModel(ctx, deps, input).then(() => world.stopped.delete(model.id));
  if (kind === "retry") await retryModel(ctx, deps, input);
  if (kind === "delete") await deleteModel(ctx, deps, input).then(() => stopped("DELETED"));
  if (kind === "scale")
    await updateModel(ctx, deps, { ...input, ...nothing, replicas: chance.between("scale", 1, 3) });
  if (kind === "update") {
    const contextTokens = chance.between("context", 1, 512);
    await updateModel(ctx, deps, { ...input, ...nothing, modelSpec: { contextTokens } });
  }
}

async function topUp(world: SimWorld, nanos = TOP_UP_NANOS): Promise<void> {
  const { userId } = world.owner;
  const key = world.ctx.random.uuid();
  await grantCredit(world.ctx, {
    operatorId: userId,
    userId,
    amount: { currency: "USD", nanos },
    reason: "sim",
    key,
  });
}

async function rest(world: SimWorld, check: () => Promise<void>): Promise<void> {
  const end = world.clock.now().getTime() + REST_MS;
  while (world.clock.now().getTime() < end) {
    const { rows } = await sql<{ at: Date | null }>`
      select min(greatest(next_check_at, coalesce(claimed_until, next_check_at))) as at from model`.execute(
      world.ctx.db,
    );
    const next = rows[0]?.at?.getTime() ?? end;
    const settled = (await readModels(world)).every((model) =>
      ["RUNNING", "PAUSED", "FAILED", "DELETED"].includes(model.status),
    );
    const now = world.clock.now().getTime();
    // Once all is calm, larger strides; never so large that a probe is missed.
    world.clock.advance(Math.max(1, Math.min(next, end) - now));
    await world.pass(0);
    await check();
    const isCalm = settled && world.clock.now().getTime() > end - REST_MS + CALM_MS;
    if (isCalm && (await isOwned(world))) break;
  }
  for (let round = 0; round < 4; round++) {
    world.clock.advance(world.deps.limits.sweepAgeMs);
    await world.sweep();
  }
}

/** What is still being tried or removed has its attempt without a machine, or its machine beside the one that takes over. */
async function isOwned(world: SimWorld): Promise<boolean> {
  const { alive, owned } = await ownership(world);
  if (alive.join() !== owned.join()) return false;
  return (await readModels(world)).every(
    (model) =>
      model.status !== "RUNNING" ||
      alive.filter((one) => one.endsWith(model.deployment_id)).length === model.replicas,
  );
}

/** Deletes everything: no machine, no row that is looked at, and no held money may be left. */
async function wipe(world: SimWorld, check: () => Promise<void>): Promise<void> {
  const { ctx, deps, owner } = world;
  world.stopped.clear();
  for (const model of await readModels(world)) {
    if (model.desired !== "DELETED") await deleteModel(ctx, deps, { principal: owner, modelId: model.id });
  }
  const gone = async () => (await readModels(world)).every((model) => model.status === "DELETED");
  for (let round = 0; round < WIPE_ROUNDS_MAX && !(await gone()); round++) {
    world.clock.advance(5_000);
    await world.pass(0);
    await check();
  }
  for (const model of await readModels(world)) assert.equal(model.status, "DELETED");
  assert.deepEqual(
    world.providers.flatMap((one) => one.alive()),
    [],
    "no machine is left",
  );
  assert.equal((await balanceOf(ctx, owner.userId)).heldNanos, 0n, "no money is held");
  await checkBooks(world);
}
