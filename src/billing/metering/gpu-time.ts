/** GPU time of replica slots: what models calls. Every function runs in the caller's transaction, under the slot's lock. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { lockHolds } from "../ledger/index.ts";
import { type GpuPrice, gpuPrice, replicaNanosPerHour, selectGpuPricePlace } from "../pricing/index.ts";
import {
  emptySlotTime,
  planEnd,
  planProbe,
  type Slot,
  type SlotPlace,
  type SlotTime,
  slotTimeOf,
} from "./slot.ts";
import {
  advanceOpenSlots,
  type GpuWindow,
  insertSlot,
  lockSlots,
  type ProbeRow,
  type SlotKey,
  selectSlots,
  selectWindows,
  updateSlot,
} from "./slot-store.ts";
import { applySteps, captureOpen, holdWindow, releaseHeld } from "./windows.ts";

export interface WindowInput extends SlotKey {
  readonly modelId: string;
  /** Who pays. */
  readonly userId: string;
  readonly price: GpuPrice;
  /** 0 = a replica on CPUs, priced as one. */
  readonly gpuCount: number;
  /** Where it runs: the price of the next window and the operator's cost are looked up by it. */
  readonly place?: SlotPlace;
  readonly windowMs: number;
  readonly now: Date;
}

/**
 * A held or open window exists afterwards. One that is open and lasts stays; one that ended is captured. One that is held at
 * another price is held anew: the price is the one at its start. Throws BALANCE_TOO_LOW, BUDGET_EXCEEDED.
 */
export async function ensureWindowHeld(tx: TxCtx, input: WindowInput): Promise<SlotTime> {
  const slot = await slotFor(tx, input);
  // One that ended with the next one held is left to the next probe, which knows how its time splits over the two.
  const lasts = slot.windowEndsAt !== null && slot.windowEndsAt > input.now;
  if (slot.state === "open" && (lasts || slot.nextWindowId !== null)) return slotTimeOf(slot);
  const windows = await selectWindows(tx, [slot]);
  const ended = await closeEnded(tx, slot, windows);
  const kept = ended.windowId !== null && fits(ended, windows.get(ended.windowId), input);
  const held = kept ? ended : await holdAnew(tx, await releaseHeld(tx, ended, windows, input.now), input);
  if (held !== slot) await updateSlot(tx, held);
  return slotTimeOf(held);
}

/** Captures the window that is over and that none follows. */
async function closeEnded(tx: TxCtx, slot: Slot, windows: ReadonlyMap<string, GpuWindow>): Promise<Slot> {
  if (slot.state !== "open" || slot.windowEndsAt === null) return slot;
  return captureOpen(tx, slot, windows, slot.windowEndsAt);
}

function fits(slot: Slot, window: GpuWindow | undefined, input: WindowInput): boolean {
  return (
    window?.priceVersionId === input.price.versionId &&
    window.gpuCount === input.gpuCount &&
    slot.windowMs === input.windowMs &&
    slot.userId === input.userId
  );
}

function holdAnew(tx: TxCtx, slot: Slot, input: WindowInput): Promise<Slot> {
  const { modelId, userId, gpuCount, windowMs, price, now, place = null } = input;
  return holdWindow(
    tx,
    { ...slot, modelId, userId, gpuCount, windowMs, currency: price.currency, place },
    price,
    now,
  );
}

async function slotFor(tx: TxCtx, input: WindowInput): Promise<Slot> {
  const [known] = await lockSlots(tx, [input]);
  if (known) return known;
  await insertSlot(tx, newSlot(input));
  const [made] = await lockSlots(tx, [input]);
  return made ?? newSlot(input);
}

function newSlot(input: WindowInput): Slot {
  const { deploymentId, slot, modelId, userId, gpuCount, windowMs, price, place = null } = input;
  return {
    ...{ deploymentId, slot, modelId, userId, gpuCount, windowMs, currency: price.currency, place },
    state: "none",
    nanosPerHour: replicaNanosPerHour(price, gpuCount),
    ...{ windowNo: 0, windowId: null, windowEndsAt: null, nextWindowId: null, lastOkAt: null },
    ...{ openMs: 0n, closedMs: 0n, priceVersionId: null, priceMs: 0n, unfundedMs: 0n },
  };
}

/**
 * The window after the open one is held afterwards, at the price that will be in force when it starts. When nothing is held
 * though the slot serves, a window is held that begins at the next probe. Throws BALANCE_TOO_LOW, BUDGET_EXCEEDED, PRICE_MISSING
 * (its price ends before the window would begin).
 */
