/** Money of a running deployment: the next window, and what happens where it can't be had. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { stop } from "../attempt.ts";
import type { Attempt, Model } from "../model.ts";
import type { ModelsDeps, SlotTime } from "../ports.ts";
import { priceOf } from "../windows.ts";
import { commit, placeOf, type Work } from "./work.ts";

export function windowFields(time: SlotTime | undefined): Pick<Attempt, "windowEndsAt" | "nextHeld"> {
  return { windowEndsAt: time?.windowEndsAt ?? null, nextHeld: time?.nextHeld ?? false };
}

/** Holds the window after the open one. Without money: a warning first, and draining begins while time is still paid for. */
export async function holdNext(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  attempt: Attempt,
  latest: Date,
): Promise<void> {
  const price = await priceOf(ctx, deps, { place: placeOf(work.model, attempt) });
  if (!price) return ctx.clock.now() < latest ? undefined : pauseFor(ctx, deps, work, "PRICE_MISSING");
  const { deploymentId } = work.model;
  try {
    const held = await commit(ctx, deps, work, async (tx) => {
      const input = { deploymentId, slot: attempt.slot, price, now: ctx.clock.now() };
      const time = await deps.billing.holdNextWindow(tx, input);
      return { attempts: [{ ...attempt, ...windowFields(time) }] };
    });
    if (held) deps.steps.reach("reconcile.window-held");
  } catch (error) {
    if (isPriceGone(error)) {
      return ctx.clock.now() < latest ? undefined : pauseFor(ctx, deps, work, "PRICE_MISSING");
    }
    if (!isMoneyShort(error)) throw error;
    if (ctx.clock.now() >= latest) return pauseFor(ctx, deps, work, error.reason);
    work.notes = { ...work.notes, moneyEndsAt: latest, budgetEnds: error.reason === "BUDGET_EXCEEDED" };
  }
}

/** Stops all replicas now, inside paid time; what they have served until now is charged, the rest of the holds is released. */
async function pauseFor(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  desiredReason: ShortReason | "PRICE_MISSING",
): Promise<void> {
  const now = ctx.clock.now();
  const paused = await commit(ctx, deps, work, async (tx) => {
    await endSlots(tx, deps, work, now);
    const model = { desired: "PAUSED", desiredReason, desiredAt: now } as const;
    return { model, attempts: stopped(work, now, deps.limits.drainMaxMs) };
  });
  if (paused) deps.steps.reach("reconcile.unrouted");
}

export async function giveUp(
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

/** A place that has lost its price: what answers nowhere is given up; what runs is seen to when its next window is due. */
export async function missPrice(ctx: DbCtx, deps: ModelsDeps, work: Work): Promise<undefined> {
  if ([...work.attempts.values()].some((attempt) => attempt.routed)) return;
  const message = "The place has no price, so nothing can be run there.";
  await giveUp(ctx, deps, work, { reason: "PRICE_MISSING", message });
}

type ShortReason = "BALANCE_TOO_LOW" | "BUDGET_EXCEEDED";

/** The balance has too little for a window, or the model's budget has. */
function isMoneyShort(error: unknown): error is StatusError & { readonly reason: ShortReason } {
  return (
    error instanceof StatusError && (error.reason === "BALANCE_TOO_LOW" || error.reason === "BUDGET_EXCEEDED")
  );
}

/** It has a price now, and none when the next window would begin. */
function isPriceGone(error: unknown): boolean {
  return error instanceof StatusError && error.reason === "PRICE_MISSING";
}

/** Runs a commit that needs money. Without it a model that answers nowhere is given up before any machine is asked for. */
export async function orMoneyShort<T>(
  ctx: DbCtx,
  deps: ModelsDeps,
  work: Work,
  act: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (!isMoneyShort(error)) throw error;
    const answers = [...work.attempts.values()].some((attempt) => attempt.routed);
    if (!answers) await giveUp(ctx, deps, work, { reason: error.reason, message: error.message });
    return undefined;
  }
}
