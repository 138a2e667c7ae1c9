import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { modelFixture, NANOS_PER_HOUR } from "../../../test/support/models.ts";
import { StatusError } from "../../base/status.ts";
import { STEPS, type Step, type Steps } from "../../base/steps.ts";
import type { Driver } from "../../providers/driver.ts";
import { deleteModel } from "../delete-model.ts";
import { holdLeadMs, LIMITS } from "../limits.ts";
import { pauseModel } from "../pause-model.ts";
import type { ModelsDeps } from "../ports.ts";
import { loadRoutes } from "../routes.ts";
import { updateModel } from "../update-model.ts";
import { reconcileDue } from "./reconcile-due.ts";

type Fixture = Awaited<ReturnType<typeof modelFixture>>;

class Killed extends Error {}

/** Dies when it reaches the step. */
function dyingAt(step: Step): Steps {
  return {
    reach(reached) {
      if (reached === step) throw new Killed(step);
    },
  };
}

async function onePass(f: Fixture, deps: ModelsDeps): Promise<void> {
  await reconcileDue(f.ctx, deps, { now: f.clock.now(), limit: 10 }).catch((error: unknown) => {
    if (!(error instanceof Killed)) throw error;
  });
}

function withDriver(f: Fixture, change: Partial<Driver>): ModelsDeps {
  return { ...f.deps, drivers: [{ ...f.local, ...change }] };
}

test("a deployed model passes its states in order, each told by an event, and is routed only after a completion", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const states = new Set<string>([model.status]);
  for (let look = 0; look < 300; look++) {
    await f.live(500);
    const { status } = (await f.view(model.id)).model;
    states.add(status);
    const [route] = await loadRoutes(f.ctx, f.deps, { modelIds: [model.id] });
    assert.equal(route?.replicas.length, status === "RUNNING" ? 1 : 0);
    if (status === "RUNNING") break;
  }
  assert.deepEqual([...states], ["PENDING", "PROVISIONING", "LOADING", "RUNNING"]);
  const told = (await f.view(model.id)).events.map((event) => event.status).reverse();
  assert.deepEqual([...new Set(told)], ["PENDING", "PROVISIONING", "LOADING", "RUNNING"]);
});

test("the route opens with the name, key hash and engine key of the replica, by id, served name and owner", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const [machine] = f.local.alive();
  for (const query of [
    { modelIds: [model.id] },
    { servedNames: [model.servedName] },
    { ownerIds: [model.userId] },
  ]) {
    const [route] = await loadRoutes(f.ctx, f.deps, query);
    assert.equal(route?.modelName, "mine");
    assert.equal(route?.replicas[0]?.engineKey, machine?.spec.secrets.engineKey);
    assert.equal(route?.contextTokens, 512);
  }
  assert.deepEqual(await loadRoutes(f.ctx, f.deps, {}), []);
  await deleteModel(f.ctx, f.deps, { principal: f.owner, modelId: model.id });
  assert.deepEqual(await loadRoutes(f.ctx, f.deps, { modelIds: [model.id] }), []);
});

for (const step of STEPS.filter((name) => name.startsWith("reconcile."))) {
  test(`a worker that dies at ${step} leaves one machine, one clock and a model that goes on`, async (t) => {
    const f = await modelFixture(t, {
      deps: { limits: { ...LIMITS, windowMs: 200_000 } },
    });
    const { model } = await f.deploy();
    const dying = { ...f.deps, steps: dyingAt(step) };
    // Whatever the step, it comes within a life of starting, some windows, and stopping.
    for (let look = 0; look < 600; look++) {
      f.clock.advance(1_000);
      await onePass(f, look % 3 === 0 ? dying : f.deps);
      assert.ok(f.local.alive().length <= 1);
    }
    await f.until(model.id, "RUNNING");
    await pauseModel(f.ctx, f.deps, { principal: f.owner, modelId: model.id });
    for (let look = 0; look < 10; look++) {
      f.clock.advance(1_000);
      await onePass(f, dying);
    }
    await f.until(model.id, "PAUSED");
    assert.equal(f.local.alive().length, 0);
    assert.equal(await f.heldNanos(), 0n);
  });
}

