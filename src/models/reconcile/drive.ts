/** One claimed model, from what was seen to what is saved. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import type { ReplicaObservation } from "../../providers/driver.ts";
import { absorb, expire, strand } from "../attempt.ts";
import type { Attempt } from "../model.ts";
import { nextActions } from "../next-action.ts";
import type { ModelsDeps } from "../ports.ts";
import { claimOf, release } from "../store/queue.ts";
import { observeAll } from "./calls.ts";
import { perform } from "./perform.ts";
import { finish, isIdempotent, put, type Work, worldOf } from "./work.ts";

/** Takes what was seen into the working copy. */
export function takeIn(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  looked: readonly Attempt[],
  seen: ReadonlyMap<string, ReplicaObservation>,
): void {
  const now = ctx.clock.now();
  for (const attempt of work.attempts.values()) {
    const look = { now, limits: deps.limits, idempotent: isIdempotent(deps, attempt) };
    const measured = seen.get(attempt.name)?.measured;
    if (measured) work.measured.set(attempt.name, measured);
    put(work, expire(absorb(strand(attempt, look), seen.get(attempt.name), look), look));
  }
  const silent = looked.some((attempt) => (seen.get(attempt.name)?.phase ?? "unknown") === "unknown");
  if (silent) work.notes = { ...work.notes, providerSilent: true };
}

/** Performs what the model needs now and gives it back. */
export async function drive(ctx: DbCtx, deps: ModelsDeps, work: Work): Promise<void> {
  try {
    await lookAtSilent(ctx, deps, work);
    for (const action of nextActions(worldOf(deps, work, ctx.clock.now()))) {
      await perform(ctx, deps, work, action);
    }
    await finish(ctx, deps, work);
  } catch (error) {
    // Anything but a StatusError is a fault of ours or of the database: the claim lapses by itself and the model is taken anew.
    if (!(error instanceof StatusError)) throw error;
    ctx.log.error({ err: error, modelId: work.model.id }, "a model could not be worked on");
    const again = new Date(ctx.clock.now().getTime() + deps.limits.errorRetryMs);
    await release(ctx, claimOf(work.model), again);
  }
}

/** A replica that did not answer was perhaps not looked at: whether it is gone decides what comes next. */
async function lookAtSilent(ctx: DbCtx, deps: ModelsDeps, work: Work): Promise<void> {
  const silent = [...work.outcomes]
    .filter(([, { outcome }]) => !outcome.ok)
    .map(([name]) => work.attempts.get(name))
    .filter((attempt) => attempt !== undefined);
  if (silent.length === 0) return;
  takeIn(ctx, deps, work, silent, await observeAll(ctx, deps, silent));
}
