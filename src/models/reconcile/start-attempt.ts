/** Having a replica: its place chosen, its window held and its attempt written down, then its provider asked, and asked again. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { replicaName } from "../../providers/replica-name.ts";
import { fail, failureOf } from "../attempt.ts";
import type { Attempt, Model, NewEvent, Place } from "../model.ts";
import type { Action } from "../next-action.ts";
import type { ModelsDeps } from "../ports.ts";
import { conditionReasonOf, isCapacityReason } from "../reasons.ts";
import { openEngineKey, sealEngineKey, servingOf } from "../secrets.ts";
import { moveModel, type Planned, selectPlan } from "../store/plans.ts";
import { windowOf } from "../windows.ts";
import { driverOf, isUnclear, placeGone, within } from "./calls.ts";
import { missPrice, orMoneyShort } from "./pay.ts";
import { otherSite, ownSite, type Site } from "./site.ts";
import { commit, mayAct, put, type Work } from "./work.ts";

export async function start(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  action: Extract<Action, { kind: "start" }>,
): Promise<void> {
  work.serving ??= await servingOf(ctx, deps, work.model.id);
  const own = await ownSite(ctx, deps, work, work.serving, action.slot);
  const other = await otherSite(ctx, deps, work, work.serving, action.slot, own);
  // Where the balance can't pay for a dearer one, the own place is tried again.
  const moved = other && (await orStay(() => record(ctx, deps, work, action, other)));
  const attempt = moved ?? (await orMoneyShort(ctx, deps, work, () => record(ctx, deps, work, action, own)));
  if (!attempt) return;
  deps.steps.reach("reconcile.attempt-recorded");
  await call(ctx, deps, work, attempt);
}

/** The window held and the attempt written down, both or neither; undefined where the claim is lost or the place has no price. */
async function record(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  action: Extract<Action, { kind: "start" }>,
  site: Site,
): Promise<Attempt | undefined> {
  const { place, price } = site;
  if (!price) return missPrice(ctx, deps, work);
  const { slot } = action;
  const attempt = newAttempt(ctx, deps, work.model, action, place);
  const { deploymentId, claimEpoch, id: modelId } = work.model;
  const origin = { claimEpoch, path: work.serving?.path ?? "", planned: site };
  const recorded = await commit(ctx, deps, work, async (tx) => {
    const now = ctx.clock.now();
    // What was held or still open elsewhere is settled at its price there.
    if (site.moved) await deps.billing.endSlot(tx, { deploymentId, slot, at: now });
    await deps.billing.ensureWindowHeld(tx, windowOf(deps, work.model, slot, price, now, place));
    deps.steps.reach("reconcile.window-held");
    const follows = site.moved && slot === 0;
    if (follows) await moveModel(tx, modelId, place, site);
    const events = site.moved ? [movedTo(place)] : [];
    return { attempts: [attempt], origin, events, ...(follows ? { model: { place } } : {}) };
  });
  return recorded ? attempt : undefined;
}

/** A window that another place would need and the balance can't pay is no reason to give up. */
async function orStay(act: () => Promise<Attempt | undefined>): Promise<Attempt | undefined> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof StatusError && error.reason === "BALANCE_TOO_LOW") return undefined;
    throw error;
  }
}

function movedTo({ provider, region }: Place): NewEvent {
  return { type: "UPDATED", log: `Tried at ${provider}/${region} next.` };
}

function newAttempt(
  ctx: DbCtx,
  deps: ModelsDeps,
  model: Model,
  action: Extract<Action, { kind: "start" }>,
  place: Place,
): Attempt {
  const now = ctx.clock.now();
  const { slot, number, failures } = action;
  const name = replicaName({
    installationId: deps.installationId,
    deploymentId: model.deploymentId,
    generation: model.generation,
    replica: slot,
    attempt: number,
  });
  return {
    name,
    modelId: model.id,
    slot,
    number,
    generation: model.generation,
    startNumber: model.startNumber,
    driver: place.driver,
    provider: place.provider,
    region: place.region,
    createdAt: now,
    engineKeySealed: sealEngineKey(ctx, deps, name),
    applyState: "calling",
    appliedAt: now,
    strandedUntil: null,
    provisionBy: new Date(
      now.getTime() + (driverOf(deps, place.driver)?.provisioningMaxMs ?? deps.limits.provisioningMs),
    ),
    seen: false,
    absentSince: null,
    phase: "none",
    phaseSince: now,
    detail: "",
    progressDone: 0,
    progressTotal: 0,
    address: null,
    readyAt: null,
    routed: false,
    windowEndsAt: null,
    nextHeld: false,
    probeFailures: 0,
    probeFailedSince: null,
    stoppedAt: null,
    graceMs: 0,
    unroutedAt: null,
    removeAskedAt: null,
    failure: null,
    failures,
    closedAt: null,
  };
}

