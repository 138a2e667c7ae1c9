/** The worker's loop around passes. */
import type { DbCtx } from "../../db/db.ts";
import { createModelChanges, untilChanged } from "../changes.ts";
import type { ModelsDeps } from "../ports.ts";
import { earliestCheckAfter } from "../store/queue.ts";
import { reconcileDue } from "./reconcile-due.ts";

/** Longest sleep: what a lost notification would have told is found this late. */
const TICK_MS = 5_000;
/** Shortest sleep, so that a model that is always due can't spin. */
const SLEEP_MIN_MS = 20;
/** Passes of one worker at the same time: a slow provider in one must not hold up the models of the next. */
const PASSES_MAX = 3;
const ERROR_PAUSE_MS = 1_000;

/** Runs passes until the signal aborts, and ends when the running ones have. */
export async function runReconciler(ctx: DbCtx, deps: ModelsDeps, signal: AbortSignal): Promise<void> {
  const poke = createModelChanges();
  const forward = deps.changes.subscribe((modelId) => poke.tell(modelId));
  const running = new Set<Promise<void>>();
  let nextAt: number | undefined;
  while (!signal.aborted) {
    nextAt = undefined;
    const pass = onePass(ctx, deps, signal).then((due) => {
      running.delete(pass);
      nextAt = due;
      poke.tell("");
    });
    running.add(pass);
    // The pass itself says when to look again; until it does, only a change or the tick starts another beside it.
    await untilChanged(poke, { modelId: undefined, waitMs: TICK_MS, signal });
    while (!signal.aborted && running.size >= PASSES_MAX) await Promise.race(running);
    const waitMs = nextAt === undefined ? 0 : Math.min(nextAt - ctx.clock.now().getTime(), TICK_MS);
    if (waitMs > SLEEP_MIN_MS) await untilChanged(poke, { modelId: undefined, waitMs, signal });
    else await ctx.clock.sleep(SLEEP_MIN_MS, signal).catch(() => {});
  }
  forward();
  await Promise.all(running);
}

/** One pass; returns when to look again at the latest, in ms since the epoch. The table says it: a pass may have found nothing due. */
async function onePass(ctx: DbCtx, deps: ModelsDeps, signal: AbortSignal): Promise<number> {
  const limit = deps.limits.claimMax;
  const now = ctx.clock.now();
  try {
    if ((await reconcileDue(ctx, deps, { now, limit })) === limit) return now.getTime();
    const next = await earliestCheckAfter(ctx, now);
    return next?.getTime() ?? now.getTime() + TICK_MS;
  } catch (error) {
    ctx.log.error({ err: error }, "a pass over the models failed");
    await ctx.clock.sleep(ERROR_PAUSE_MS, signal).catch(() => {});
    return now.getTime();
  }
}
