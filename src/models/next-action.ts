/**
 * What to do next for a model: desired and observed compared, nothing done. The reconciler performs the actions in order,
 * each in its own transaction, and looks again.
 */
import { deadlineOf } from "./attempt.ts";
import { holdLeadMs, type ModelLimits } from "./limits.ts";
import type { Attempt, AttemptFailure, Model } from "./model.ts";
import { type ConditionReason, isCapacityReason } from "./reasons.ts";

export type Action =
  /** Hold the slot's window, write the attempt down, ask the provider. */
  | { readonly kind: "start"; readonly slot: number; readonly number: number; readonly failures: number }
  /** Ask the provider again for what is already written down. */
  | { readonly kind: "apply"; readonly name: string }
  /** Ask for a completion: the first makes it ready, later ones are charged time. */
  | { readonly kind: "probe"; readonly name: string }
  /** Hold the window after the open one; pause the model where that can't be and `latest` has come. */
  | { readonly kind: "hold-next"; readonly name: string; readonly latest: Date }
  /** Take out of routing. */
  | { readonly kind: "stop"; readonly name: string }
  /** Ask the provider to take the machine away. */
  | { readonly kind: "remove"; readonly name: string }
  /** Stop trying. */
  | { readonly kind: "give-up"; readonly reason: ConditionReason; readonly message: string };

/** What one slot of a wanted deployment needs. */
export type SlotPlan =
  | { readonly kind: "start"; readonly number: number; readonly failures: number }
  | { readonly kind: "wait"; readonly until: Date }
  | { readonly kind: "replace"; readonly name: string }
  | { readonly kind: "busy" }
  | { readonly kind: "exhausted"; readonly failure: AttemptFailure; readonly failures: number };

export interface World {
  readonly model: Model;
  /** Every attempt that is open, and the last closed one of each slot. */
  readonly attempts: readonly Attempt[];
  readonly now: Date;
  readonly limits: ModelLimits;
  /** True where the attempt's provider keeps names unique. */
  idempotent(attempt: Attempt): boolean;
}

/** What starts is asked for again this often: whoever worked at it may have died. */
const APPLY_AGAIN_MS = 5_000;
/** A removal that shows nothing for so long after its grace is asked for again. */
const REMOVE_AGAIN_MS = 30_000;

export function nextActions(world: World): readonly Action[] {
  const leaving = open(world).filter((attempt) => attempt.stoppedAt !== null);
  const removals = leaving.filter((attempt) => removeDue(attempt, world)).map(remove);
  const { desired, gaveUp } = world.model;
  if (desired !== "RUNNING" || gaveUp) return [...stopAll(world), ...removals];
  const despair = giveUp(world);
  if (despair) return [despair, ...stopAll(world), ...removals];
  return [...surplus(world), ...slots(world), ...upkeep(world), ...removals];
}

/** What each wanted slot needs, in order. At most one slot at a time is moved to a new generation. */
function slots(world: World): readonly Action[] {
  const actions: Action[] = [];
  let rolling = world.attempts.some((attempt) => isNewBesideOld(attempt, world));
  for (let slot = 0; slot < world.model.replicas; slot++) {
    const plan = slotPlan(world, slot);
    const rolls = hasRoutedOld(world, slot);
    if ((plan.kind === "start" || plan.kind === "replace") && rolls) {
      if (rolling) continue;
      rolling = true;
    }
    if (plan.kind === "start") actions.push({ ...plan, slot });
    if (plan.kind === "replace") actions.push({ kind: "stop", name: plan.name });
  }
  return actions;
}

/** What one slot needs. A slot has one machine, except while a new generation's gets ready beside the old one. */
export function slotPlan(world: World, slot: number): SlotPlan {
  const { model } = world;
  const here = world.attempts.filter((attempt) => attempt.slot === slot);
  const alive = here.filter((attempt) => attempt.closedAt === null);
  const wanted = alive.filter((attempt) => attempt.stoppedAt === null);
  if (wanted.some((attempt) => attempt.generation === model.generation)) {
    const old = wanted.find((attempt) => attempt.generation !== model.generation && !attempt.routed);
    return old ? { kind: "replace", name: old.name } : { kind: "busy" };
  }
  const old = wanted[0];
  if (old && !old.routed) return { kind: "replace", name: old.name };
  if (alive.length > (old ? 1 : 0)) return { kind: "busy" };
  const last = here.reduce<Attempt | undefined>(
    (latest, attempt) => (latest && latest.number > attempt.number ? latest : attempt),
    undefined,
  );
  const failed = last && last.startNumber === model.startNumber && last.failure ? last : undefined;
  if (old && failed?.failure && isCapacityReason(failed.failure.reason))
    return { kind: "replace", name: old.name };
  return afterFailure(world, last?.number ?? -1, failed);
}

