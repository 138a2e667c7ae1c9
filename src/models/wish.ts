/** What every wish of an owner shares: the row is locked, changed, described anew and made due in one transaction. */
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import { type DbCtx, notify, type TxCtx, withTransaction } from "../db/db.ts";
import type { EnginePlan, Hardware, SpecValues } from "../engines/engine.ts";
import { mayReach, type Principal } from "../identity/index.ts";
import { stop } from "./attempt.ts";
import { MODELS_CHANNEL, ROUTES_CHANNEL } from "./changes.ts";
import { type Description, describe, NO_NOTES } from "./describe.ts";
import type { Attempt, Model, ModelSpec, ModelView, NewEvent } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import { nextStepOf } from "./reasons.ts";
import { described } from "./reconcile/work.ts";
import { updateAttempt } from "./store/attempts.ts";
import { insertEvents } from "./store/events.ts";
import { lockModel, type ModelWithSpec, selectModel, updateWish } from "./store/models.ts";
import { selectLiveAttempts } from "./store/queue.ts";
import { tellMove } from "./tell-move.ts";
import { viewOf } from "./view.ts";

export interface WishInput {
  readonly principal: Principal;
  readonly modelId: string;
}

export interface Found extends ModelWithSpec {
  readonly attempts: readonly Attempt[];
}

export interface Wished {
  readonly model: Model;
  /** Attempts that change. */
  readonly attempts?: readonly Attempt[];
  readonly event: NewEvent;
  readonly description?: string;
  readonly spec?: SpecValues;
  readonly plan?: EnginePlan;
  readonly hardware?: Hardware;
  /** What a GPU hour costs where it is started again. */
  readonly accepted?: NonNullable<ModelSpec["accepted"]>;
}

/** To everybody but its owner and administrators a model is not there. */
export function requireVisible(
  ctx: BaseCtx,
  found: ModelWithSpec | undefined,
  input: WishInput,
): ModelWithSpec {
  const { principal, modelId } = input;
  if (found && mayReach(ctx, principal, found.model.userId)) return found;
  throw modelNotFound(modelId);
}

export function modelNotFound(modelId: string): StatusError {
  const message = `There is no model ${modelId}.`;
  return new StatusError({ code: "NOT_FOUND", reason: "MODEL_NOT_FOUND", message });
}

export function wrongState(model: Pick<Model, "status">, message: string): StatusError {
  const metadata = { status: model.status };
  return new StatusError({ code: "FAILED_PRECONDITION", reason: "MODEL_STATE", message, metadata });
}

/** A model that may be changed: visible, and not on its way out. */
export async function findForWish(ctx: DbCtx, input: WishInput): Promise<ModelWithSpec> {
  return requireStaying(requireVisible(ctx, await selectModel(ctx, input.modelId), input));
}

function requireStaying(found: ModelWithSpec): ModelWithSpec {
  if (found.model.desired === "DELETED") throw modelNotFound(found.model.id);
  return found;
}

/**
 * Carries out a wish under the row's lock. `change` gets what is there and returns what shall be, or undefined for "it is so
 * already". Returns the model as it is then. Throws MODEL_NOT_FOUND, and what `change` throws.
 */
export async function wish(
  ctx: DbCtx,
  deps: ModelsDeps,
  input: WishInput,
  change: (tx: TxCtx, found: Found) => Promise<Wished | undefined>,
): Promise<ModelView> {
  return withTransaction(ctx, async (tx) => {
    const found = requireStaying(requireVisible(tx, await lockModel(tx, input.modelId), input));
    const attempts = await selectLiveAttempts(tx, [input.modelId]);
    const wished = await change(tx, { ...found, attempts });
    if (!wished) return viewOf(tx, deps, found, false);
    const model = await save(tx, deps, { ...found, attempts }, wished);
    const spec = {
      ...found.spec,
      ...(wished.description === undefined ? {} : { description: wished.description }),
      ...(wished.spec === undefined ? {} : { spec: wished.spec }),
      ...(wished.plan === undefined ? {} : { plan: wished.plan }),
    };
    return viewOf(tx, deps, { model, spec }, false);
  });
}

async function save(tx: TxCtx, deps: ModelsDeps, found: Found, wished: Wished): Promise<Model> {
  const now = tx.clock.now();
  const changed = new Map((wished.attempts ?? []).map((attempt) => [attempt.name, attempt]));
  const attempts = found.attempts.map((attempt) => changed.get(attempt.name) ?? attempt);
  const told = describe({ model: wished.model, attempts, notes: NO_NOTES, now, limits: deps.limits });
  const deleteBy = new Date(now.getTime() + deps.limits.deletingMs);
  const model = { ...described({ model: wished.model }, stillGoing(told, deleteBy), now), updatedAt: now };
  const next = { ...model, version: found.model.version + 1n };
  await updateWish(tx, next, { ...wished, now });
  for (const attempt of changed.values()) await updateAttempt(tx, attempt, true);
  await insertEvents(tx, next, [wished.event], now);
  await notify(tx, MODELS_CHANNEL, next.id);
  await notify(tx, ROUTES_CHANNEL, `model:${next.id}`);
  await tellMove(tx, deps, found.model, next);
  return next;
}

/** A delete is answered with DELETING; that nothing is left is found out by a worker. */
function stillGoing(told: Description, deadline: Date): Description {
  if (told.status !== "DELETED") return told;
  const message = "Its machines are being removed.";
  return {
    ...told,
    status: "DELETING",
    reason: "STOPPING",
    message,
    nextStep: nextStepOf("STOPPING"),
    deadline,
  };
}

/** Stops slots for good, now: out of routing, their clocks ended, what is held released. */
export async function stopSlots(
  tx: TxCtx,
  deps: ModelsDeps,
  found: Found,
  isStopped: (slot: number) => boolean,
): Promise<readonly Attempt[]> {
  const at = tx.clock.now();
  const slots = new Set(found.attempts.map((attempt) => attempt.slot));
  for (let slot = 0; slot < found.model.replicas; slot++) slots.add(slot);
  for (const slot of [...slots].filter(isStopped).sort((a, b) => a - b)) {
    await deps.billing.endSlot(tx, { deploymentId: found.model.deploymentId, slot, at });
  }
  return found.attempts
    .filter((attempt) => isStopped(attempt.slot) && attempt.closedAt === null)
    .map((attempt) => stop(attempt, at, deps.limits.drainMaxMs));
}