test("a worker whose claim was taken over writes nothing", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  let seen = 0;
  const slow = withDriver(f, {
    async apply(ctx, spec) {
      if (seen++ > 0) return f.local.apply(ctx, spec);
      // It stands still here, its lease ends, and another worker brings the model up.
      f.clock.advance(f.deps.limits.leaseMs + 1);
      await f.until(model.id, "RUNNING");
      await f.local.apply(ctx, spec);
    },
  });
  f.clock.advance(1);
  await onePass(f, slow);
  const after = await f.view(model.id);
  assert.equal(after.model.status, "RUNNING");
  assert.equal(f.local.alive().length, 1);
  await f.live(30_000);
  assert.equal((await f.view(model.id)).model.status, "RUNNING");
});

test("a wish that comes in the middle of a pass is neither overwritten nor forgotten", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  let wished = false;
  const interrupted = withDriver(f, {
    async apply(ctx, spec) {
      await f.local.apply(ctx, spec);
      if (wished) return;
      wished = true;
      await pauseModel(f.ctx, f.deps, { principal: f.owner, modelId: model.id });
    },
  });
  f.clock.advance(1);
  await onePass(f, interrupted);
  const paused = await f.view(model.id);
  assert.equal(paused.model.desired, "PAUSED");
  assert.equal(paused.model.status, "PAUSING");
  await f.live(1_000);
  assert.equal((await f.until(model.id, "PAUSED")).model.desired, "PAUSED");
  assert.equal(f.local.alive().length, 0);
});

test("a pause during the shared probe of running models is not charged past, and is carried out at once", async (t) => {
  const f = await modelFixture(t);
  const models = [await f.deploy(), await f.deploy({ modelName: "second" })].map(({ model }) => model);
  for (const model of models) await f.until(model.id, "RUNNING");
  const [first, second] = models;
  assert.ok(first && second);
  let paused = false;
  const probe = {
    ...f.deps.probe,
    async probe(...args: Parameters<ModelsDeps["probe"]["probe"]>) {
      if (!paused) {
        paused = true;
        await pauseModel(f.ctx, f.deps, { principal: f.owner, modelId: first.id });
      }
      return f.deps.probe.probe(...args);
    },
  };
  f.clock.advance(25_000);
  await onePass(f, { ...f.deps, probe });
  assert.ok(paused);
  const { rows } = await sql<{ state: string; n: number }>`
    select state, count(*)::int as n from gpu_slot group by state order by state`.execute(f.ctx.db);
  assert.deepEqual(rows, [
    { state: "none", n: 1 },
    { state: "open", n: 1 },
  ]);
  await f.live(5_000);
  assert.equal((await f.view(first.id)).model.desired, "PAUSED");
  await f.until(first.id, "PAUSED");
  assert.equal((await f.view(second.id)).model.status, "RUNNING");
});

test("a shared charge under a lapsed claim changes nothing", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  f.clock.advance(25_000);
  const probe = {
    ...f.deps.probe,
    async probe(...args: Parameters<ModelsDeps["probe"]["probe"]>) {
      await sql`update model set claim_epoch = claim_epoch + 1, next_check_at = ${new Date(0)}`.execute(
        f.ctx.db,
      );
      return f.deps.probe.probe(...args);
    },
  };
  const okAt = async () =>
    (await sql<{ at: Date }>`select last_ok_at as at from gpu_slot`.execute(f.ctx.db)).rows[0]?.at.getTime();
  const before = await okAt();
  await onePass(f, { ...f.deps, probe });
  assert.equal(await okAt(), before);
  const { rows } = await sql<{ at: Date }>`select next_check_at as at from model`.execute(f.ctx.db);
  assert.equal(rows[0]?.at.getTime(), 0);
});

test("without money for its first window, a model that waits fails before a machine is asked for", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const broke = {
    ...f.deps,
    billing: {
      ...f.deps.billing,
      async ensureWindowHeld(): Promise<never> {
        throw new StatusError({
          code: "FAILED_PRECONDITION",
          reason: "BALANCE_TOO_LOW",
          message: "Too little.",
        });
      },
    },
  };
  f.clock.advance(1);
  await onePass(f, broke);
  const failed = await f.view(model.id);
  assert.deepEqual([failed.model.status, failed.model.condition.reason], ["FAILED", "BALANCE_TOO_LOW"]);
  assert.equal(f.local.machines.length, 0);
  assert.equal(await f.heldNanos(), 0n);
});

