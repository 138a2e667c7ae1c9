/** One claimed model while a worker works on it: what is saved, what is concluded since, and the transaction that joins them. */
import { type DbCtx, notify, type TxCtx, withTransaction } from "../../db/db.ts";
import type { EnginePlan, Hardware, SpecValues, Switches, WeightsFacts } from "../../engines/engine.ts";
import type { EngineMeasured } from "../../providers/driver.ts";
import type { ProbeOutcome } from "../attempt.ts";
import { stageOf } from "../attempt.ts";
import { MODELS_CHANNEL, ROUTES_CHANNEL } from "../changes.ts";
import { type Description, describe, NO_NOTES, type Notes } from "../describe.ts";
import type { Attempt, Model, NewEvent, Place, WantedPlace } from "../model.ts";
import { nextCheckAt, type World } from "../next-action.ts";
import type { PriceBound } from "../placement.ts";
import type { ModelsDeps } from "../ports.ts";
import { canReach } from "../states.ts";
import { type AttemptOrigin, insertAttempt, settleCall, updateAttempt } from "../store/attempts.ts";
import { insertEvents, pruneEvents } from "../store/events.ts";
import { updateState } from "../store/models.ts";
import { claimOf, lockClaim, release } from "../store/queue.ts";
import { tellMove } from "../tell-move.ts";
import { describeEvents } from "./events.ts";

/** What attempts are started with, read when first needed. */
export interface Serving {
  readonly path: string;
  readonly weights: WeightsFacts;
  /** At the model's own place. */
  readonly hardware: Hardware;
  readonly plan: EnginePlan;
  readonly hfToken: string;
  readonly wanted: WantedPlace;
  readonly switches: Switches;
  readonly modelSpec: SpecValues;
  /** What another place may cost. */
  readonly priceBound: PriceBound | undefined;
}

export interface Work {
  readonly claimedUntil: Date;
  /** As in the database. */
  saved: { readonly model: Model; readonly attempts: ReadonlyMap<string, Attempt> };
  /** As concluded since. */
  model: Model;
  attempts: ReadonlyMap<string, Attempt>;
  notes: Notes;
  /** Answers of engines in this pass, and when they came. */
  readonly outcomes: Map<string, { readonly outcome: ProbeOutcome; readonly at: Date }>;
  /** What engines that are up measured of their memory. */
  readonly measured: Map<string, EngineMeasured>;
  /** The claim ended or a newer wish came: nothing more may be done or written. */
  lost: boolean;
  serving: Serving | undefined;
}

/** What an effect changes; attempts that are new are inserted. */
export interface Change {
  readonly attempts?: readonly Attempt[];
  readonly model?: Partial<Pick<Model, "desired" | "desiredReason" | "desiredAt" | "gaveUp" | "place">>;
  readonly events?: readonly NewEvent[];
  readonly origin?: AttemptOrigin;
}

export function workOf(model: Model, attempts: readonly Attempt[], claimedUntil: Date): Work {
  const known = new Map(attempts.map((attempt) => [attempt.name, attempt]));
  return {
    claimedUntil,
    saved: { model, attempts: known },
    model,
    attempts: known,
    notes: NO_NOTES,
    outcomes: new Map(),
    measured: new Map(),
    lost: false,
    serving: undefined,
  };
}

/** Where an attempt is: the model's kind of hardware at the attempt's own region. */
export function placeOf({ place }: Pick<Model, "place">, attempt: Attempt): Place {
  const { driver, provider, region } = attempt;
  return { ...place, driver, provider, region };
}

export function worldOf(deps: ModelsDeps, work: Pick<Work, "model" | "attempts">, now: Date): World {
  return {
    model: work.model,
    attempts: [...work.attempts.values()],
    now,
    limits: deps.limits,
    idempotent: (attempt) => isIdempotent(deps, attempt),
  };
}

export function isIdempotent(deps: ModelsDeps, attempt: Attempt): boolean {
  return deps.drivers.find((driver) => driver.name === attempt.driver)?.createIsIdempotent ?? false;
}

