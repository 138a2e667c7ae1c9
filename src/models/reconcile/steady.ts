/**
 * Running models with nothing to do but their next completion: probed side by side, then charged and given back in one
 * transaction for all. This is what makes a thousand idle models cheap.
 */
import { StatusError } from "../../base/status.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import type { Attempt } from "../model.ts";
import { type Action, nextActions, nextCheckAt } from "../next-action.ts";
import type { ModelsDeps } from "../ports.ts";
import { updateAttempt } from "../store/attempts.ts";
import { claimOf, release, releaseBatch } from "../store/queue.ts";
import { drive } from "./drive.ts";
import { eachLimited } from "./each-limited.ts";
import { windowFields } from "./pay.ts";
import { ask } from "./serve-attempt.ts";
import { isChanged, mayAct, type Work, worldOf } from "./work.ts";

/** True when the model runs, nothing about it changed, and all it needs is completions. */
export function isSteady(ctx: DbCtx, deps: ModelsDeps, work: Work): boolean {
  const now = ctx.clock.now();
  const actions = nextActions(worldOf(deps, work, now));
  return (
    actions.length > 0 && actions.every((action) => isMeterOnly(action, work)) && !isChanged(ctx, deps, work)
  );
}

function isMeterOnly(action: Action, work: Work): boolean {
  if (action.kind !== "probe") return false;
  const attempt = work.attempts.get(action.name);
  return attempt?.routed === true && attempt.probeFailures === 0;
}

export async function driveSteady(ctx: DbCtx, deps: ModelsDeps, works: readonly Work[]): Promise<void> {
  const asked = works.flatMap((work) => routedOf(work).map((attempt) => ({ work, attempt })));
  await eachLimited(asked, deps.limits.concurrencyMax, async ({ work, attempt }) => {
    work.outcomes.set(attempt.name, await ask(ctx, deps, work, attempt));
  });
  deps.steps.reach("reconcile.probed");
  const answered = works.filter((work) => allAnswered(work) && mayAct(ctx, deps, work));
  const others = works.filter((work) => !answered.includes(work));
  const rest = (await saveAll(ctx, deps, answered)) ? others : works;
  await eachLimited(rest, deps.limits.concurrencyMax, (work) => drive(ctx, deps, work));
}

function routedOf(work: Work): readonly Attempt[] {
  return [...work.attempts.values()].filter((attempt) => attempt.routed);
}

function allAnswered(work: Work): boolean {
  return [...work.outcomes.values()].every(({ outcome }) => outcome.ok);
}

/** False when it could not be done for all together; then each is driven by itself, and the one at fault is found. */
async function saveAll(ctx: DbCtx, deps: ModelsDeps, works: readonly Work[]): Promise<boolean> {
  if (works.length === 0) return true;
  const now = ctx.clock.now();
  const back = works.map((work) => ({
    ...claimOf(work.model),
    nextCheckAt: nextCheckAt(worldOf(deps, work, now)),
  }));
  let kept: ReadonlySet<string> = new Set();
  let captured = false;
  try {
    await withTransaction(ctx, async (tx) => {
      kept = await releaseBatch(tx, back);
      const probes = works
        .filter((work) => kept.has(work.model.id))
        .flatMap((work) => routedOf(work).map((attempt) => probeOf(work, attempt)));
      if (probes.length === 0) return;
      const times = await deps.billing.meterProbes(tx, probes);
      for (const [at, time] of times.entries()) {
        const attempt = probes[at]?.attempt;
        if (attempt && !sameWindow(attempt, windowFields(time))) {
          await updateAttempt(tx, { ...attempt, ...windowFields(time) }, true);
          captured ||= attempt.windowEndsAt?.getTime() !== time.windowEndsAt?.getTime();
        }
      }
    });
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    ctx.log.warn({ err: error }, "a batch of running models could not be charged together");
    return false;
  }
  deps.steps.reach("reconcile.metered");
  if (captured) deps.steps.reach("reconcile.window-captured");
  // One that got a newer wish meanwhile stays due as that wish set it; it only has to be let go.
  for (const claim of back) if (!kept.has(claim.modelId)) await release(ctx, claim, now);
  return true;
}

function probeOf(work: Work, attempt: Attempt) {
  const at = work.outcomes.get(attempt.name)?.at ?? new Date(0);
  return { deploymentId: work.model.deploymentId, slot: attempt.slot, at, attempt };
}

function sameWindow(a: Attempt, b: Pick<Attempt, "windowEndsAt" | "nextHeld">): boolean {
  return a.windowEndsAt?.getTime() === b.windowEndsAt?.getTime() && a.nextHeld === b.nextHeld;
}
