/** Resumes by itself what was paused because money or a budget ran out, once there is money or room again. */
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { disabledAmong } from "../identity/index.ts";
import type { ModelsDeps } from "./ports.ts";
import { resumeForMoney } from "./restart-model.ts";
import { type PausedForMoney, selectPausedForMoney, updateResumeAfter } from "./store/paused.ts";

/** Models of one statement. */
const PAGE = 200;
/** A budget that was raised by too little, or whose period is too short of money for a window, is not tried at every look. */
const BUDGET_AGAIN_AFTER_MS = 60_000;
/** Pages of one pass: bounds it at ten thousand models that stand still; the next pass begins with the oldest again. */
const PAGES_MAX = 50;
/** What fails for another reason than money (no room at its place, a weights file that is gone) asks providers each time. */
const AGAIN_AFTER_MS = 5 * 60_000;

/**
 * One pass, longest paused first. A model is tried only when its owner got money, or its budget was changed or began anew, after
 * the pause: what an ending hold gives back would start it for minutes. Returns how many were resumed.
 */
export async function resumePaid(ctx: DbCtx, deps: ModelsDeps): Promise<number> {
  let after: PausedForMoney | undefined;
  let resumed = 0;
  for (let page = 0; page < PAGES_MAX; page++) {
    const paused = await selectPausedForMoney(ctx, { after, now: ctx.clock.now(), limit: PAGE });
    for (const one of await withMoney(ctx, deps, paused)) if (await tryOne(ctx, deps, one)) resumed += 1;
    after = paused.at(-1);
    if (!after || paused.length < PAGE) break;
  }
  return resumed;
}

async function withMoney(
  ctx: DbCtx,
  deps: ModelsDeps,
  paused: readonly PausedForMoney[],
): Promise<readonly PausedForMoney[]> {
  if (paused.length === 0) return [];
  const asked = paused.map(({ modelId, userId, pausedAt: since }) => ({ modelId, userId, since }));
  const paid = await deps.billing.moneyCameSince(ctx, asked);
  const room = await deps.billing.budgetRoomSince(ctx, asked);
  const rich = paused.filter(({ byBudget }, at) => (byBudget ? room[at] : paid[at]));
  const owners = rich.map(({ userId }) => userId);
  const disabled = await disabledAmong(ctx, owners);
  return rich.filter(({ userId }) => !disabled.has(userId));
}

async function tryOne(ctx: DbCtx, deps: ModelsDeps, { modelId, userId }: PausedForMoney): Promise<boolean> {
  try {
    await resumeForMoney(ctx, deps, { modelId, ownerId: userId });
    return true;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    ctx.log.info({ modelId, reason: error.reason }, "a model that money paused could not be resumed yet");
    // Still too little: the next payment should find it at once.
    if (error.reason === "BALANCE_TOO_LOW") return false;
    const afterMs = error.reason === "BUDGET_EXCEEDED" ? BUDGET_AGAIN_AFTER_MS : AGAIN_AFTER_MS;
    const again = new Date(ctx.clock.now().getTime() + afterMs);
    await updateResumeAfter(ctx, modelId, again);
    return false;
  }
}
