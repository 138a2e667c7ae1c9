/**
 * Money that the ledger leased to this gateway, by user, and apart for what budgets bound. A request reserves its bound before it
 * runs and settles to its charge after; it is served under exactly one slice, and must be over before that slice is.
 */
import { formatAmount } from "../base/money.ts";
import { StatusError } from "../base/status.ts";
import type { Bounded } from "./bounded.ts";
import { refused } from "./openai-error.ts";
import type { GatewayControl, GatewayDeps } from "./ports.ts";
import { availableNanos, isOfBudget, isShort } from "./shortage.ts";

/** What a purse needs of its gateway. */
export interface PurseDeps extends Pick<GatewayDeps, "clock" | "log" | "random" | "steps"> {
  readonly limits: Pick<GatewayDeps["limits"], "sliceIdleMs">;
  readonly control: Pick<GatewayControl, "leaseSlice" | "closeSlice">;
}

interface Slice {
  readonly sliceId: string;
  readonly userId: string;
  readonly bounded: Bounded | undefined;
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
/**
 * For so long a budget that fell short is not asked again for as much: requests that are refused anyway must not make those of the
 * user's other keys wait at the balance.
 */
const SHORT_FOR_MS = 500;
/** A slice whose end the ledger did not confirm is told again for so long; by then the ledger has settled it by itself. */
const CLOSE_FOR_MS = 2 * 3_600_000;
/** Of these; more come only while the ledger is away for long, and it settles what is too many by itself. */
const UNCLOSED_MAX = 1_000;

/** A budget that fell short a moment ago. */
interface Shortage {
  readonly error: StatusError;
  readonly until: number;
}

export class Purse {
  readonly #deps: PurseDeps;
  /** Ships the usage that is written: what it leaves unspent can then be given back. */
  readonly #ship: () => Promise<unknown>;
  readonly #slices = new Map<string, Slice>();
  /** Slices that serve each other's requests: a user's, and apart from them those of the same bounds. */
  readonly #pools = new Map<string, Set<Slice>>();
  readonly #short = new Map<string, Shortage>();
  readonly #leasing = new Map<string, Promise<unknown>>();
  /** Slices that are over here and may not be at the ledger, and until when it is told so. */
  readonly #unclosed = new Map<string, number>();

  constructor(deps: PurseDeps, ship: () => Promise<unknown>) {
    this.#deps = deps;
    this.#ship = ship;
  }

  /** Slices that are leased now. */
  get size(): number {
    return this.#slices.size;
  }

