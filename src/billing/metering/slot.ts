/** The clock of one replica slot: pure rules of what time is charged, to which window, and what nobody pays. */

import type { GpuType } from "../../engines/engine.ts";
import type { Provider } from "../pricing/index.ts";

/** Only probes at most this far apart prove that the replica served between them. */
export const PROBE_GAP_MAX_MS = 30_000;

/** GPU time of one slot, as models sees it. */
export interface SlotTime {
  readonly deploymentId: string;
  readonly slot: number;
  readonly state: "none" | "held" | "open";
  /** Number of the held or open window, from 1; of the last one when there is none. */
  readonly windowNo: number;
  /** Null unless a window is open. */
  readonly windowEndsAt: Date | null;
  /** The window after the open one is held already. */
  readonly nextHeld: boolean;
  /** All charged time so far, the open window's included. */
  readonly chargedMs: bigint;
  /** Last successful probe; null before the first and after the slot has ended. */
  readonly lastOkAt: Date | null;
}

/** Where a replica runs. */
export interface SlotPlace {
  readonly provider: Provider;
  readonly region: string;
  readonly gpuType: GpuType;
}

/** A row of gpu_slot. */
export interface Slot {
  readonly deploymentId: string;
  readonly slot: number;
  readonly modelId: string;
  readonly userId: string;
  readonly state: "none" | "held" | "open";
  readonly gpuCount: number;
  /** Null for what was held before places were kept. */
  readonly place: SlotPlace | null;
  readonly currency: string;
  /** Of the whole replica. */
  readonly nanosPerHour: bigint;
  readonly windowMs: number;
  /** Number of the window that was held last. */
  readonly windowNo: number;
  readonly windowId: string | null;
  readonly windowEndsAt: Date | null;
  readonly nextWindowId: string | null;
  readonly openMs: bigint;
  readonly closedMs: bigint;
  readonly priceVersionId: string | null;
  readonly priceMs: bigint;
  readonly unfundedMs: bigint;
  readonly lastOkAt: Date | null;
}

/** What a probe does to the clock, in order. */
export type ClockStep =
  | { readonly kind: "add"; readonly ms: number }
  | { readonly kind: "close"; readonly at: Date }
  | { readonly kind: "open"; readonly startsAt: Date }
  | { readonly kind: "unfunded"; readonly ms: number; readonly at: Date };

export interface ClockPlan {
  readonly steps: readonly ClockStep[];
  /** Null: the probe says nothing new. */
  readonly lastOkAt: Date | null;
}

type Clock = Pick<Slot, "state" | "lastOkAt" | "windowEndsAt" | "windowMs" | "nextWindowId">;

const NOTHING: ClockPlan = { steps: [], lastOkAt: null };

/** A successful probe at `at`: what time it adds where. */
export function planProbe(slot: Clock, at: Date): ClockPlan {
  const { state, lastOkAt } = slot;
  if (lastOkAt !== null && at <= lastOkAt) return NOTHING;
  if (state === "none" && lastOkAt === null) return NOTHING;
  const since = countedSince(slot, at);
  if (state === "open" && slot.windowEndsAt !== null) {
    return { steps: planOpen(slot, slot.windowEndsAt, since, at), lastOkAt: at };
  }
  // The hold came after the time that nobody had paid for: the window begins with this probe.
  const steps = unfunded(since ?? at, at);
  return { steps: state === "held" ? [...steps, { kind: "open", startsAt: at }] : steps, lastOkAt: at };
}

/** The slot stops serving at `at`: the time until then, if a probe spoke for it shortly before. Never opens a window. */
export function planEnd(slot: Clock, at: Date): ClockPlan {
  const since = countedSince(slot, at);
  if (since === undefined || at <= since) return NOTHING;
  if (slot.state !== "open") return { steps: unfunded(since, at), lastOkAt: at };
  return planProbe(slot, at);
}

function planOpen(slot: Clock, endsAt: Date, since: Date | undefined, at: Date): readonly ClockStep[] {
  if (at < endsAt) return added(since, at);
  const closed: readonly ClockStep[] = [...added(since, endsAt), { kind: "close", at: endsAt }];
  if (slot.nextWindowId === null) return [...closed, ...unfunded(latest(since, endsAt) ?? at, at)];
  // Served without a break: the next window follows at once. After a break it begins with this probe, whole.
  const startsAt = latest(since, endsAt) ?? at;
  const nextEndsAt = new Date(startsAt.getTime() + slot.windowMs);
  const opened: readonly ClockStep[] = [...closed, { kind: "open", startsAt }];
  if (at < nextEndsAt) return [...opened, ...added(startsAt, at)];
  return [
    ...opened,
    ...added(startsAt, nextEndsAt),
    { kind: "close", at: nextEndsAt },
    ...unfunded(nextEndsAt, at),
  ];
}

function countedSince(slot: Clock, at: Date): Date | undefined {
  const { lastOkAt } = slot;
  if (lastOkAt === null || at.getTime() - lastOkAt.getTime() > PROBE_GAP_MAX_MS) return undefined;
  return lastOkAt;
}

function latest(since: Date | undefined, at: Date): Date | undefined {
  if (since === undefined) return undefined;
  return since > at ? since : at;
}

function added(from: Date | undefined, to: Date): readonly ClockStep[] {
  const ms = from === undefined ? 0 : to.getTime() - from.getTime();
  return ms > 0 ? [{ kind: "add", ms }] : [];
}

function unfunded(from: Date, to: Date): readonly ClockStep[] {
  const ms = to.getTime() - from.getTime();
  return ms > 0 ? [{ kind: "unfunded", ms, at: to }] : [];
}

export function slotTimeOf(slot: Slot): SlotTime {
  const nextHeld = slot.nextWindowId !== null;
  return {
    deploymentId: slot.deploymentId,
    slot: slot.slot,
    state: slot.state,
    windowNo: nextHeld ? slot.windowNo - 1 : slot.windowNo,
    windowEndsAt: slot.windowEndsAt,
    nextHeld,
    chargedMs: slot.closedMs + slot.openMs,
    lastOkAt: slot.lastOkAt,
  };
}

/** What is told of a slot that was never held. */
export function emptySlotTime(deploymentId: string, slot: number): SlotTime {
  return {
    deploymentId,
    slot,
    state: "none",
    windowNo: 0,
    windowEndsAt: null,
    nextHeld: false,
    chargedMs: 0n,
    lastOkAt: null,
  };
}