/** True while there is time for one more call to a provider inside the claim. */
export function mayAct(ctx: DbCtx, deps: ModelsDeps, work: Work): boolean {
  return !work.lost && ctx.clock.now().getTime() < work.claimedUntil.getTime() - deps.limits.leaseMarginMs;
}

/** Puts changed attempts into the working copy; they are written with the next commit. */
export function put(work: Work, ...changed: readonly Attempt[]): void {
  if (changed.every((attempt) => work.attempts.get(attempt.name) === attempt)) return;
  const attempts = new Map(work.attempts);
  for (const attempt of changed) attempts.set(attempt.name, attempt);
  work.attempts = attempts;
}

/**
 * Writes what was concluded, together with an effect (money, mostly), in one transaction under the claim. False when the
 * claim no longer holds: then nothing was written. Throws what the effect throws, with nothing written either.
 */
export async function commit(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  effect: (tx: TxCtx) => Promise<Change> = async () => ({}),
): Promise<boolean> {
  if (work.lost) return false;
  const after = await withTransaction(ctx, async (tx) => {
    if (!(await lockClaim(tx, claimOf(work.model)))) return undefined;
    const change = await effect(tx);
    const next = conclude(ctx, deps, work, change);
    await write(tx, work, next, change);
    await tellMove(tx, deps, work.saved.model, next.model);
    return next;
  });
  if (!after) {
    work.lost = true;
    return false;
  }
  work.model = after.model;
  work.attempts = after.attempts;
  work.saved = { model: after.model, attempts: after.attempts };
  return true;
}

/** Ends the worker's time with this model: writes what is left to write, and says when to look again. */
export async function finish(ctx: DbCtx, deps: ModelsDeps, work: Work): Promise<void> {
  const { limits } = deps;
  const now = ctx.clock.now();
  if (isChanged(ctx, deps, work)) await commit(ctx, deps, work);
  if (work.lost) await settleCalls(ctx, work);
  const next = work.lost ? now : nextCheckAt(worldOf(deps, work, now));
  const soon = work.notes.providerSilent && next ? later(next, now.getTime() + limits.pollMaxMs) : next;
  await release(ctx, claimOf(work.model), soon);
  deps.steps.reach("reconcile.saved");
}

/** A call that has ended must not be taken for one that is still out, also where a newer wish forbids to write the rest. */
async function settleCalls(ctx: DbCtx, work: Work): Promise<void> {
  for (const { name, applyState } of work.attempts.values()) {
    if (applyState === "calling" || work.saved.attempts.get(name)?.applyState !== "calling") continue;
    await settleCall(ctx, { name, epoch: work.model.claimEpoch, applyState });
  }
}

function later(date: Date, atLeast: number): Date {
  return new Date(Math.max(date.getTime(), atLeast));
}

/** Whether the working copy says anything that the database does not. */
export function isChanged(ctx: DbCtx, deps: ModelsDeps, work: Work): boolean {
  if (work.attempts !== work.saved.attempts) return true;
  const now = ctx.clock.now();
  return !sameState(work.saved.model, described(work, describeWork(deps, work, work.model, now), now));
}

interface Concluded {
  readonly model: Model;
  readonly attempts: ReadonlyMap<string, Attempt>;
  readonly events: readonly NewEvent[];
}

function conclude(ctx: DbCtx, deps: ModelsDeps, work: Work, change: Change): Concluded {
  const now = ctx.clock.now();
  const attempts = new Map(work.attempts);
  for (const attempt of change.attempts ?? []) attempts.set(attempt.name, attempt);
  const wished = { ...work.model, ...change.model };
  const description = describeWork(deps, { ...work, attempts }, wished, now);
  const model = described({ model: wished }, description, now);
  if (!canReach(work.saved.model.status, model.status)) {
    ctx.log.error({ modelId: model.id, from: work.saved.model.status, to: model.status }, "impossible move");
  }
  const events = [
    ...(change.events ?? []),
    ...describeEvents({ model: work.saved.model, attempts: work.saved.attempts }, { model, attempts }),
  ];
  if (
    model.condition.reason === "PROVIDER_UNREACHABLE" &&
    work.saved.model.condition.reason !== model.condition.reason
  ) {
    ctx.log.error({ modelId: model.id, status: model.status }, "a provider does not answer past a deadline");
  }
  return { model, attempts, events };
}

