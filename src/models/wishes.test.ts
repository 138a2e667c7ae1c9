import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { modelFixture, NANOS_PER_HOUR } from "../../test/support/models.ts";
import { acceptTos } from "../identity/index.ts";
import { deleteModel } from "./delete-model.ts";
import { getModel } from "./get-model.ts";
import { pauseModel } from "./pause-model.ts";
import { resumeModel, retryModel } from "./restart-model.ts";
import { updateModel } from "./update-model.ts";

type Fixture = Awaited<ReturnType<typeof modelFixture>>;
const none = { description: undefined, modelSpec: undefined, replicas: undefined };

async function running(f: Fixture, replicas = 1): Promise<{ modelId: string; principal: Fixture["owner"] }> {
  const { model } = await f.deploy({ replicas });
  await f.until(model.id, "RUNNING");
  return { modelId: model.id, principal: f.owner };
}

async function spentNanos(f: Fixture): Promise<bigint> {
  const { rows } = await sql<{ nanos: bigint }>`
    select coalesce(sum(charge_nanos), 0)::bigint as nanos from gpu_window`.execute(f.ctx.db);
  return rows[0]?.nanos ?? 0n;
}

test("pausing takes out of routing and off the clock in one moment; machines go after it", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  await f.live(60_000);
  const paused = await pauseModel(f.ctx, f.deps, input);
  assert.equal(paused.model.status, "PAUSING");
  assert.equal(paused.model.condition.reason, "DRAINING");
  assert.equal(paused.apiKey, "");
  assert.equal(await f.heldNanos(), 0n);
  const charged = await spentNanos(f);
  assert.ok(charged > 0n);
  const still = await f.until(input.modelId, "PAUSED");
  assert.equal(still.model.condition.reason, "PAUSED_BY_OWNER");
  assert.equal(f.local.alive().length, 0);
  assert.equal(await spentNanos(f), charged);
  const again = await pauseModel(f.ctx, f.deps, input);
  assert.equal(again.model.version, still.model.version);
});

test("charged time runs from the first completion to the stop request", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const ready = await f.until(model.id, "RUNNING");
  await f.live(100_000);
  const stopMs = f.clock.now().getTime();
  await pauseModel(f.ctx, f.deps, { modelId: model.id, principal: f.owner });
  const seconds = BigInt(stopMs - ready.model.statusSince.getTime());
  assert.equal(await spentNanos(f), (NANOS_PER_HOUR * seconds) / 3_600_000n);
});

test("a start that fails costs nothing", async (t) => {
  const f = await modelFixture(t, { deps: {} });
  const { model } = await f.deploy();
  const kill = () => {
    for (const machine of f.local.machines) machine.diesMs ??= machine.loadingMs;
  };
  for (let look = 0; look < 400; look++) {
    await f.live(1_000);
    kill();
  }
  const failed = await f.view(model.id);
  assert.equal(failed.model.status, "FAILED");
  assert.equal(failed.model.condition.reason, "ENGINE_FAILED");
  assert.match(failed.model.condition.message, /out of memory/);
  assert.equal(await spentNanos(f), 0n);
  assert.equal(await f.heldNanos(), 0n);
  assert.equal(f.local.alive().length, 0);
});

test("a failed model can be retried; one that has not failed can't", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  await assert.rejects(retryModel(f.ctx, f.deps, input), {
    code: "FAILED_PRECONDITION",
    reason: "MODEL_STATE",
  });
  await sql`update model set gave_up_reason = 'ENGINE_FAILED', gave_up_message = 'x' where id = ${input.modelId}`.execute(
    f.ctx.db,
  );
  await f.live(60_000);
  assert.equal((await f.view(input.modelId)).model.status, "FAILED");
  const again = await retryModel(f.ctx, f.deps, input);
  assert.equal(again.model.status, "PENDING");
  await f.until(input.modelId, "RUNNING");
});

test("a paused model is resumed with its money held anew, also while its machines still go", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  await assert.rejects(resumeModel(f.ctx, f.deps, input), { reason: "MODEL_STATE" });
  await pauseModel(f.ctx, f.deps, input);
  const resumed = await resumeModel(f.ctx, f.deps, input);
  assert.equal(resumed.model.status, "PENDING");
  assert.equal(await f.heldNanos(), NANOS_PER_HOUR / 4n);
  await f.until(input.modelId, "RUNNING");
  assert.equal(f.local.alive().length, 1);
});

test("resuming needs no hub: the weights are those of the deploy", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  await pauseModel(f.ctx, f.deps, input);
  const offline = { ...f.deps, weights: { resolve: async () => Promise.reject(new Error("no network")) } };
  await resumeModel(f.ctx, offline, input);
  await f.until(input.modelId, "RUNNING");
});

