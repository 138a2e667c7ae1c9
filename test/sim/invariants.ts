/** What must hold after every step of every history. */
import assert from "node:assert/strict";
import { sql } from "kysely";
import { auditLedger, balanceOf } from "../../src/billing/index.ts";
import { STATUSES } from "../../src/models/index.ts";
import { canReach, type ModelStatus } from "../../src/models/states.ts";
import type { SimWorld } from "./world.ts";

interface Row {
  id: string;
  deployment_id: string;
  status: ModelStatus;
  desired: string;
  reason: string;
  message: string;
  next_step: string;
  deadline: Date | null;
  replicas: number;
  next_check_at: Date | null;
}

const TIMED: readonly ModelStatus[] = ["PENDING", "PROVISIONING", "LOADING", "PAUSING", "DELETING"];

export interface Watch {
  check(): Promise<void>;
}

export function invariants(world: SimWorld): Watch {
  const before = new Map<string, ModelStatus>();
  return {
    async check() {
      assert.deepEqual(world.breaches, []);
      const models = await readModels(world);
      for (const model of models) {
        checkCondition(model);
        checkMove(before, model);
        await checkStopped(world, model);
      }
      checkMachines(world);
      await checkMoney(world);
    },
  };
}

export async function readModels(world: SimWorld): Promise<readonly Row[]> {
  const { rows } = await sql<Row>`
    select id, deployment_id, status, desired, reason, message, next_step, deadline, replicas, next_check_at
    from model order by created_at, id`.execute(world.ctx.db);
  return rows;
}

/** No state without a reason, a sentence, a next step, and a deadline where there is one. */
function checkCondition(model: Row): void {
  assert.ok(STATUSES.includes(model.status));
  assert.notEqual(model.reason, "");
  assert.notEqual(model.message, "");
  assert.notEqual(model.next_step, "");
  if (TIMED.includes(model.status)) assert.notEqual(model.deadline, null, `${model.status} has a deadline`);
  const resting = ["PAUSED", "DELETED", "FAILED"].includes(model.status);
  assert.ok(resting || model.next_check_at !== null, `${model.status} is looked at again`);
}

function checkMove(before: Map<string, ModelStatus>, model: Row): void {
  const from = before.get(model.id) ?? model.status;
  assert.ok(canReach(from, model.status), `${from} became ${model.status}`);
  before.set(model.id, model.status);
}

/** Every status of every model was told once, in its order, up to the present one: no crash loses or doubles one. */
export async function checkTold(world: SimWorld): Promise<void> {
  const { rows } = await sql<{ from: string; to: string; model: string }>`
    select payload::json->'data'->>'previousStatus' as "from", payload::json->'data'->>'status' as "to",
      payload::json->'data'->>'modelId' as model
    from webhook_event order by sequence`.execute(world.ctx.db);
  const told = new Map<string, string>();
  for (const { from, to, model } of rows) {
    assert.equal(from, told.get(model) ?? "MODEL_STATUS_UNSPECIFIED", `a status of ${model} was not told`);
    told.set(model, to);
  }
  for (const { id, status } of await readModels(world)) assert.equal(told.get(id), `MODEL_STATUS_${status}`);
}

/** One machine a name, always; one a slot, but for a new generation's beside the old one's. */
function checkMachines(world: SimWorld): void {
  const alive = world.providers.flatMap((provider) => provider.alive());
  const bySlot = Map.groupBy(alive, ({ spec }) => `${spec.key.deploymentId}/${spec.key.replica}`);
  for (const [slot, machines] of bySlot) {
    const names = new Set(machines.map(({ name }) => name));
    const story = () =>
      [...names].flatMap((name) => [name, ...world.providers.flatMap((provider) => provider.story(name))]);
    const tell = (what: string) => `${what}: ${slot}\n${story().join("\n")}`;
    assert.ok(names.size === machines.length, tell("two machines of one name"));
    const generations = new Set(machines.map(({ spec }) => spec.key.generation));
    assert.ok(generations.size === machines.length, tell("two machines at one slot"));
    assert.ok(machines.length <= 2, tell("three machines at one slot"));
  }
}