  /**
   * Reserves `amountNanos` of the user's money until `deadlineAt`, within what bounds it. Throws BALANCE_TOO_LOW or BUDGET_EXCEEDED
   * when the ledger has no more for it.
   */
  async reserve(
    userId: string,
    amountNanos: bigint,
    deadlineAt: number,
    bounded?: Bounded,
  ): Promise<Reservation> {
    const pool = poolOf(userId, bounded);
    const found = this.#find(pool, amountNanos, deadlineAt);
    if (found) return this.#take(found, amountNanos, deadlineAt);
    // One lease at a time a pool: those who wait usually find enough in what comes.
    const others = this.#leasing.get(pool);
    if (others) {
      await others.catch(() => {});
      const meanwhile = this.#find(pool, amountNanos, deadlineAt);
      if (meanwhile) return this.#take(meanwhile, amountNanos, deadlineAt);
    }
    this.#refuseShort(pool, amountNanos);
    const leasing = this.#lease(userId, amountNanos, bounded);
    this.#leasing.set(pool, leasing);
    try {
      return this.#take(await leasing, amountNanos, deadlineAt);
    } catch (error) {
      this.#rememberShort(pool, error);
      throw error;
    } finally {
      if (this.#leasing.get(pool) === leasing) this.#leasing.delete(pool);
    }
  }

  /** The most that one request could reserve now without asking the ledger. */
  largest(userId: string, deadlineAt: number, bounded?: Bounded): bigint {
    let most = 0n;
    for (const slice of this.#pools.get(poolOf(userId, bounded)) ?? []) {
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
    await this.#closeAgain();
    const now = this.#deps.clock.monotonicMs();
    for (const slice of [...this.#slices.values()]) {
      const over =
        all ||
        slice.recalled ||
        now >= slice.spendUntil ||
        now - slice.usedAt > this.#deps.limits.sliceIdleMs;
      if (over && isQuiet(slice)) await this.#close(slice);
    }
    for (const [pool, { until }] of this.#short) if (now >= until) this.#short.delete(pool);
  }

  #refuseShort(pool: string, amountNanos: bigint): void {
    const short = this.#short.get(pool);
    if (!short || this.#deps.clock.monotonicMs() >= short.until) return;
    if (amountNanos > availableNanos(short.error)) throw needing(short.error, amountNanos);
  }

  #rememberShort(pool: string, error: unknown): void {
    if (!isShort(error) || !isOfBudget(error)) return;
    this.#short.set(pool, { error, until: this.#deps.clock.monotonicMs() + SHORT_FOR_MS });
  }

  #find(pool: string, amountNanos: bigint, deadlineAt: number): Slice | undefined {
    for (const slice of this.#pools.get(pool) ?? []) {
      if (slice.left >= amountNanos && this.#serves(slice, deadlineAt)) return slice;
    }
    return undefined;
  }

  #serves(slice: Slice, deadlineAt: number): boolean {
    const now = this.#deps.clock.monotonicMs();
    return !slice.recalled && slice.spendUntil >= now + (deadlineAt - now) * TIME_SHARE;
  }

  async #lease(userId: string, amountNanos: bigint, bounded: Bounded | undefined): Promise<Slice> {
    try {
      return await this.#leaseOnce(userId, amountNanos, bounded);
    } catch (error) {
      if (!isShort(error)) throw error;
      // What lies about here in small slices is the user's too: it must not be what the balance, or the budget, is short of.
      const keeps = isOfBudget(error) ? (slice: Slice) => shares(slice, bounded) : () => true;
      if (!(await this.#giveBack(userId, keeps))) throw error;
      return this.#leaseOnce(userId, amountNanos, bounded);
    }
  }

  async #leaseOnce(userId: string, amountNanos: bigint, bounded: Bounded | undefined): Promise<Slice> {
    const { clock, control, steps } = this.#deps;
    // By the clock before the call: a late answer must not lengthen the lease.
    const asked = clock.monotonicMs();
    const sliceId = this.#deps.random.uuid();
    const wanted = { sliceId, userId, wantNanos: amountNanos, ...(bounded && { purpose: bounded.purpose }) };
    const leased = await control.leaseSlice(wanted).catch((error: unknown) => {
      if (isShort(error)) throw error;
      // Perhaps it was leased, and only the answer is lost: it is known by its name.
      this.#remember(sliceId);
      throw notSetAside(error);
    });
    steps.reach("gateway.slice-leased");
    const slice: Slice = {
      sliceId: leased.sliceId,
      userId,
      bounded,
      left: leased.amountNanos,
      spendUntil: asked + leased.spendMs,
      usedAt: clock.monotonicMs(),
      open: 0,
      unshipped: 0,
      recalled: false,
    };
    this.#slices.set(slice.sliceId, slice);
    const pool = poolOf(userId, bounded);
    const own = this.#pools.get(pool) ?? new Set();
    own.add(slice);
    this.#pools.set(pool, own);
    return slice;
  }

  /** Closes those of the user's slices that nothing runs under; false when there was none. */
  async #giveBack(userId: string, which: (slice: Slice) => boolean): Promise<boolean> {
    const own = [...this.#slices.values()].filter((slice) => slice.userId === userId && which(slice));
    if (own.length === 0) return false;
    await this.#ship();
    let closed = 0;
    for (const slice of own) {
      // While one is closed another may be taken for a request, or be closed by somebody else.
      if (!this.#slices.has(slice.sliceId) || !isQuiet(slice)) continue;
      await this.#close(slice);
      closed++;
    }
    return closed > 0;
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
    const pool = poolOf(slice.userId, slice.bounded);
    const own = this.#pools.get(pool);
    own?.delete(slice);
    if (own?.size === 0) this.#pools.delete(pool);
    this.#remember(slice.sliceId);
    await this.#tellClosed(slice.sliceId);
  }

  /** A ledger that does not answer the first is not asked the rest. */
  async #closeAgain(): Promise<void> {
    for (const sliceId of [...this.#unclosed.keys()]) if (!(await this.#tellClosed(sliceId))) return;
  }

  #remember(sliceId: string): void {
    if (this.#unclosed.size >= UNCLOSED_MAX) return;
    this.#unclosed.set(sliceId, this.#deps.clock.monotonicMs() + CLOSE_FOR_MS);
  }

  /** What the ledger does not confirm is told again at the next tidying; at last it settles the slice by itself. */
  async #tellClosed(sliceId: string): Promise<boolean> {
    const until = this.#unclosed.get(sliceId) ?? 0;
    try {
      await this.#deps.control.closeSlice(sliceId);
      this.#unclosed.delete(sliceId);
      return true;
    } catch (error) {
      this.#deps.log.warn({ err: error }, "a slice could not be closed");
      if (this.#deps.clock.monotonicMs() >= until) this.#unclosed.delete(sliceId);
      return false;
    }
  }
}

/** A user's slices are one pool, but for what budgets bound: no name or id in it holds a line's end. */
function poolOf(userId: string, bounded: Bounded | undefined): string {
  return bounded === undefined ? userId : [userId, ...bounded.subjects].join("\n");
}

/** Whether a slice keeps some of a budget that bounds this, too. */
function shares(slice: Slice, bounded: Bounded | undefined): boolean {
  return slice.bounded?.subjects.some((subject) => bounded?.subjects.includes(subject)) === true;
}

/** The same shortage, told of another request. */
function needing(error: StatusError, amountNanos: bigint): StatusError {
  const { code, reason, message, metadata, retryAfterMs } = error;
  const again = retryAfterMs === undefined ? {} : { retryAfterMs };
  return new StatusError({
    ...{ code, reason, message, ...again },
    metadata: { ...metadata, needed: formatAmount(amountNanos) },
  });
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