function describeWork(
  deps: ModelsDeps,
  work: Pick<Work, "attempts" | "notes">,
  model: Model,
  now: Date,
): Description {
  return describe({
    model,
    attempts: [...work.attempts.values()],
    notes: work.notes,
    now,
    limits: deps.limits,
  });
}

/** The model with a new description; times move only where what they date has changed. */
export function described(work: Pick<Work, "model">, told: Description, now: Date): Model {
  const { model } = work;
  const moved = told.status !== model.status;
  const renewed = moved || told.reason !== model.condition.reason;
  return {
    ...model,
    status: told.status,
    statusSince: moved ? now : model.statusSince,
    condition: {
      reason: told.reason,
      message: told.message,
      since: renewed ? now : model.condition.since,
      deadline: told.deadline,
      nextStep: told.nextStep,
    },
    waitingSince: told.waitingSince,
    readyReplicas: told.readyReplicas,
    progress: told.progress,
    updatedAt: renewed ? now : model.updatedAt,
  };
}

function sameState(a: Model, b: Model): boolean {
  return (
    a.status === b.status &&
    a.condition.reason === b.condition.reason &&
    a.condition.message === b.condition.message &&
    a.condition.nextStep === b.condition.nextStep &&
    a.condition.deadline?.getTime() === b.condition.deadline?.getTime() &&
    a.waitingSince?.getTime() === b.waitingSince?.getTime() &&
    a.readyReplicas === b.readyReplicas &&
    a.progress?.done === b.progress?.done &&
    a.progress?.step === b.progress?.step &&
    a.progress?.total === b.progress?.total &&
    a.desired === b.desired &&
    a.gaveUp === b.gaveUp
  );
}

async function write(tx: TxCtx, work: Work, next: Concluded, change: Change): Promise<void> {
  const { saved } = work;
  const now = tx.clock.now();
  for (const attempt of next.attempts.values()) {
    const before = saved.attempts.get(attempt.name);
    if (before === attempt) continue;
    if (!before && change.origin) await insertAttempt(tx, attempt, change.origin);
    else await updateAttempt(tx, attempt, isLatest(attempt, next.attempts));
  }
  if (!sameState(saved.model, next.model)) await updateState(tx, next.model);
  await insertEvents(tx, next.model, next.events, now);
  if (next.events.length > 0) await notify(tx, MODELS_CHANNEL, next.model.id);
  if (routesDiffer(saved, next)) await notify(tx, ROUTES_CHANNEL, `model:${next.model.id}`);
  if (closes(saved, next)) await pruneEvents(tx, next.model.id);
}

function isLatest(attempt: Attempt, attempts: ReadonlyMap<string, Attempt>): boolean {
  return [...attempts.values()].every(
    (other) => other.slot !== attempt.slot || other.number <= attempt.number,
  );
}

type Saved = Work["saved"];

function routesDiffer(before: Saved, after: Saved): boolean {
  return (
    before.model.status !== after.model.status ||
    before.model.condition.reason !== after.model.condition.reason ||
    routeKey(before) !== routeKey(after)
  );
}

function routeKey({ attempts }: Saved): string {
  return [...attempts.values()]
    .filter((attempt) => stageOf(attempt) === "routed")
    .map(({ name, address }) => `${name}@${address?.host}:${address?.port}#${address?.certificateSha256}`)
    .sort()
    .join();
}

function closes(before: Saved, after: Saved): boolean {
  return [...after.attempts.values()].some(
    (attempt) => attempt.closedAt !== null && before.attempts.get(attempt.name)?.closedAt === null,
  );
}
