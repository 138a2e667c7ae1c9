/** Performs one action of a model: each is one call outside or one transaction, with the row saying so before and after. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { replicaName } from "../../providers/replica-name.ts";
import { absorbProbe, fail, failureOf, type Look, type ProbeOutcome, stop } from "../attempt.ts";
import type { Attempt, Model } from "../model.ts";
import { type Action, latestHold } from "../next-action.ts";
import type { GpuPrice, ModelsDeps, SlotTime, WindowInput } from "../ports.ts";
import { conditionReasonOf, isCapacityReason } from "../reasons.ts";
import { openEngineKey, sealEngineKey, servingOf } from "../secrets.ts";
import { driverOf, isUnclear, within } from "./calls.ts";
import { commit, isIdempotent, mayAct, put, type Work } from "./work.ts";

export async function perform(ctx: DbCtx, deps: ModelsDeps, work: Work, action: Action): Promise<void> {
  if (!mayAct(ctx, deps, work)) return;
  switch (action.kind) {
    case "start":
      return start(ctx, deps, work, action);
    case "give-up":
      return giveUp(ctx, deps, work, action);
    case "apply":
      return withAttempt(work, action.name, (attempt) => apply(ctx, deps, work, attempt));
    case "probe":
      return withAttempt(work, action.name, (attempt) => probe(ctx, deps, work, attempt));
    case "hold-next":
      return withAttempt(work, action.name, (attempt) => holdNext(ctx, deps, work, attempt, action.latest));
    case "stop":
      return withAttempt(work, action.name, (attempt) => takeOut(ctx, deps, work, attempt));
    case "remove": {
      const attempt = work.attempts.get(action.name);
      if (attempt && attempt.closedAt === null) await remove(ctx, deps, work, attempt);
    }
  }
}

/** An earlier action of the same pass may have ended what a later one is about. */
async function withAttempt(
  work: Work,
  name: string,
  act: (attempt: Attempt) => Promise<void>,
): Promise<void> {
  const attempt = work.attempts.get(name);
  if (attempt && attempt.stoppedAt === null) await act(attempt);
}

async function start(
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
async function apply(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
  const calling: Attempt = { ...attempt, applyState: "calling", appliedAt: ctx.clock.now() };
  if (!(await commit(ctx, deps, work, async () => ({ attempts: [calling] })))) return;
  await call(ctx, deps, work, calling);
}

async function call(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
  const driver = driverOf(deps, attempt.driver);
  if (!driver) return refuse(ctx, deps, work, attempt, placeGone(attempt));
  work.serving ??= await servingOf(ctx, deps, work.model.id);
  if (!mayAct(ctx, deps, work)) return;
  const spec = replicaSpec(deps, work, attempt, work.serving);
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

function placeGone(attempt: Attempt): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "PLACE_UNAVAILABLE",
    message: `The place ${attempt.driver} is not configured any more.`,
  });
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

async function probe(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
  const { outcome, at } = work.outcomes.get(attempt.name) ?? (await ask(ctx, deps, work, attempt));
  deps.steps.reach("reconcile.probed");
  if (!outcome.ok) return put(work, absorbProbe(attempt, outcome, lookOf(deps, attempt, at)));
  const answered = absorbProbe(attempt, outcome, lookOf(deps, attempt, at));
  if (attempt.readyAt === null) return becomeReady(ctx, deps, work, answered, at);
  return meter(ctx, deps, work, answered, at);
}

/** Asks a replica for a completion. Never throws a StatusError: a replica that can't even be asked has refused. */
export async function ask(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt) {
  return { outcome: await outcomeOf(ctx, deps, work, attempt), at: ctx.clock.now() };
}

