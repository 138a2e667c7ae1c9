/** One pass over the queue: claim what is due, look, act, save. Any number of workers may run passes at the same time. */
import type { DbCtx } from "../../db/db.ts";
import type { Attempt, Model } from "../model.ts";
import type { ModelsDeps } from "../ports.ts";
import { claimDue, selectLiveAttempts } from "../store/queue.ts";
import { observeAll } from "./calls.ts";
import { drive, takeIn } from "./drive.ts";
import { eachLimited } from "./each-limited.ts";
import { driveSteady, isSteady } from "./steady.ts";
import { type Work, workOf } from "./work.ts";

/** One pass; returns how many models it claimed. Throws only for faults of ours or of the database; what was claimed then lapses with its lease. */
export async function reconcileDue(
  ctx: DbCtx,
  deps: ModelsDeps,
  input: { readonly now: Date; readonly limit: number },
): Promise<number> {
  const until = new Date(input.now.getTime() + deps.limits.leaseMs);
  const models = await claimDue(ctx, { now: input.now, until, limit: input.limit });
  if (models.length === 0) return 0;
  deps.steps.reach("reconcile.claimed");
  const works = await load(ctx, models, until);
  await look(ctx, deps, works);
  deps.steps.reach("reconcile.observed");
  const steady = works.filter((work) => isSteady(ctx, deps, work));
  const others = works.filter((work) => !steady.includes(work));
  await Promise.all([
    driveSteady(ctx, deps, steady),
    eachLimited(others, deps.limits.concurrencyMax, (work) => drive(ctx, deps, work)),
  ]);
  return models.length;
}

async function load(ctx: DbCtx, models: readonly Model[], until: Date): Promise<readonly Work[]> {
  const attempts = await selectLiveAttempts(
    ctx,
    models.map((model) => model.id),
  );
  const byModel = Map.groupBy(attempts, (attempt) => attempt.modelId);
  return models.map((model) => workOf(model, byModel.get(model.id) ?? [], until));
}

async function look(ctx: DbCtx, deps: ModelsDeps, works: readonly Work[]): Promise<void> {
  const looked = works.map((work) => ({ work, attempts: toLookAt(deps, work) }));
  const seen = await observeAll(
    ctx,
    deps,
    looked.flatMap(({ attempts }) => attempts),
  );
  for (const { work, attempts } of looked) takeIn(ctx, deps, work, attempts, seen);
}

/** A ready replica is looked at each few passes only: between, its completions say more than its driver could. */
function toLookAt({ limits }: ModelsDeps, work: Work): readonly Attempt[] {
  const every = BigInt(Math.max(1, Math.floor(limits.observeIntervalMs / limits.probeIntervalMs)));
  const all = work.model.claimEpoch % every === 0n;
  return [...work.attempts.values()].filter(
    (attempt) => attempt.closedAt === null && (all || !attempt.routed || attempt.probeFailures > 0),
  );
}