export async function holdNextWindow(
  tx: TxCtx,
  input: SlotKey & { price: GpuPrice; now: Date },
): Promise<SlotTime> {
  const [slot] = await lockSlots(tx, [input]);
  if (!slot) return emptySlotTime(input.deploymentId, input.slot);
  const serves = slot.state === "open" || (slot.state === "none" && slot.lastOkAt !== null);
  if (!serves || slot.nextWindowId !== null) return slotTimeOf(slot);
  const startsAt = slot.windowEndsAt ?? input.now;
  const price = await priceAt(tx, slot, input.price, startsAt);
  const held = await holdWindow(tx, slot, price, input.now);
  await updateSlot(tx, held);
  return slotTimeOf(held);
}

/** Of the slot's own place, or of the place that the price of now was set for. */
async function priceAt(tx: TxCtx, slot: Slot, now: GpuPrice, at: Date): Promise<GpuPrice> {
  const place = slot.place ?? (await selectGpuPricePlace(tx, now.versionId));
  const price = place && (await gpuPrice(tx, { ...place, at }));
  if (price) return price;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "PRICE_MISSING",
    message: "The price of this place ends before the next window begins. Ask an administrator to set one.",
  });
}

/** One successful completion probe; see meterProbes. */
export async function meterProbe(tx: TxCtx, probe: ProbeRow): Promise<SlotTime> {
  const [time] = await meterProbes(tx, [probe]);
  return time ?? emptySlotTime(probe.deploymentId, probe.slot);
}

/**
 * Successful completion probes, each of a slot's charged replica; answers in the same order. The first opens the held window;
 * a later one adds the time since the one before, if that is at most 30 s; at a window's end the time is split, the window is
 * captured and the next held one opened; what no hold covers is written off. One that is not newer changes nothing.
 */
export async function meterProbes(tx: TxCtx, probes: readonly ProbeRow[]): Promise<readonly SlotTime[]> {
  if (probes.length === 0) return [];
  const keys = new Set(probes.map(keyOf));
  if (keys.size < probes.length) return oneByOne(tx, probes);
  const advanced = new Map((await advanceOpenSlots(tx, probes)).map((slot) => [keyOf(slot), slot]));
  const rest = probes.filter((probe) => !advanced.has(keyOf(probe)));
  for (const slot of await meterEnds(tx, rest)) advanced.set(keyOf(slot), slot);
  return probes.map((probe) => {
    const slot = advanced.get(keyOf(probe));
    return slot ? slotTimeOf(slot) : emptySlotTime(probe.deploymentId, probe.slot);
  });
}

async function oneByOne(tx: TxCtx, probes: readonly ProbeRow[]): Promise<readonly SlotTime[]> {
  const times: SlotTime[] = [];
  for (const probe of probes) times.push(await meterProbe(tx, probe));
  return times;
}

/** The few probes of a batch that open or end a window: slot by slot, with all their accounts locked first, in one order. */
async function meterEnds(tx: TxCtx, probes: readonly ProbeRow[]): Promise<readonly Slot[]> {
  const at = new Map(probes.map((probe) => [keyOf(probe), probe.at]));
  const slots = await lockSlots(tx, probes);
  const windows = await selectWindows(tx, slots);
  if (slots.length > 1) {
    await lockHolds(
      tx,
      [...windows.values()].map((window) => window.holdId),
    );
  }
  const metered: Slot[] = [];
  for (const slot of slots) {
    const probedAt = at.get(keyOf(slot));
    metered.push(probedAt ? await meterOne(tx, slot, windows, probedAt) : slot);
  }
  return metered;
}

async function meterOne(
  tx: TxCtx,
  slot: Slot,
  windows: ReadonlyMap<string, GpuWindow>,
  at: Date,
): Promise<Slot> {
  const plan = planProbe(slot, at);
  if (plan.lastOkAt === null) return slot;
  const metered = { ...(await applySteps(tx, slot, windows, plan.steps)), lastOkAt: plan.lastOkAt };
  await updateSlot(tx, metered);
  return metered;
}

/**
 * The slot stops being charged at `at`: the time since the last probe counts if that is at most 30 s; the open window is
 * captured, what is only held is released. Repeated: changes nothing. A later ensureWindowHeld starts afresh.
 */
export async function endSlot(tx: TxCtx, input: SlotKey & { at: Date }): Promise<void> {
  const [slot] = await lockSlots(tx, [input]);
  if (!slot || (slot.state === "none" && slot.lastOkAt === null)) return;
  const windows = await selectWindows(tx, [slot]);
  const counted = await applySteps(tx, slot, windows, planEnd(slot, input.at).steps);
  const released = await releaseHeld(tx, counted, windows, input.at);
  const captured = await captureOpen(tx, released, windows, input.at);
  await updateSlot(tx, { ...captured, lastOkAt: null });
}

/** The clocks of a deployment's slots. */
export async function slotTime(ctx: DbCtx, input: { deploymentId: string }): Promise<readonly SlotTime[]> {
  return (await selectSlots(ctx, input.deploymentId)).map(slotTimeOf);
}

function keyOf(key: SlotKey): string {
  return `${key.deploymentId}/${key.slot}`;
}