async function outcomeOf(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<ProbeOutcome> {
  const { address } = attempt;
  if (!address) return { ok: false, kind: "refused", message: "it has no address" };
  try {
    const { servedName } = work.model;
    const target = { address, engineKey: openEngineKey(deps, attempt), servedName };
    return await deps.probe.probe(ctx, target, deps.limits.probeTimeoutMs);
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    ctx.log.error({ err: error, replica: attempt.name }, "a replica can't be asked");
    return { ok: false, kind: "refused", message: error.message };
  }
}

function lookOf(deps: ModelsDeps, attempt: Attempt, now: Date): Look {
  return { now, limits: deps.limits, idempotent: isIdempotent(deps, attempt) };
}

/** The first completion: the window opens and requests may come, both or neither. A former generation's replica leaves in the same moment. */
async function becomeReady(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  attempt: Attempt,
  at: Date,
): Promise<void> {
  const price = await priceOf(ctx, deps, work.model);
  if (!price) return missPrice(ctx, deps, work);
  const former = [...work.attempts.values()].filter(
    (other) => other.slot === attempt.slot && other.name !== attempt.name && other.routed,
  );
  await orMoneyShort(ctx, deps, work, () =>
    commit(ctx, deps, work, async (tx) => {
      await deps.billing.ensureWindowHeld(tx, windowOf(deps, work.model, attempt.slot, price, at));
      const opened = await meterOne(tx, deps, work.model, attempt.slot, at);
      deps.steps.reach("reconcile.window-opened");
      const time = await coverDrain(tx, deps, work.model, { opened, slot: attempt.slot, price, at });
      const ready = { ...attempt, readyAt: at, routed: true, ...windowFields(time) };
      return { attempts: [ready, ...former.map((old) => stop(old, at, deps.limits.drainMaxMs))] };
    }),
  );
}

/** A window that ends too soon to drain in it (it was opened by an earlier replica) is no ground to serve on: the next is held too. */
async function coverDrain(
  tx: TxCtx,
  deps: ModelsDeps,
  model: Model,
  input: { opened: SlotTime | undefined; slot: number; price: GpuPrice; at: Date },
): Promise<SlotTime | undefined> {
  const { opened, slot, price, at } = input;
  if (!opened?.windowEndsAt || opened.nextHeld || at < latestHold(opened.windowEndsAt, deps.limits))
    return opened;
  return deps.billing.holdNextWindow(tx, { deploymentId: model.deploymentId, slot, price, now: at });
}

async function meter(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt, at: Date): Promise<void> {
  const metered = await commit(ctx, deps, work, async (tx) => {
    const time = await meterOne(tx, deps, work.model, attempt.slot, at);
    return { attempts: [{ ...attempt, ...windowFields(time) }] };
  });
  if (!metered) return;
  deps.steps.reach("reconcile.metered");
  const now = work.attempts.get(attempt.name);
  if (now?.windowEndsAt?.getTime() !== attempt.windowEndsAt?.getTime()) {
    deps.steps.reach("reconcile.window-captured");
  }
}

async function meterOne(
  tx: TxCtx,
  deps: ModelsDeps,
  model: Model,
  slot: number,
  at: Date,
): Promise<SlotTime | undefined> {
  const [time] = await deps.billing.meterProbes(tx, [{ deploymentId: model.deploymentId, slot, at }]);
  return time;
}

export function windowFields(time: SlotTime | undefined): Pick<Attempt, "windowEndsAt" | "nextHeld"> {
  return { windowEndsAt: time?.windowEndsAt ?? null, nextHeld: time?.nextHeld ?? false };
}

/** Holds the window after the open one. Without money: a warning first, and draining begins while time is still paid for. */
async function holdNext(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  attempt: Attempt,
  latest: Date,
): Promise<void> {
  const price = await priceOf(ctx, deps, work.model);
  if (!price) return missPrice(ctx, deps, work);
  const { deploymentId } = work.model;
  try {
    const held = await commit(ctx, deps, work, async (tx) => {
      const input = { deploymentId, slot: attempt.slot, price, now: ctx.clock.now() };
      const time = await deps.billing.holdNextWindow(tx, input);
      return { attempts: [{ ...attempt, ...windowFields(time) }] };
    });
    if (held) deps.steps.reach("reconcile.window-held");
  } catch (error) {
    if (!isMoneyShort(error)) throw error;
    if (ctx.clock.now() >= latest) return pauseForMoney(ctx, deps, work);
    work.notes = { ...work.notes, moneyEndsAt: latest };
  }
}

/** Stops all replicas now, inside paid time; what they have served until now is charged, the rest of the holds is released. */
async function pauseForMoney(ctx: DbCtx, deps: ModelsDeps, work: Work): Promise<void> {
  const now = ctx.clock.now();
  const paused = await commit(ctx, deps, work, async (tx) => {
    await endSlots(tx, deps, work, now);
    const model = { desired: "PAUSED", desiredReason: "BALANCE_TOO_LOW", desiredAt: now } as const;
    return { model, attempts: stopped(work, now, deps.limits.drainMaxMs) };
  });
  if (paused) deps.steps.reach("reconcile.unrouted");
}

async function giveUp(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  why: NonNullable<Model["gaveUp"]>,
): Promise<void> {
  const now = ctx.clock.now();
  await commit(ctx, deps, work, async (tx) => {
    await endSlots(tx, deps, work, now);
    const model = { gaveUp: { reason: why.reason, message: why.message } };
    return { model, attempts: stopped(work, now, 0) };
  });
}

function stopped(work: Work, now: Date, graceMs: number): readonly Attempt[] {
  return [...work.attempts.values()]
    .filter((attempt) => attempt.closedAt === null)
    .map((attempt) => stop(attempt, now, graceMs));
}

async function endSlots(tx: TxCtx, deps: ModelsDeps, work: Work, at: Date): Promise<void> {
  const slots = new Set([...work.attempts.values()].map((attempt) => attempt.slot));
  for (let slot = 0; slot < work.model.replicas; slot++) slots.add(slot);
  for (const slot of slots) {
    await deps.billing.endSlot(tx, { deploymentId: work.model.deploymentId, slot, at });
  }
}

/** Takes one replica out of routing; where its slot is no longer wanted, its clock ends with it. */
async function takeOut(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
  const now = ctx.clock.now();
  const { model } = work;
  const unwanted = attempt.slot >= model.replicas || model.desired !== "RUNNING" || model.gaveUp !== null;
  const done = await commit(ctx, deps, work, async (tx) => {
    if (unwanted) {
      await deps.billing.endSlot(tx, { deploymentId: model.deploymentId, slot: attempt.slot, at: now });
    }
    return { attempts: [stop(attempt, now, deps.limits.drainMaxMs)] };
  });
  if (done && attempt.routed) deps.steps.reach("reconcile.unrouted");
}

/** Only what the database says has left routing may be taken away: a failure that was just seen is written down first. */
async function remove(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
  if (work.saved.attempts.get(attempt.name)?.stoppedAt === null) {
    if (!(await commit(ctx, deps, work))) return;
    deps.steps.reach("reconcile.unrouted");
  }
  const driver = driverOf(deps, attempt.driver);
  const graceMs = attempt.removeAskedAt === null ? attempt.graceMs : 0;
  const problem = driver
    ? await within(ctx, deps.limits.removeTimeoutMs, (bounded) =>
        driver.remove(bounded, attempt.name, { graceMs }),
      ).then(
        () => undefined,
        (thrown: unknown) => StatusError.from(thrown),
      )
    : placeGone(attempt);
  deps.steps.reach("reconcile.removed");
  if (!problem || problem.code === "NOT_FOUND") {
    return put(work, { ...attempt, removeAskedAt: ctx.clock.now() });
  }
  ctx.log.warn({ err: problem, replica: attempt.name, modelId: work.model.id }, "remove failed");
  work.notes = { ...work.notes, providerSilent: true };
}

function priceOf(ctx: DbCtx, deps: ModelsDeps, { place }: Model): Promise<GpuPrice | undefined> {
  const { provider, region, gpuType } = place;
  return deps.billing.gpuPrice(ctx, { provider, region, gpuType, at: ctx.clock.now() });
}

function windowOf(deps: ModelsDeps, model: Model, slot: number, price: GpuPrice, now: Date): WindowInput {
  const { id: modelId, deploymentId, userId, place } = model;
  const { windowMs } = deps.limits;
  return { modelId, deploymentId, userId, slot, price, gpuCount: place.gpuCount, windowMs, now };
}

async function missPrice(ctx: DbCtx, deps: ModelsDeps, work: Work): Promise<void> {
  if ([...work.attempts.values()].some((attempt) => attempt.routed)) return;
  const message = "The place has no price, so nothing can be run there.";
  await giveUp(ctx, deps, work, { reason: "PRICE_MISSING", message });
}

function isMoneyShort(error: unknown): error is StatusError {
  return error instanceof StatusError && error.reason === "BALANCE_TOO_LOW";
}

/** Runs a commit that needs money. Without it a model that answers nowhere is given up before any machine is asked for. */
async function orMoneyShort(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  act: () => Promise<boolean>,
): Promise<boolean> {
  try {
    return await act();
  } catch (error) {
    if (!isMoneyShort(error)) throw error;
    const answers = [...work.attempts.values()].some((attempt) => attempt.routed);
    if (!answers) await giveUp(ctx, deps, work, { reason: "BALANCE_TOO_LOW", message: error.message });
    return false;
  }
}
