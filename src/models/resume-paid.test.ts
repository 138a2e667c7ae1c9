import assert from "node:assert/strict";
import { test } from "node:test";
import { modelFixture, NANOS_PER_HOUR } from "../../test/support/models.ts";
import * as billing from "../billing/index.ts";
import { setUserDisabled } from "../identity/index.ts";
import { deleteModel } from "./delete-model.ts";
import { pauseModel } from "./pause-model.ts";
import { resumePaid } from "./resume-paid.ts";
import { updateModel } from "./update-model.ts";

type Fixture = Awaited<ReturnType<typeof modelFixture>>;

/** Money for eighteen minutes, spent: the model stands still. */
async function brokeModel(t: Parameters<typeof modelFixture>[0]): Promise<{ f: Fixture; modelId: string }> {
  const f = await modelFixture(t, { creditNanos: (NANOS_PER_HOUR * 3n) / 10n });
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const paused = await f.until(model.id, "PAUSED");
  assert.equal(paused.model.condition.reason, "BALANCE_TOO_LOW");
  f.clock.advance(10 * 60_000);
  return { f, modelId: model.id };
}

function pay(f: Fixture, nanos: bigint): Promise<unknown> {
  const { owner, admin, ctx } = f;
  const key = ctx.random.uuid();
  const amount = { currency: "USD", nanos };
  return billing.grantCredit(ctx, {
    operatorId: admin.userId,
    userId: owner.userId,
    amount,
    reason: "t",
    key,
  });
}

test("a model that money paused resumes by itself when enough came, and keeps its endpoint and key", async (t) => {
  const { f, modelId } = await brokeModel(t);
  const before = await f.view(modelId);
  assert.equal(await resumePaid(f.ctx, f.deps), 0, "what its holds gave back is no reason to start");
  await pay(f, NANOS_PER_HOUR / 100n);
  assert.equal(await resumePaid(f.ctx, f.deps), 0, "too little");
  await pay(f, NANOS_PER_HOUR);
  assert.equal(await resumePaid(f.ctx, f.deps), 1, "at once, though it was too little a moment ago");
  assert.equal(await resumePaid(f.ctx, f.deps), 0, "once");
  const after = await f.until(modelId, "RUNNING");
  assert.equal(after.endpoint, before.endpoint);
  assert.equal(after.model.servedName, before.model.servedName);
});

test("an owner's pause, also of what money had paused, stays when money comes", async (t) => {
  const { f, modelId } = await brokeModel(t);
  const paused = await pauseModel(f.ctx, f.deps, { principal: f.owner, modelId });
  assert.deepEqual([paused.model.status, paused.model.condition.reason], ["PAUSED", "PAUSED_BY_OWNER"]);
  await pay(f, NANOS_PER_HOUR);
  assert.equal(await resumePaid(f.ctx, f.deps), 0);
});

test("a disabled owner's models stand still", async (t) => {
  const { f, modelId } = await brokeModel(t);
  await pay(f, NANOS_PER_HOUR);
  await setUserDisabled(f.ctx, { userId: f.owner.userId, disabled: true });
  assert.equal(await resumePaid(f.ctx, f.deps), 0);
  assert.equal((await f.view(modelId)).model.status, "PAUSED");
});

test("what can't be resumed for another reason is tried again, but not at every look", async (t) => {
  const { f, modelId } = await brokeModel(t);
  await pay(f, NANOS_PER_HOUR);
  const nowhere = { ...f.deps, drivers: [] };
  assert.equal(await resumePaid(f.ctx, nowhere), 0);
  assert.equal(await resumePaid(f.ctx, f.deps), 0, "its turn has not come");
  f.clock.advance(6 * 60_000);
  assert.equal(await resumePaid(f.ctx, f.deps), 1);
  await f.until(modelId, "RUNNING");
});

test("what the model's budget can't pay for is paused with everything kept, and resumes when the budget is raised or begins anew", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const before = await f.until(model.id, "RUNNING");
  const limit = (nanos: bigint) =>
    billing.setBudget(f.ctx, {
      ...{ userId: f.owner.userId, kind: "model", subject: model.id, period: "day" },
      limit: { currency: "USD", nanos },
    });
  await limit(NANOS_PER_HOUR / 100n);
  const paused = await f.until(model.id, "PAUSED");
  assert.equal(paused.model.condition.reason, "BUDGET_EXCEEDED");
  assert.ok(
    paused.events.some(({ reason }) => reason === "BUDGET_RUNNING_OUT"),
    "it was warned of",
  );
  f.clock.advance(10 * 60_000);
  assert.equal(await resumePaid(f.ctx, f.deps), 0);
  await pay(f, NANOS_PER_HOUR);
  assert.equal(await resumePaid(f.ctx, f.deps), 0, "money is not what it wants for");
  await limit(NANOS_PER_HOUR / 50n);
  assert.equal(await resumePaid(f.ctx, f.deps), 0, "too little");
  f.clock.advance(2 * 60_000);
  await limit(NANOS_PER_HOUR / 2n);
  assert.equal(await resumePaid(f.ctx, f.deps), 1);
  assert.equal(await resumePaid(f.ctx, f.deps), 0, "once");
  const after = await f.until(model.id, "RUNNING");
  assert.deepEqual([after.endpoint, after.model.servedName], [before.endpoint, before.model.servedName]);
  assert.equal((await f.until(model.id, "PAUSED")).model.condition.reason, "BUDGET_EXCEEDED");
  f.clock.advance(24 * 3_600_000);
  assert.equal(await resumePaid(f.ctx, f.deps), 1, "the day has turned");
  await f.until(model.id, "RUNNING");
  assert.equal((await billing.listBudgets(f.ctx, { userId: f.owner.userId })).length, 1);
  await deleteModel(f.ctx, f.deps, { principal: f.owner, modelId: model.id });
  assert.deepEqual(
    await billing.listBudgets(f.ctx, { userId: f.owner.userId }),
    [],
    "it ends with its model",
  );
});

test("more replicas are refused while the money would end before the shortest mark", async (t) => {
  const f = await modelFixture(t, { creditNanos: 3n * NANOS_PER_HOUR });
  await billing.configureBilling(f.ctx, { currency: "USD", payments: "off", runwayMarks: [3_600] });
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const change = { description: undefined, modelSpec: undefined, principal: f.owner, modelId: model.id };
  await assert.rejects(updateModel(f.ctx, f.deps, { ...change, replicas: 3 }), { reason: "RUNWAY_SHORT" });
  const scaled = await updateModel(f.ctx, f.deps, { ...change, replicas: 2 });
  assert.equal(scaled.model.replicas, 2);
});
