/**
 * Money that the ledger leased to this gateway, by user. A request reserves its bound before it runs and settles to its charge
 * after; it is served under exactly one slice, and only while its own deadline ends before the slice's.
 */
import { StatusError } from "../base/status.ts";
import type { GatewayDeps } from "./ports.ts";

interface Slice {
  readonly sliceId: string;
  readonly userId: string;
  left: bigint;
  /** Monotonic time after which nothing may be served under it. */
  readonly spendUntil: number;
  usedAt: number;
  /** Requests under way. */
  open: number;
  /** Usage written and not yet in the ledger. */
  unshipped: number;
  recalled: boolean;
}

export interface Reservation {
  readonly sliceId: string;
  readonly amountNanos: bigint;
  /** Gives back what the request did not cost. `logged`: a usage record was written under the slice. Once. */
  settle(chargeNanos: bigint, logged: boolean): void;
}

/** A first lease asks for this many requests like the one at hand, so that not every request asks. */
const LEASE_AHEAD = 16n;

export class Purse {
  readonly #deps: GatewayDeps;
  readonly #slices = new Map<string, Slice>();
  readonly #byUser = new Map<string, Set<Slice>>();
  readonly #leasing = new Map<string, Promise<unknown>>();

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
  }

  /** Reserves `amountNanos` of the user's money. Throws BALANCE_TOO_LOW when the ledger has no more for it. */
  async reserve(userId: string, amountNanos: bigint): Promise<Reservation> {
    const found = this.#find(userId, amountNanos);
    if (found) return this.#take(found, amountNanos);
    // One lease at a time a user: those who wait usually find enough in what comes.
    await this.#leasing.get(userId)?.catch(() => {});
    const meanwhile = this.#find(userId, amountNanos);
    if (meanwhile) return this.#take(meanwhile, amountNanos);
    const leasing = this.#lease(userId, amountNanos);
    this.#leasing.set(userId, leasing);
    try {
      return this.#take(await leasing, amountNanos);
    } finally {
      if (this.#leasing.get(userId) === leasing) this.#leasing.delete(userId);
    }
  }

  /** Usage under these slices has reached the ledger. */
  shipped(sliceIds: Iterable<string>): void {
    for (const id of sliceIds) {
      const slice = this.#slices.get(id);
      if (slice) slice.unshipped--;
    }
  }

  recall(sliceId: string): void {
    const slice = this.#slices.get(sliceId);
    if (slice) slice.recalled = true;
  }

  /** Closes slices that are over: idle, out of time or recalled, with nothing under way and all usage in the ledger. */
  async tidy(all = false): Promise<void> {
    const now = this.#deps.clock.monotonicMs();
    const over = [...this.#slices.values()].filter(
      (slice) =>
        slice.open === 0 &&
        slice.unshipped === 0 &&
        (all ||
          slice.recalled ||
          now >= slice.spendUntil ||
          now - slice.usedAt > this.#deps.limits.sliceIdleMs),
    );
    for (const slice of over) {
      this.#forget(slice);
      // If this fails the ledger settles the slice by itself when its time is over.
      await this.#deps.control
        .closeSlice(slice.sliceId)
        .catch((error: unknown) => this.#deps.log.warn({ err: error }, "a slice could not be closed"));
    }
  }

  #find(userId: string, amountNanos: bigint): Slice | undefined {
    const lastMoment = this.#deps.clock.monotonicMs() + this.#deps.limits.totalMs;
    for (const slice of this.#byUser.get(userId) ?? []) {
      if (!slice.recalled && slice.left >= amountNanos && slice.spendUntil >= lastMoment) return slice;
    }
    return undefined;
  }

  async #lease(userId: string, amountNanos: bigint): Promise<Slice> {
    // By the clock before the call: a late answer must not lengthen the lease.
    const asked = this.#deps.clock.monotonicMs();
    const leased = await this.#leaseMoreOrJustThis(userId, amountNanos);
    this.#deps.steps.reach("gateway.slice-leased");
    const slice: Slice = {
      sliceId: leased.sliceId,
      userId,
      left: leased.amountNanos,
      spendUntil: asked + leased.spendMs,
      usedAt: this.#deps.clock.monotonicMs(),
      open: 0,
      unshipped: 0,
      recalled: false,
    };
    this.#slices.set(slice.sliceId, slice);
    const own = this.#byUser.get(userId) ?? new Set();
    own.add(slice);
    this.#byUser.set(userId, own);
    return slice;
  }

  async #leaseMoreOrJustThis(userId: string, amountNanos: bigint) {
    const { control } = this.#deps;
    try {
      return await control.leaseSlice({ userId, wantNanos: amountNanos * LEASE_AHEAD });
    } catch (error) {
      if (!(error instanceof StatusError) || error.reason !== "BALANCE_TOO_LOW") throw error;
      return control.leaseSlice({ userId, wantNanos: amountNanos });
    }
  }

  #take(slice: Slice, amountNanos: bigint): Reservation {
    slice.left -= amountNanos;
    slice.open++;
    slice.usedAt = this.#deps.clock.monotonicMs();
    let settled = false;
    return {
      sliceId: slice.sliceId,
      amountNanos,
      settle: (chargeNanos, logged) => {
        if (settled) return;
        settled = true;
        slice.open--;
        if (logged) slice.unshipped++;
        const charge = chargeNanos < amountNanos ? chargeNanos : amountNanos;
        slice.left += amountNanos - charge;
      },
    };
  }

  #forget(slice: Slice): void {
    this.#slices.delete(slice.sliceId);
    const own = this.#byUser.get(slice.userId);
    own?.delete(slice);
    if (own?.size === 0) this.#byUser.delete(slice.userId);
  }
}