test("a running replica that dies is replaced, uncharged between, on the same window", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  await f.live(60_000);
  const [machine] = f.local.alive();
  assert.ok(machine);
  machine.diesMs = f.clock.now().getTime();
  await f.until(model.id, "PENDING");
  const words = (await f.view(model.id)).events.map((event) => event.log).join("\n");
  assert.match(words, /Killed: out of memory/);
  await f.until(model.id, "RUNNING");
  assert.equal(f.local.alive().length, 1);
  const { rows } = await sql<{ windows: number; held: bigint }>`
    select count(*)::int as windows from gpu_window`.execute(f.ctx.db);
  assert.equal(rows[0]?.windows, 1);
});

test("a provider that is out of reach loses no running model", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const silent = withDriver(f, { observe: async () => Promise.reject(new Error("no route to host")) });
  for (let look = 0; look < 60; look++) {
    f.clock.advance(10_000);
    await onePass(f, silent);
  }
  const after = await f.view(model.id);
  assert.deepEqual([after.model.status, after.model.condition.reason], ["RUNNING", "READY"]);
});

test("one model that can't be worked on does not hold up the others", async (t) => {
  const f = await modelFixture(t);
  const good = await f.deploy();
  const bad = await f.deploy({ modelName: "broken" });
  await sql`update model set hf_token_sealed = '\\x00' where id = ${bad.model.id}`.execute(f.ctx.db);
  await f.until(good.model.id, "RUNNING");
  assert.equal((await f.view(bad.model.id)).model.status, "PENDING");
});

test("many workers at once: each model is worked on by one of them", async (t) => {
  const f = await modelFixture(t);
  const names = ["a", "b", "c", "d"];
  const models = await Promise.all(names.map((modelName) => f.deploy({ modelName })));
  for (let look = 0; look < 240; look++) {
    f.clock.advance(500);
    await Promise.all([0, 1, 2].map(() => onePass(f, f.deps)));
  }
  for (const { model } of models) assert.equal((await f.view(model.id)).model.status, "RUNNING");
  assert.equal(f.local.machines.length, names.length);
});

test("a replica that gets ready when its slot's window is about to end serves only if the next one is paid for", async (t) => {
  const f = await modelFixture(t, { creditNanos: NANOS_PER_HOUR / 4n });
  const { model } = await f.deploy();
  const ready = await f.until(model.id, "RUNNING");
  const endMs = ready.model.statusSince.getTime() + LIMITS.windowMs;
  const [machine] = f.local.alive();
  assert.ok(machine);
  machine.diesMs = endMs - holdLeadMs(LIMITS) - LIMITS.holdAheadMs - 60_000;
  await f.until(model.id, "PENDING");
  await f.until(model.id, "PROVISIONING");
  const [second] = f.local.alive();
  assert.ok(second);
  second.upMs = endMs - 30_000;
  const failed = await f.until(model.id, "FAILED");
  assert.equal(failed.model.condition.reason, "BALANCE_TOO_LOW");
  assert.equal(await f.heldNanos(), 0n);
  const { rows } = await sql<{ ms: bigint }>`select unfunded_ms as ms from gpu_slot`.execute(f.ctx.db);
  assert.equal(rows[0]?.ms, 0n);
});

test("a new generation that starts just after a window's end takes no served time out of the books", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const ready = await f.until(model.id, "RUNNING");
  const endMs = ready.model.statusSince.getTime() + LIMITS.windowMs;
  const input = { principal: f.owner, modelId: model.id };
  while (f.clock.now().getTime() < endMs - 500) await f.live(100);
  f.clock.advance(1_000);
  const change = { description: undefined, replicas: undefined, modelSpec: { contextTokens: 64 } };
  await updateModel(f.ctx, f.deps, { ...input, ...change });
  await f.live(180_000);
  assert.equal((await f.view(model.id)).model.condition.reason, "READY");
  await pauseModel(f.ctx, f.deps, input);
  const { rows } = await sql<{ ms: bigint; unfunded: bigint }>`
    select closed_ms as ms, unfunded_ms as unfunded from gpu_slot`.execute(f.ctx.db);
  const ranMs = BigInt(f.clock.now().getTime() - ready.model.statusSince.getTime());
  assert.deepEqual(rows, [{ ms: ranMs, unfunded: 0n }]);
});