/** Asks again for what is written down. That the call goes out is written down before it does, as for the first one. */
export async function apply(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
  const calling: Attempt = { ...attempt, applyState: "calling", appliedAt: ctx.clock.now() };
  if (!(await commit(ctx, deps, work, async () => ({ attempts: [calling] })))) return;
  await call(ctx, deps, work, calling);
}

async function call(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
  const driver = driverOf(deps, attempt.driver);
  if (!driver) return refuse(ctx, deps, work, attempt, placeGone(attempt.driver));
  work.serving ??= await servingOf(ctx, deps, work.model.id);
  const { id: modelId, userId } = work.model;
  const storage = await deps.storage?.partOf(ctx, { userId, modelId });
  if (!mayAct(ctx, deps, work)) return;
  const planned = (await selectPlan(ctx, attempt.name)) ?? work.serving;
  const spec = { ...replicaSpec(deps, work, attempt, work.serving, planned), storage };
  const refusal = await within(ctx, deps.limits.applyTimeoutMs, (bounded) =>
    driver.apply(bounded, spec),
  ).then(
    () => undefined,
    (thrown: unknown) => StatusError.from(thrown),
  );
  deps.steps.reach("reconcile.applied");
  const now = ctx.clock.now();
  if (!refusal) return put(work, { ...attempt, applyState: "clear", appliedAt: now });
  ctx.log.warn({ err: refusal, replica: attempt.name, modelId: work.model.id }, "apply failed");
  if (!isUnclear(refusal)) return refuse(ctx, deps, work, attempt, refusal);
  work.notes = { ...work.notes, providerSilent: true };
  // What was seen is there once, whatever became of this call.
  put(
    work,
    attempt.seen
      ? { ...attempt, applyState: "clear" }
      : { ...attempt, applyState: "unclear", absentSince: null },
  );
}

async function refuse(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  attempt: Attempt,
  refusal: StatusError,
): Promise<void> {
  const failure = failureOf({
    reason: refusal.reason,
    message: refusal.message,
    retryable: isRetryable(refusal),
  });
  const refused: Attempt = { ...attempt, applyState: attempt.seen ? "clear" : "refused" };
  put(work, fail(refused, failure, { now: ctx.clock.now(), limits: deps.limits }));
}

function isRetryable(refusal: StatusError): boolean {
  if (isCapacityReason(conditionReasonOf(refusal.reason))) return true;
  if (refusal.reason === "HUB_UNREACHABLE" || refusal.reason === "WEIGHTS_CHECKSUM") return true;
  return (
    refusal.code === "RESOURCE_EXHAUSTED" || refusal.code === "ABORTED" || refusal.code === "ALREADY_EXISTS"
  );
}

function replicaSpec(
  deps: ModelsDeps,
  work: Work,
  attempt: Attempt,
  serving: NonNullable<Work["serving"]>,
  { plan, hardware }: Planned,
) {
  const { model } = work;
  return {
    key: {
      installationId: deps.installationId,
      deploymentId: model.deploymentId,
      generation: attempt.generation,
      replica: attempt.slot,
      attempt: attempt.number,
    },
    name: attempt.name,
    region: attempt.region,
    nodeId: model.place.nodeId,
    gpuType: model.place.gpuType,
    gpuCount: model.place.gpuCount,
    ...(serving.wanted.spot ? { spot: true } : {}),
    ...(hardware.gpuMemoryBytes > 0 ? { gpuMemoryBytes: hardware.gpuMemoryBytes } : {}),
    weights: serving.weights,
    plan,
    servedName: model.servedName,
    secrets: { engineKey: openEngineKey(deps, attempt), hfToken: serving.hfToken },
  };
}
