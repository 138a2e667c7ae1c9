/**
 * Money that the ledger leased to this gateway, by user. A request reserves its bound before it runs and settles to its charge
 * after; it is served under exactly one slice, and must be over before that slice is.
 */
import { StatusError } from "../base/status.ts";
import { refused } from "./openai-error.ts";
import type { GatewayControl, GatewayDeps } from "./ports.ts";

/** What a purse needs of its gateway. */
export interface PurseDeps extends Pick<GatewayDeps, "clock" | "log" | "steps"> {
  readonly limits: Pick<GatewayDeps["limits"], "sliceIdleMs">;
  readonly control: Pick<GatewayControl, "leaseSlice" | "closeSlice">;
}

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
  /** When the request must be over, by the monotonic clock. */
  readonly deadlineAt: number;
  /** Gives back what the request did not cost. `logged`: a usage record is written under the slice. Once. */
  settle(chargeNanos: bigint, logged: boolean): void;
  /** The record that `settle` was told of could not be written: the ledger will never hear of the charge. */
  unlogged(): void;
}

/** A slice that leaves a request less than this part of its time is not taken for it: a fresh one is leased. */
const TIME_SHARE = 0.5;

export class Purse {
  readonly #deps: PurseDeps;
  /** Ships the usage that is written: what it leaves unspent can then be given back. */
  readonly #ship: () => Promise<unknown>;
  readonly #slices = new Map<string, Slice>();
  readonly #byUser = new Map<string, Set<Slice>>();
  readonly #leasing = new Map<string, Promise<unknown>>();

  constructor(deps: PurseDeps, ship: () => Promise<unknown>) {
    this.#deps = deps;
    this.#ship = ship;
  }

  /** Slices that are leased now. */
  get size(): number {
    return this.#slices.size;
  }

  /** Reserves `amountNanos` of the user's money until `deadlineAt`. Throws BALANCE_TOO_LOW when the ledger has no more for it. */
  async reserve(userId: string, amountNanos: bigint, deadlineAt: number): Promise<Reservation> {
    const found = this.#find(userId, amountNanos, deadlineAt);
    if (found) return this.#take(found, amountNanos, deadlineAt);
    // One lease at a time a user: those who wait usually find enough in what comes.
    const others = this.#leasing.get(userId);
    if (others) {
      await others.catch(() => {});
      const meanwhile = this.#find(userId, amountNanos, deadlineAt);
      if (meanwhile) return this.#take(meanwhile, amountNanos, deadlineAt);
    }
    const leasing = this.#lease(userId, amountNanos);
    this.#leasing.set(userId, leasing);
    try {
      return this.#take(await leasing, amountNanos, deadlineAt);
    } finally {
      if (this.#leasing.get(userId) === leasing) this.#leasing.delete(userId);
    }
  }

  /** The most that one request could reserve now without asking the ledger. */
  largest(userId: string, deadlineAt: number): bigint {
    let most = 0n;
    for (const slice of this.#byUser.get(userId) ?? []) {
      if (slice.left > most && this.#serves(slice, deadlineAt)) most = slice.left;
    }
    return most;
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
    for (const slice of [...this.#slices.values()]) {
      const over =
        all ||
        slice.recalled ||
        now >= slice.spendUntil ||
        now - slice.usedAt > this.#deps.limits.sliceIdleMs;
      if (over && isQuiet(slice)) await this.#close(slice);
    }
  }

  #find(userId: string, amountNanos: bigint, deadlineAt: number): Slice | undefined {
    for (const slice of this.#byUser.get(userId) ?? []) {
      if (slice.left >= amountNanos && this.#serves(slice, deadlineAt)) return slice;
    }
    return undefined;
  }

  #serves(slice: Slice, deadlineAt: number): boolean {
    const now = this.#deps.clock.monotonicMs();
    return !slice.recalled && slice.spendUntil >= now + (deadlineAt - now) * TIME_SHARE;
  }

  async #lease(userId: string, amountNanos: bigint): Promise<Slice> {
    try {
      return await this.#leaseOnce(userId, amountNanos);
    } catch (error) {
      if (!isTooLow(error)) throw error;
      // What lies about here in small slices is the user's too: it must not be what the balance is short of.
      if (!(await this.#giveBack(userId))) throw error;
      return this.#leaseOnce(userId, amountNanos);
    }
  }

  async #leaseOnce(userId: string, amountNanos: bigint): Promise<Slice> {
    const { clock, control, steps } = this.#deps;
    // By the clock before the call: a late answer must not lengthen the lease.
    const asked = clock.monotonicMs();
    const leased = await control.leaseSlice({ userId, wantNanos: amountNanos }).catch((error: unknown) => {
      throw isTooLow(error) ? error : notSetAside(error);
    });
    steps.reach("gateway.slice-leased");
    const slice: Slice = {
      sliceId: leased.sliceId,
      userId,
      left: leased.amountNanos,
      spendUntil: asked + leased.spendMs,
      usedAt: clock.monotonicMs(),
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

  /** Closes the user's slices that nothing runs under; false when there was none. */
  async #giveBack(userId: string): Promise<boolean> {
    if (!this.#byUser.has(userId)) return false;
    await this.#ship();
    const quiet = [...(this.#byUser.get(userId) ?? [])].filter(isQuiet);
    for (const slice of quiet) await this.#close(slice);
    return quiet.length > 0;
  }

  #take(slice: Slice, amountNanos: bigint, deadlineAt: number): Reservation {
    if (slice.left < amountNanos || slice.spendUntil <= this.#deps.clock.monotonicMs()) throw notSetAside();
    slice.left -= amountNanos;
    slice.open++;
    slice.usedAt = this.#deps.clock.monotonicMs();
    let charged: bigint | undefined;
    return {
      sliceId: slice.sliceId,
      amountNanos,
      deadlineAt: Math.min(deadlineAt, slice.spendUntil),
      settle: (chargeNanos, logged) => {
        if (charged !== undefined) return;
        charged = chargeNanos;
        slice.open--;
        slice.usedAt = this.#deps.clock.monotonicMs();
        if (logged) slice.unshipped++;
        // As the ledger will do it: more than was reserved is taken from the slice all the same.
        slice.left += amountNanos - chargeNanos;
      },
      unlogged: () => {
        slice.unshipped--;
        slice.left += charged ?? 0n;
      },
    };
  }

  async #close(slice: Slice): Promise<void> {
    this.#slices.delete(slice.sliceId);
    const own = this.#byUser.get(slice.userId);
    own?.delete(slice);
    if (own?.size === 0) this.#byUser.delete(slice.userId);
    // If this fails the ledger settles the slice by itself when its time is over.
    await this.#deps.control
      .closeSlice(slice.sliceId)
      .catch((error: unknown) => this.#deps.log.warn({ err: error }, "a slice could not be closed"));
  }
}

export function isTooLow(error: unknown): error is StatusError {
  return error instanceof StatusError && error.reason === "BALANCE_TOO_LOW";
}

function notSetAside(cause?: unknown): StatusError {
  return refused("UNAVAILABLE", "The money for this request could not be set aside. Try again shortly.", {
    retryAfterMs: 2_000,
    cause,
  });
}

function isQuiet(slice: Slice): boolean {
  return slice.open === 0 && slice.unshipped === 0;
}