function afterFailure(world: World, lastNumber: number, failed: Attempt | undefined): SlotPlan {
  const start = { kind: "start", number: lastNumber + 1, failures: failed?.failures ?? 0 } as const;
  if (!failed?.failure || failed.stoppedAt === null) return start;
  const { limits } = world;
  const exhausted = !failed.failure.retryable || failed.failures >= limits.failuresMax;
  const answered = world.attempts.some((attempt) => attempt.routed);
  if (exhausted && !answered) {
    return { kind: "exhausted", failure: failed.failure, failures: failed.failures };
  }
  const waitMs = exhausted ? limits.slowRetryMs : backoffMs(world.model, failed, limits);
  const until = new Date(failed.stoppedAt.getTime() + waitMs);
  return until <= world.now ? start : { kind: "wait", until };
}

function backoffMs(model: Model, failed: Attempt, limits: ModelLimits): number {
  if (failed.failure && isCapacityReason(failed.failure.reason)) return roomRetryMs(model, failed, limits);
  return Math.min(limits.backoffFirstMs * 4 ** Math.max(0, failed.failures - 1), limits.backoffMaxMs);
}

/** No room: soon again at first, and the later the longer it was waited already; a slot of a model that answers has time. */
function roomRetryMs(model: Model, failed: Attempt, limits: ModelLimits): number {
  const at = (failed.stoppedAt ?? failed.createdAt).getTime();
  const waitedMs = model.waitingSince ? at - model.waitingSince.getTime() : Number.POSITIVE_INFINITY;
  return Math.min(Math.max(waitedMs / 4, limits.capacityRetryMs), limits.capacityRetryMaxMs);
}

/** Every slot is exhausted, or the wait for a place is over. */
function giveUp(world: World): Action | undefined {
  const { model, limits } = world;
  if (world.attempts.some((attempt) => attempt.routed)) return undefined;
  const plans = Array.from({ length: model.replicas }, (_, slot) => slotPlan(world, slot));
  const [first] = plans;
  if (first?.kind === "exhausted" && plans.every((plan) => plan.kind === "exhausted")) {
    const { failure, failures } = first;
    const message =
      failures > 1 ? `${failures} attempts failed. The last one: ${failure.message}` : failure.message;
    return { kind: "give-up", reason: failure.reason, message };
  }
  const starting = open(world).some((attempt) => attempt.stoppedAt === null);
  const late = model.waitingSince && model.waitingSince.getTime() + limits.pendingMs <= world.now.getTime();
  if (starting || !late) return undefined;
  return { kind: "give-up", ...whyWaited(world) };
}

function whyWaited(world: World): { reason: ConditionReason; message: string } {
  const failure = lastFailure(world.model, world.attempts);
  if (failure) return { reason: failure.reason, message: `No place until the deadline. ${failure.message}` };
  const message = "The former machines could not be removed in time.";
  if (open(world).length > 0) return { reason: "PROVIDER_UNREACHABLE", message };
  return { reason: "DEADLINE", message: "No replica could be started until the deadline." };
}

/** The newest failure of this start. */
export function lastFailure(model: Model, attempts: readonly Attempt[]): AttemptFailure | undefined {
  let newest: Attempt | undefined;
  for (const attempt of attempts) {
    if (!attempt.failure || attempt.startNumber !== model.startNumber) continue;
    if (!newest || attempt.createdAt >= newest.createdAt) newest = attempt;
  }
  return newest?.failure ?? undefined;
}

/** Attempts at slots that are no longer wanted. */
function surplus(world: World): readonly Action[] {
  return open(world)
    .filter((attempt) => attempt.stoppedAt === null && attempt.slot >= world.model.replicas)
    .map((attempt) => ({ kind: "stop", name: attempt.name }));
}

function stopAll(world: World): readonly Action[] {
  return open(world)
    .filter((attempt) => attempt.stoppedAt === null)
    .map((attempt) => ({ kind: "stop", name: attempt.name }));
}

/** What keeps wanted attempts going: asking again, completions, money for the next window. */
function upkeep(world: World): readonly Action[] {
  return open(world)
    .filter((attempt) => attempt.stoppedAt === null && attempt.slot < world.model.replicas)
    .flatMap((attempt): readonly Action[] => {
      const { name } = attempt;
      const answers = attempt.phase === "up" || attempt.readyAt !== null;
      if (answers && attempt.address) return [...holdNext(attempt, world), { kind: "probe", name }];
      return applyDue(attempt, world) ? [{ kind: "apply", name }] : [];
    });
}

function holdNext(attempt: Attempt, { now, limits }: World): readonly Action[] {
  if (!attempt.routed || attempt.nextHeld) return [];
  // No window is open though it serves: its last one ended while nobody looked. Now is the last moment.
  if (attempt.windowEndsAt === null) return [{ kind: "hold-next", name: attempt.name, latest: now }];
  const latest = latestHold(attempt.windowEndsAt, limits);
  if (now.getTime() < latest.getTime() - limits.holdAheadMs) return [];
  return [{ kind: "hold-next", name: attempt.name, latest }];
}

