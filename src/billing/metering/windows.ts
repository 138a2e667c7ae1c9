/** Holding, opening and closing windows of GPU time: where the clock's rules meet the ledger. */
import { estimatePpm, mostWithShare, sharedSavings } from "../../base/gpu-savings.ts";
import { nanosForDuration } from "../../base/money.ts";
import type { TxCtx } from "../../db/db.ts";
import { holdUnderBudgets } from "../budgets/index.ts";
import { captureHolds, endHold, lockHolds, placeHold, postTransfer } from "../ledger/index.ts";
import { type GpuPrice, replicaNanosPerHour } from "../pricing/index.ts";
import { addCharges } from "../spending/index.ts";
import { creditCached, skipCached } from "./cached-store.ts";
import type { ClockStep, Slot } from "./slot.ts";
import { closeWindow, type GpuWindow, insertWindow, openWindow, type Saved } from "./slot-store.ts";

type Windows = ReadonlyMap<string, GpuWindow>;

/**
 * Reserves a whole window at `price`, after the open one or as the first; it counts in the budgets' periods in which it begins.
 * Throws BALANCE_TOO_LOW, BUDGET_EXCEEDED.
 */
export async function holdWindow(tx: TxCtx, slot: Slot, price: GpuPrice, now: Date): Promise<Slot> {
  const window: GpuWindow = {
    windowId: tx.random.uuid(),
    holdId: tx.random.uuid(),
    priceVersionId: price.versionId,
    nanosPerHour: replicaNanosPerHour(price, slot.gpuCount),
    gpuCount: slot.gpuCount,
    sharePpm: price.sharePpm,
    prefillTokensPerSecond: price.prefillTokensPerSecond,
  };
  const { userId, modelId, currency } = slot;
  const nanos = wholeWindow(window, slot.windowMs);
  await placeHold(tx, {
    holdId: window.holdId,
    key: `gpu:${window.windowId}`,
    purpose: "gpu.window",
    ownerId: userId,
    money: { currency, nanos },
    at: now,
    expiresAt: null,
  });
  const at = slot.windowEndsAt ?? now;
  await holdUnderBudgets(tx, { userId, currency, modelId, at }, { holdId: window.holdId, nanos });
  const numbered = { ...slot, windowNo: slot.windowNo + 1 };
  await insertWindow(tx, numbered, window, now);
  if (slot.state === "open") return { ...numbered, nextWindowId: window.windowId };
  return {
    ...numbered,
    state: "held",
    windowId: window.windowId,
    windowEndsAt: null,
    nanosPerHour: window.nanosPerHour,
  };
}

/** Rounded up: windows are charged by differences of a floored sum, which may come to one nano more than a single floor. With the most that the plan may share. */
function wholeWindow(window: GpuWindow, windowMs: number): bigint {
  const exact = window.nanosPerHour * BigInt(windowMs);
  const floor = nanosForDuration(window.nanosPerHour, BigInt(windowMs));
  return mostWithShare(window, exact % 3_600_000n === 0n ? floor : floor + 1n);
}

/** Gives back what is held and was not opened: the held window, or the one after the open one. */
export async function releaseHeld(tx: TxCtx, slot: Slot, windows: Windows, at: Date): Promise<Slot> {
  const windowId = slot.state === "held" ? slot.windowId : slot.nextWindowId;
  const window = windowId === null ? undefined : windows.get(windowId);
  if (!window) return slot;
  await endHold(tx, { holdId: window.holdId, state: "released", at });
  await closeWindow(tx, window.windowId, {
    state: "released",
    at,
    chargedMs: 0n,
    pricedMsBefore: 0n,
    nanos: 0n,
    saved: NOTHING,
    transferId: null,
  });
  return slot.state === "held" ? { ...slot, state: "none", windowId: null } : { ...slot, nextWindowId: null };
}

/** Does what a probe or an end concluded, in order. */
export async function applySteps(
  tx: TxCtx,
  slot: Slot,
  windows: Windows,
  steps: readonly ClockStep[],
): Promise<Slot> {
  let now = slot;
  for (const step of steps) now = await applyStep(tx, now, windows, step);
  return now;
}

async function applyStep(tx: TxCtx, slot: Slot, windows: Windows, step: ClockStep): Promise<Slot> {
  switch (step.kind) {
    case "add":
      return { ...slot, openMs: slot.openMs + BigInt(step.ms) };
    case "open":
      return open(tx, slot, windows, step.startsAt);
    case "close":
      return captureOpen(tx, slot, windows, step.at);
    case "unfunded":
      return writeOff(tx, slot, step);
  }
}

