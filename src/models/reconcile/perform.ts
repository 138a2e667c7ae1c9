/** Performs one action of a model: each is one call outside or one transaction, with the row saying so before and after. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { stop } from "../attempt.ts";
import type { Attempt } from "../model.ts";
import type { Action } from "../next-action.ts";
import type { ModelsDeps } from "../ports.ts";
import { driverOf, placeGone, within } from "./calls.ts";
import { giveUp, holdNext } from "./pay.ts";
import { probe } from "./serve-attempt.ts";
import { apply, start } from "./start-attempt.ts";
import { commit, mayAct, put, type Work } from "./work.ts";

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
    : placeGone(attempt.driver);
  deps.steps.reach("reconcile.removed");
  if (!problem || problem.code === "NOT_FOUND") {
    return put(work, { ...attempt, removeAskedAt: ctx.clock.now() });
  }
  ctx.log.warn({ err: problem, replica: attempt.name, modelId: work.model.id }, "remove failed");
  work.notes = { ...work.notes, providerSilent: true };
}