test("without money nothing is resumed, and the model stays paused", async (t) => {
  const f = await modelFixture(t, { creditNanos: NANOS_PER_HOUR / 4n });
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  await f.live(120_000);
  const input = { modelId: model.id, principal: f.owner };
  await pauseModel(f.ctx, f.deps, input);
  await assert.rejects(resumeModel(f.ctx, f.deps, input), { reason: "BALANCE_TOO_LOW" });
  assert.equal((await f.until(model.id, "PAUSED")).model.desired, "PAUSED");
});

test("when the money runs out the model is paused inside paid time, with the reason, and nothing is overdrawn", async (t) => {
  const f = await modelFixture(t, { creditNanos: NANOS_PER_HOUR / 4n });
  const { model } = await f.deploy();
  const ready = await f.until(model.id, "RUNNING");
  const windowEnd = ready.model.statusSince.getTime() + f.deps.limits.windowMs;
  const paused = await f.until(model.id, "PAUSED");
  assert.equal(paused.model.condition.reason, "BALANCE_TOO_LOW");
  assert.ok(f.clock.now().getTime() <= windowEnd);
  const warned = paused.events.find((event) => event.reason === "BALANCE_RUNNING_OUT");
  assert.equal(warned?.type, "WARNING");
  assert.equal(await f.heldNanos(), 0n);
  const { rows } = await sql<{ ms: bigint }>`select unfunded_ms as ms from gpu_slot`.execute(f.ctx.db);
  assert.equal(rows[0]?.ms, 0n);
});

test("windows follow one another without a gap as long as there is money", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const ready = await f.until(model.id, "RUNNING");
  await f.live(2 * f.deps.limits.windowMs + 60_000);
  await pauseModel(f.ctx, f.deps, { modelId: model.id, principal: f.owner });
  const { rows } = await sql<{ ms: bigint; unfunded: bigint }>`
    select closed_ms as ms, unfunded_ms as unfunded from gpu_slot`.execute(f.ctx.db);
  const ranMs = BigInt(f.clock.now().getTime() - ready.model.statusSince.getTime());
  assert.equal(rows[0]?.ms, ranMs);
  assert.equal(rows[0]?.unfunded, 0n);
});

test("deleting answers at once with DELETING, frees the name and ends the clock; a repeat is not found", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  const deleting = await deleteModel(f.ctx, f.deps, input);
  assert.equal(deleting.model.status, "DELETING");
  assert.equal(await f.heldNanos(), 0n);
  await assert.rejects(deleteModel(f.ctx, f.deps, input), { code: "NOT_FOUND", reason: "MODEL_NOT_FOUND" });
  assert.equal((await f.view(input.modelId)).model.status, "DELETING");
  await f.live(60_000);
  await assert.rejects(f.view(input.modelId), { reason: "MODEL_NOT_FOUND" });
  assert.equal(f.local.alive().length, 0);
  const { rows } = await sql<{ status: string; next: Date | null }>`
    select status, next_check_at as next from model`.execute(f.ctx.db);
  assert.deepEqual(rows, [{ status: "DELETED", next: null }]);
});

test("a paused model without machines is deleted by way of DELETING too", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  await pauseModel(f.ctx, f.deps, input);
  await f.until(input.modelId, "PAUSED");
  const deleting = await deleteModel(f.ctx, f.deps, input);
  assert.equal(deleting.model.status, "DELETING");
  assert.notEqual(deleting.model.condition.deadline, null);
  await f.live(2_000);
  await assert.rejects(f.view(input.modelId), { reason: "MODEL_NOT_FOUND" });
});

test("a machine that its provider does not take away keeps the model DELETING, past the deadline with the reason", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  const stuck = { ...f.local, remove: async () => Promise.reject(new Error("503")) };
  const deps = { ...f.deps, drivers: [stuck] };
  await deleteModel(f.ctx, f.deps, input);
  for (let look = 0; look < 150; look++) {
    f.clock.advance(5_000);
    await f.pass(deps);
  }
  const late = await f.view(input.modelId);
  assert.equal(late.model.status, "DELETING");
  assert.equal(late.model.condition.reason, "PROVIDER_UNREACHABLE");
  await f.live(60_000);
  await assert.rejects(f.view(input.modelId), { reason: "MODEL_NOT_FOUND" });
});