/** Machines that there are, and those that attempts stand for: with provider and deployment, in one order. */
export async function ownership(world: SimWorld): Promise<{ alive: string[]; owned: string[] }> {
  const { rows } = await sql<{ name: string; driver: string; deployment_id: string }>`
    select model_attempt.name, model_attempt.driver, deployment_id from model_attempt join model on model.id = model_id
    where closed_at is null`.execute(world.ctx.db);
  const owned = rows.map((row) => `${row.driver}: ${row.name} of ${row.deployment_id}`);
  const alive = world.providers.flatMap((provider) =>
    provider.alive().map(({ name, spec }) => `${provider.name}: ${name} of ${spec.key.deploymentId}`),
  );
  return { alive: alive.sort(), owned: owned.sort() };
}

/** What a window of one replica costs here. */
const WINDOW_NANOS = 900_000_000n;

/** Once all rests: as many machines as are wanted and can be paid, each of one model, at the place that its attempt says, and no other. */
export async function checkOwned(world: SimWorld): Promise<void> {
  const { alive, owned } = await ownership(world);
  assert.deepEqual(alive, owned, "every machine is owned by one attempt, at its place");
  const { availableNanos } = await balanceOf(world.ctx, world.owner.userId);
  for (const model of await readModels(world)) {
    const mine = alive.filter((one) => one.endsWith(model.deployment_id)).length;
    const wanted = model.status === "RUNNING" ? model.replicas : 0;
    const unpaid = mine < wanted && availableNanos < WINDOW_NANOS;
    if (!unpaid) assert.equal(mine, wanted, `${model.id} is ${model.status}`);
  }
}

/** What its owner stopped stays stopped, and is not charged from that moment on. */
async function checkStopped(world: SimWorld, model: Row): Promise<void> {
  const stopped = world.stopped.get(model.id);
  if (!stopped) return;
  assert.equal(model.desired, stopped.desired, `a model that was stopped is ${model.desired} again`);
  assert.equal(await chargedMs(world, model.deployment_id), stopped.chargedMs, "charged after the stop");
}

export async function chargedMs(world: SimWorld, deploymentId: string): Promise<bigint> {
  const { rows } = await sql<{ ms: bigint | null }>`
    select sum(open_ms + closed_ms)::bigint as ms from gpu_slot where deployment_id = ${deploymentId}`.execute(
    world.ctx.db,
  );
  return rows[0]?.ms ?? 0n;
}

/** Charged time is never more than engines were up; money is never negative, and none is held for what stands still. */
async function checkMoney(world: SimWorld): Promise<void> {
  const balance = await balanceOf(world.ctx, world.owner.userId);
  assert.ok(balance.heldNanos >= 0n && balance.availableNanos >= 0n, "money is not negative");
  const { rows } = await sql<{
    deployment_id: string;
    slot: number;
    ms: bigint;
    state: string;
    desired: string;
    unfunded: bigint;
  }>`
    select gpu_slot.deployment_id, slot, open_ms + closed_ms as ms, state, desired, unfunded_ms as unfunded
    from gpu_slot join model on model.id = gpu_slot.model_id`.execute(world.ctx.db);
  const machines = world.providers.flatMap((provider) => provider.machines);
  const now = world.clock.now().getTime();
  for (const row of rows) {
    assert.equal(row.unfunded, 0n, "time was served that no hold covered");
    if (row.desired !== "RUNNING")
      assert.equal(row.state, "none", `money is held for a model that is ${row.desired}`);
    const mine = machines.filter(
      ({ spec }) => spec.key.deploymentId === row.deployment_id && spec.key.replica === row.slot,
    );
    const up = unionMs(
      mine.map((one) => [one.upMs, Math.min(one.diesMs ?? now, one.goneMs ?? now, now)] as const),
    );
    assert.ok(row.ms <= BigInt(up), `charged ${row.ms} ms, up ${up} ms: ${row.deployment_id}/${row.slot}`);
  }
}

/** At the end of a history the books balance to the last nano. */
export async function checkBooks(world: SimWorld): Promise<void> {
  assert.deepEqual(await auditLedger(world.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
}

/** Length of what any of the stretches covers. */
function unionMs(stretches: readonly (readonly [number, number])[]): number {
  let total = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const [from, to] of [...stretches].sort((a, b) => a[0] - b[0])) {
    if (to <= Math.max(from, end)) continue;
    total += to - Math.max(from, end);
    end = to;
  }
  return total;
}