/** When draining must begin if the next window is not held by then. */
export function latestHold(windowEndsAt: Date, limits: ModelLimits): Date {
  return new Date(windowEndsAt.getTime() - holdLeadMs(limits));
}

/** After an unclear answer nobody creates until the name has stayed absent long enough; what is there may be asked for again. */
function applyDue(attempt: Attempt, world: World): boolean {
  const since = (date: Date) => world.now.getTime() - date.getTime();
  const idempotent = world.idempotent(attempt);
  if (attempt.applyState === "clear") {
    const isThere = attempt.seen && attempt.absentSince === null;
    return (isThere || idempotent) && since(attempt.appliedAt) >= APPLY_AGAIN_MS;
  }
  if (idempotent) return attempt.applyState !== "refused";
  if (attempt.applyState === "refused" || attempt.absentSince === null) return false;
  return since(attempt.absentSince) >= world.limits.unclearMs;
}

/** Gateways must have heard that it left before its engine stops; a failed one has nothing to wait for. */
function removeDue(attempt: Attempt, { now, limits }: World): boolean {
  if (attempt.removeAskedAt !== null) {
    return now.getTime() >= attempt.removeAskedAt.getTime() + attempt.graceMs + REMOVE_AGAIN_MS;
  }
  if (attempt.unroutedAt === null || attempt.failure !== null) return true;
  return now.getTime() >= attempt.unroutedAt.getTime() + limits.routePropagationMs;
}

function remove(attempt: Attempt): Action {
  return { kind: "remove", name: attempt.name };
}

function hasRoutedOld(world: World, slot: number): boolean {
  const { generation } = world.model;
  return world.attempts.some((one) => one.slot === slot && one.routed && one.generation !== generation);
}

function isNewBesideOld(attempt: Attempt, world: World): boolean {
  if (attempt.closedAt !== null || attempt.routed || attempt.generation !== world.model.generation)
    return false;
  return hasRoutedOld(world, attempt.slot);
}

function open(world: World): readonly Attempt[] {
  return world.attempts.filter((attempt) => attempt.closedAt === null);
}

/** When to look next, if nothing wakes it before; null when nothing is left to do. */
export function nextCheckAt(world: World): Date | null {
  const { model, now, limits } = world;
  const alive = open(world);
  const running = model.desired === "RUNNING" && !model.gaveUp;
  if (!running && alive.length === 0) return null;
  const times = alive.map((attempt) => lookAgainAt(attempt, world));
  if (running) {
    for (let slot = 0; slot < model.replicas; slot++) {
      const plan = slotPlan(world, slot);
      if (plan.kind === "wait") times.push(plan.until.getTime());
      if (plan.kind === "start" || plan.kind === "replace") times.push(now.getTime() + limits.pollMaxMs);
    }
  }
  const earliest = Math.min(...times, now.getTime() + limits.probeIntervalMs);
  return new Date(Math.max(earliest, now.getTime() + 1));
}

function lookAgainAt(attempt: Attempt, { now, limits }: World): number {
  const at = now.getTime();
  if (attempt.stoppedAt !== null) {
    const heard = (attempt.unroutedAt?.getTime() ?? 0) + limits.routePropagationMs;
    if (attempt.removeAskedAt === null && attempt.failure === null && heard > at) return heard;
    return at + pace(at - attempt.stoppedAt.getTime(), limits);
  }
  if (attempt.routed)
    return attempt.probeFailures > 0 ? at + limits.probeRetryMs : steadyAt(attempt, at, limits);
  const deadline = deadlineOf(attempt, limits)?.getTime() ?? Number.POSITIVE_INFINITY;
  return Math.min(at + pace(at - attempt.phaseSince.getTime(), limits), Math.max(deadline, at));
}

/** The next probe, moved to a step that many models share, but never past the moment at which money must be asked for. */
function steadyAt(attempt: Attempt, at: number, limits: ModelLimits): number {
  const step = limits.batchStepMs;
  const probe = Math.floor((at + limits.probeIntervalMs) / step) * step;
  if (attempt.windowEndsAt === null || attempt.nextHeld) return probe;
  const latest = latestHold(attempt.windowEndsAt, limits).getTime();
  const ahead = latest - limits.holdAheadMs;
  if (at < ahead) return Math.min(probe, ahead);
  return Math.min(probe, at < latest ? latest : at + limits.probeRetryMs);
}

/** Quick at first, slower with age: an engine that starts in a second is seen at once, one that takes an hour costs little. */
function pace(ageMs: number, limits: ModelLimits): number {
  return Math.min(Math.max(ageMs / 8, limits.pollFirstMs), limits.pollMaxMs);
}