test("to everybody but its owner and administrators a model is not there; its key is its owner's alone", async (t) => {
  const f = await modelFixture(t);
  const { modelId } = await running(f);
  const notFound = { code: "NOT_FOUND", reason: "MODEL_NOT_FOUND" };
  const stranger = { modelId, principal: f.other };
  await assert.rejects(getModel(f.ctx, f.deps, stranger), notFound);
  await assert.rejects(pauseModel(f.ctx, f.deps, stranger), notFound);
  await assert.rejects(resumeModel(f.ctx, f.deps, stranger), notFound);
  await assert.rejects(retryModel(f.ctx, f.deps, stranger), notFound);
  await assert.rejects(deleteModel(f.ctx, f.deps, stranger), notFound);
  await assert.rejects(updateModel(f.ctx, f.deps, { ...stranger, ...none }), notFound);
  assert.notEqual((await f.view(modelId)).apiKey, "");
  assert.equal((await getModel(f.ctx, f.deps, { modelId, principal: f.admin })).apiKey, "");
  const paused = await pauseModel(f.ctx, f.deps, { modelId, principal: f.admin });
  assert.equal(paused.model.desiredReason, "PAUSED_BY_ADMIN");
});

test("a changed spec is rolled out with the old replica answering until the new one does", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  const changed = await updateModel(f.ctx, f.deps, { ...input, ...none, modelSpec: { contextTokens: 100 } });
  assert.equal(changed.model.generation, 2);
  assert.equal(changed.model.status, "RUNNING");
  assert.equal(changed.model.condition.reason, "UPDATING");
  let both = 0;
  for (let look = 0; look < 600; look++) {
    await f.live(500);
    const { model } = await f.view(input.modelId);
    assert.equal(model.status, "RUNNING");
    if (f.local.alive().length === 2) both++;
    if (model.condition.reason === "READY") break;
  }
  assert.ok(both > 0);
  await f.live(60_000);
  assert.deepEqual(
    f.local.alive().map((machine) => machine.spec.key.generation),
    [2],
  );
  const { rows } = await sql<{ slots: number }>`select count(*)::int as slots from gpu_slot`.execute(
    f.ctx.db,
  );
  assert.equal(rows[0]?.slots, 1);
});

test("an update tells unknown and unchangeable keys, and one that changes nothing is no generation", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  const update = (modelSpec: Record<string, unknown>) =>
    updateModel(f.ctx, f.deps, { ...input, ...none, modelSpec });
  await assert.rejects(update({ nope: 1 }), { reason: "SPEC_KEY_UNKNOWN" });
  await assert.rejects(update({ contextTokens: 9_999 }), { reason: "SPEC_VALUE_INVALID" });
  assert.equal((await update({ contextTokens: null })).model.generation, 1);
  const text = await updateModel(f.ctx, f.deps, { ...input, ...none, description: "for the demo" });
  assert.equal(text.spec.description, "for the demo");
  assert.equal(text.model.generation, 1);
});

test("replicas go up with money held for each, and down with clocks ended at once", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  await updateModel(f.ctx, f.deps, { ...input, ...none, replicas: 3 });
  assert.equal(await f.heldNanos(), (3n * NANOS_PER_HOUR) / 4n);
  await f.live(300_000);
  assert.equal((await f.view(input.modelId)).model.readyReplicas, 3);
  const down = await updateModel(f.ctx, f.deps, { ...input, ...none, replicas: 1 });
  assert.equal(down.model.readyReplicas, 1);
  assert.equal(await f.heldNanos(), NANOS_PER_HOUR / 4n);
  await f.live(60_000);
  assert.equal(f.local.alive().length, 1);
  assert.equal((await f.view(input.modelId)).model.condition.reason, "READY");
});

test("more replicas than can be paid for are refused, and nothing changes", async (t) => {
  const f = await modelFixture(t, { creditNanos: NANOS_PER_HOUR / 2n });
  const input = await running(f);
  await assert.rejects(updateModel(f.ctx, f.deps, { ...input, ...none, replicas: 3 }), {
    reason: "BALANCE_TOO_LOW",
  });
  assert.equal((await f.view(input.modelId)).model.replicas, 1);
  await assert.rejects(updateModel(f.ctx, f.deps, { ...input, ...none, replicas: 0 }), {
    reason: "INVALID_FIELD",
  });
});

test("whoever has not accepted the terms in force stops models, and neither starts nor changes one", async (t) => {
  const f = await modelFixture(t);
  const input = await running(f);
  const terms = { version: "2031-01", url: "" };
  const deps = { ...f.deps, terms };
  const refusal = { code: "FAILED_PRECONDITION", reason: "TOS_NOT_ACCEPTED" };
  await assert.rejects(updateModel(f.ctx, deps, { ...input, ...none, description: "new" }), refusal);
  await pauseModel(f.ctx, deps, input);
  await f.until(input.modelId, "PAUSED");
  await assert.rejects(resumeModel(f.ctx, deps, input), refusal);
  await acceptTos(f.ctx, { userId: f.owner.userId, terms, version: "" });
  await resumeModel(f.ctx, deps, input);
  await updateModel(f.ctx, deps, { ...input, ...none, description: "new" });
  await deleteModel(f.ctx, deps, input);
});