async function open(tx: TxCtx, slot: Slot, windows: Windows, startsAt: Date): Promise<Slot> {
  const windowId = slot.windowId ?? slot.nextWindowId;
  const window = windowId === null ? undefined : windows.get(windowId);
  if (!window) return slot;
  const endsAt = new Date(startsAt.getTime() + slot.windowMs);
  await openWindow(tx, window.windowId, { startsAt, endsAt });
  if (estimates(window)) await skipCached(tx, slot);
  return {
    ...slot,
    state: "open",
    windowId: window.windowId,
    windowEndsAt: endsAt,
    nextWindowId: null,
    nanosPerHour: window.nanosPerHour,
    priceVersionId: window.priceVersionId,
    priceMs: window.priceVersionId === slot.priceVersionId ? slot.priceMs : 0n,
  };
}

/** Captures the open window by the millisecond and gives back the rest. The window after it stays held. */
export async function captureOpen(tx: TxCtx, slot: Slot, windows: Windows, at: Date): Promise<Slot> {
  const window = slot.windowId === null ? undefined : windows.get(slot.windowId);
  if (slot.state !== "open" || !window) return slot;
  const priceMs = slot.priceMs + slot.openMs;
  const timeNanos =
    nanosForDuration(window.nanosPerHour, priceMs) - nanosForDuration(window.nanosPerHour, slot.priceMs);
  const saved = await savedIn(tx, slot, window, timeNanos);
  const nanos = timeNanos + saved.shareNanos;
  const [transferId = null] = await captureHolds(tx, [
    { holdId: window.holdId, key: `gpu:${window.windowId}`, code: "charge.gpu", nanos, ends: true, at },
  ]);
  await closeWindow(tx, window.windowId, {
    state: slot.openMs > 0n ? "captured" : "released",
    at,
    chargedMs: slot.openMs,
    pricedMsBefore: slot.priceMs,
    nanos,
    saved,
    transferId,
  });
  if (slot.openMs > 0n) await addToSums(tx, slot, at, { nanos, savingNanos: saved.savingNanos });
  return {
    ...slot,
    state: "none",
    windowId: null,
    windowEndsAt: null,
    openMs: 0n,
    closedMs: slot.closedMs + slot.openMs,
    priceMs,
  };
}

const NOTHING: Saved = { cachedTokens: 0n, estimatePpm: 0n, shareNanos: 0n, savingNanos: 0n };

function estimates(window: GpuWindow): boolean {
  return window.prefillTokensPerSecond > 0n;
}

/** The cache's part of a window that ends. The money is locked first, as everything that counts tokens does it. */
async function savedIn(tx: TxCtx, slot: Slot, window: GpuWindow, timeNanos: bigint): Promise<Saved> {
  if (!estimates(window) || slot.openMs === 0n) return NOTHING;
  await lockHolds(tx, [window.holdId]);
  const cachedTokens = await creditCached(tx, slot);
  const estimate = estimatePpm(window, { cachedTokens, gpuCount: slot.gpuCount, chargedMs: slot.openMs });
  return { cachedTokens, estimatePpm: estimate, ...sharedSavings(window, timeNanos, estimate) };
}

function addToSums(
  tx: TxCtx,
  slot: Slot,
  at: Date,
  { nanos: chargeNanos, savingNanos }: { readonly nanos: bigint; readonly savingNanos: bigint },
): Promise<void> {
  const { userId, modelId, currency, openMs: gpuMs } = slot;
  return addCharges(tx, [
    {
      ...{ userId, modelId, servedName: "", kind: "gpu", currency, at, gpuMs, chargeNanos, savingNanos },
      ...{ requests: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
    },
  ]);
}

/** Served, and covered by no hold: the operator's loss, never the user's. */
async function writeOff(tx: TxCtx, slot: Slot, step: { ms: number; at: Date }): Promise<Slot> {
  const unfundedMs = slot.unfundedMs + BigInt(step.ms);
  const nanos =
    nanosForDuration(slot.nanosPerHour, unfundedMs) - nanosForDuration(slot.nanosPerHour, slot.unfundedMs);
  if (nanos > 0n) {
    await postTransfer(tx, {
      key: `unfunded:${slot.deploymentId}:${slot.slot}:${step.at.getTime()}`,
      code: "writeoff.unfunded",
      ownerId: slot.userId,
      money: { currency: slot.currency, nanos },
      at: step.at,
    });
  }
  return { ...slot, unfundedMs };
}
