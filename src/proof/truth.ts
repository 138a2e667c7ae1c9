/**
 * What really happened, kept beside the program and compared with what its books say: who paid what, what was served under which
 * slice, what of it reached the ledger in time, and what only the operator can have lost.
 */
import { lesserNanos, nanosForDuration } from "../base/money.ts";
import { type LeaseInput, SLICE_SETTLE_AFTER_MS, SLICE_SPEND_MS } from "../billing/index.ts";
import { Breach } from "./story.ts";

export interface TrueRequest {
  readonly id: string;
  readonly userId: string;
  readonly sliceId: string;
  /** The key that asked; null where it is none that a budget could bound. */
  readonly keyId: string | null;
  readonly boundNanos: bigint;
  costNanos: bigint;
  /** written: its record is on the disk, so its answer is whole. cut: it never was, and nobody pays. */
  state: "running" | "ending" | "written" | "cut";
  /** The ledger has its record. */
  delivered: boolean;
  /** Its record was lost with a disk, or came after its slice had been settled: the operator's loss. */
  lost: boolean;
}

interface TrueSlice {
  readonly userId: string;
  readonly leasedAtMs: number;
  /** What it was leased for, where budgets bound that. */
  readonly purpose?: LeaseInput["purpose"];
  readonly amountNanos: bigint;
  readonly settleByMs: number;
  ended: "" | "closed" | "settled";
}

/** One replica's time, as its probes prove it. */
export interface TrueSlot {
  readonly deploymentId: string;
  readonly userId: string;
  readonly nanosPerHour: bigint;
  held: boolean;
  lastMs: number | undefined;
  provenMs: number;
  chargedMs: bigint;
}

/** Probes farther apart prove nothing of the time between them. */
const PROVES_MS = 30_000;

export class Truth {
  readonly paid = new Map<string, bigint>();
  readonly slices = new Map<string, TrueSlice>();
  readonly requests = new Map<string, TrueRequest>();
  readonly slots: TrueSlot[] = [];
  /** Most that was ever served beyond what was paid. */
  overdraftMax: bigint | undefined;
  /** The first promise that was broken. */
  breach: Breach | undefined;

  pay(userId: string, nanos: bigint): void {
    this.paid.set(userId, (this.paid.get(userId) ?? 0n) + nanos);
  }

  leased(sliceId: string, slice: Pick<TrueSlice, "userId" | "amountNanos" | "leasedAtMs" | "purpose">): void {
    const { userId, amountNanos, leasedAtMs, purpose } = slice;
    const settleByMs = leasedAtMs + SLICE_SPEND_MS + SLICE_SETTLE_AFTER_MS;
    this.slices.set(sliceId, { userId, amountNanos, leasedAtMs, purpose, settleByMs, ended: "" });
  }

  began(request: Pick<TrueRequest, "id" | "userId" | "sliceId" | "keyId" | "boundNanos">): TrueRequest {
    const slice = this.slices.get(request.sliceId);
    if (slice?.userId !== request.userId)
      throw this.#breach("a request is served under another user's slice");
    if (slice.ended !== "") throw this.#breach(`a request is served under a slice that was ${slice.ended}`);
    const begun: TrueRequest = { ...request, costNanos: 0n, state: "running", delivered: false, lost: false };
    this.requests.set(request.id, begun);
    if (this.promisedFrom(request.sliceId) > slice.amountNanos)
      throw this.#breach(`slice ${request.sliceId} promised more than it holds`);
    return begun;
  }

  /** What all requests under a slice cost or may cost. */
  promisedFrom(sliceId: string): bigint {
    return this.#sum((one) => one.sliceId === sliceId, worth);
  }

  delivered(requestId: string): void {
    const request = this.requests.get(requestId);
    if (!request) throw this.#breach(`usage of ${requestId}, which was never served`);
    if (request.delivered) return;
    request.delivered = true;
    // A shipment that was on its way when the disk was lost.
    if (this.slices.get(request.sliceId)?.ended === "") request.lost = false;
    const { ended } = this.slices.get(request.sliceId) ?? {};
    if (ended === "closed")
      throw this.#breach(`slice ${request.sliceId} was given back before its usage was in the ledger`);
  }

