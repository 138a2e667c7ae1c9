/** A replica that is up: asked for completions, of which the first makes it ready and each later one is charged time. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { absorbProbe, type Look, type ProbeOutcome, stop } from "../attempt.ts";
import type { Attempt, Model } from "../model.ts";
import { latestHold } from "../next-action.ts";
import type { GpuPrice, ModelsDeps, SlotTime } from "../ports.ts";
import { openEngineKey } from "../secrets.ts";
import { rememberMeasured } from "../store/measured.ts";
import { priceOf, windowOf } from "../windows.ts";
import { missPrice, orMoneyShort, windowFields } from "./pay.ts";
import { commit, isIdempotent, placeOf, put, type Work } from "./work.ts";

export async function probe(ctx: DbCtx, deps: ModelsDeps, work: Work, attempt: Attempt): Promise<void> {
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
  const place = placeOf(work.model, attempt);
  const price = await priceOf(ctx, deps, { place });
  if (!price) return missPrice(ctx, deps, work);
  const former = [...work.attempts.values()].filter(
    (other) => other.slot === attempt.slot && other.name !== attempt.name && other.routed,
  );
  await orMoneyShort(ctx, deps, work, () =>
    commit(ctx, deps, work, async (tx) => {
      await deps.billing.ensureWindowHeld(tx, windowOf(deps, work.model, attempt.slot, price, at, place));
      const opened = await meterOne(tx, deps, work.model, attempt.slot, at);
      deps.steps.reach("reconcile.window-opened");
      const time = await coverDrain(tx, deps, work.model, { opened, slot: attempt.slot, price, at });
      const measured = work.measured.get(attempt.name);
      if (measured) await rememberMeasured(tx, { modelId: work.model.id, measured, at });
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
