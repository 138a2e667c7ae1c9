/** Having a replica: its window held and its attempt written down, then its provider asked, and asked again. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { replicaName } from "../../providers/replica-name.ts";
import { fail, failureOf } from "../attempt.ts";
import type { Attempt, Model } from "../model.ts";
import type { Action } from "../next-action.ts";
import type { ModelsDeps } from "../ports.ts";
import { conditionReasonOf, isCapacityReason } from "../reasons.ts";
import { openEngineKey, sealEngineKey, servingOf } from "../secrets.ts";
import { priceOf, windowOf } from "../windows.ts";
import { driverOf, isUnclear, placeGone, within } from "./calls.ts";
import { missPrice, orMoneyShort } from "./pay.ts";
import { commit, mayAct, put, type Work } from "./work.ts";

export async function start(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  action: Extract<Action, { kind: "start" }>,
): Promise<void> {
  const price = await priceOf(ctx, deps, work.model);
  if (!price) return missPrice(ctx, deps, work);
  work.serving ??= await servingOf(ctx, deps, work.model.id);
  const attempt = newAttempt(ctx, deps, work.model, action);
  const { place, claimEpoch } = work.model;
  const origin = { claimEpoch, provider: place.provider, region: place.region, path: work.serving.path };
  const recorded = await orMoneyShort(ctx, deps, work, () =>
    commit(ctx, deps, work, async (tx) => {
      await deps.billing.ensureWindowHeld(
        tx,
        windowOf(deps, work.model, action.slot, price, ctx.clock.now()),
      );
      deps.steps.reach("reconcile.window-held");
      return { attempts: [attempt], origin };
    }),
  );
  if (!recorded) return;
  deps.steps.reach("reconcile.attempt-recorded");
  await call(ctx, deps, work, attempt);
}

function newAttempt(
  ctx: DbCtx,
  deps: ModelsDeps,
  model: Model,
  action: Extract<Action, { kind: "start" }>,
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
    driver: model.place.driver,
    createdAt: now,
    engineKeySealed: sealEngineKey(ctx, deps, name),
    applyState: "calling",
    appliedAt: now,
    strandedUntil: null,
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
  const spec = { ...replicaSpec(deps, work, attempt, work.serving), storage };
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

function replicaSpec(deps: ModelsDeps, work: Work, attempt: Attempt, serving: NonNullable<Work["serving"]>) {
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
    region: model.place.region,
    nodeId: model.place.nodeId,
    gpuType: model.place.gpuType,
    gpuCount: model.place.gpuCount,
    weights: serving.weights,
    plan: serving.plan,
    servedName: model.servedName,
    secrets: { engineKey: openEngineKey(deps, attempt), hfToken: serving.hfToken },
  };
}