  /** Served, and nobody knows what any more. */
  diskLost(requestIds: readonly string[]): void {
    for (const id of requestIds) {
      const request = this.requests.get(id);
      if (request && !request.delivered) request.lost = true;
    }
  }

  closed(sliceId: string): void {
    const slice = this.slices.get(sliceId);
    if (slice && slice.ended === "") slice.ended = "closed";
  }

  /** What was not delivered by now from slices that are over is nobody's but the operator's. */
  settled(nowMs: number): void {
    for (const [sliceId, slice] of this.slices) {
      if (slice.ended !== "" || slice.settleByMs > nowMs) continue;
      slice.ended = "settled";
      for (const one of this.requests.values())
        if (one.sliceId === sliceId && !one.delivered) one.lost = true;
    }
  }

  /** What the user pays for tokens, once all that is on a disk has arrived. `delivered`: what has arrived by now alone. */
  tokensOf(userId: string, delivered = false): bigint {
    let total = 0n;
    for (const sliceId of this.slices.keys()) total += this.chargeOf(sliceId, userId, delivered);
    return total;
  }

  chargeOf(sliceId: string, userId: string, delivered = false): bigint {
    const slice = this.slices.get(sliceId);
    if (slice?.userId !== userId) return 0n;
    const pays = (one: TrueRequest) =>
      one.sliceId === sliceId && one.state === "written" && !one.lost && (one.delivered || !delivered);
    const costs = this.#sum(pays, (one) => one.costNanos);
    return lesserNanos(costs, slice.amountNanos);
  }

  /** What requests under way may still cost. */
  runningOf(userId: string): bigint {
    return this.#sum((one) => one.userId === userId && one.state !== "written" && !one.lost, worth);
  }

  gpuOf(userId: string): bigint {
    const own = this.slots.filter((slot) => slot.userId === userId);
    return own.reduce((total, slot) => total + nanosForDuration(slot.nanosPerHour, slot.chargedMs), 0n);
  }

  /** The promise: nobody is served beyond what was paid, whatever the operator lost. */
  check(): void {
    if (this.breach) throw this.breach;
    for (const [userId, paid] of this.paid) {
      const served = this.tokensOf(userId) + this.gpuOf(userId);
      const overdraft = served - paid;
      if (this.overdraftMax === undefined || overdraft > this.overdraftMax) this.overdraftMax = overdraft;
      if (overdraft > 0n) throw this.#breach(`${served} nanos were served and ${paid} paid`);
      const promised = served + this.runningOf(userId);
      if (promised > paid) throw this.#breach(`${promised} nanos are served or promised, and ${paid} paid`);
    }
  }

  probed(slot: TrueSlot, atMs: number): void {
    if (slot.lastMs === undefined) {
      if (slot.held) slot.lastMs = atMs;
      return;
    }
    if (atMs <= slot.lastMs) return;
    if (atMs - slot.lastMs <= PROVES_MS) slot.provenMs += atMs - slot.lastMs;
    slot.lastMs = atMs;
  }

  ended(slot: TrueSlot, atMs: number): void {
    if (slot.lastMs !== undefined && atMs > slot.lastMs && atMs - slot.lastMs <= PROVES_MS)
      slot.provenMs += atMs - slot.lastMs;
    slot.lastMs = undefined;
    slot.held = false;
  }

  /** Kept as well as thrown: whoever called may be a gateway that swallows it. */
  #breach(what: string): Breach {
    this.breach ??= new Breach(what);
    return this.breach;
  }

  #sum(which: (one: TrueRequest) => boolean, of: (one: TrueRequest) => bigint): bigint {
    let total = 0n;
    for (const one of this.requests.values()) if (which(one)) total += of(one);
    return total;
  }
}

/** What a request costs, or may cost while it runs. */
export function worth(one: TrueRequest): bigint {
  if (one.state === "running") return one.boundNanos;
  return one.state === "cut" ? 0n : one.costNanos;
}
