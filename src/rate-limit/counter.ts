/** One caller's requests in a window that slides: what it made in this one, and the part of the last one that still counts. */

export interface RatePolicy {
  /** Requests within any `windowMs`. */
  readonly requestsMax: number;
  readonly windowMs: number;
}

export interface RateVerdict {
  readonly allowed: boolean;
  readonly policy: RatePolicy;
  /** Requests that are left now. */
  readonly remaining: number;
  /** Time until one more is free where none is left, else until this window ends; ms. */
  readonly resetMs: number;
}

/** What is known of one window: counted everywhere until the last exchange, and here since then. */
interface Window {
  startsAt: number;
  shared: number;
  own: number;
}

export class Counter {
  readonly #policy: RatePolicy;
  #now: Window;
  #last: Window;

  constructor(policy: RatePolicy, now: number) {
    this.#policy = policy;
    const startsAt = windowStart(now, policy);
    this.#now = { startsAt, shared: 0, own: 0 };
    this.#last = { startsAt: startsAt - policy.windowMs, shared: 0, own: 0 };
  }

  /** Counts a request that is let through; one that is refused costs nothing. */
  take(now: number): RateVerdict {
    this.#turn(now);
    const { requestsMax, windowMs } = this.#policy;
    const passed = (now - this.#now.startsAt) / windowMs;
    const last = this.#last.shared + this.#last.own;
    const used = this.#now.shared + this.#now.own + last * (1 - passed);
    const allowed = used + 1 <= requestsMax;
    if (allowed) this.#now.own++;
    const remaining = Math.max(0, Math.floor(requestsMax - used - (allowed ? 1 : 0)));
    const windowLeft = this.#now.startsAt + windowMs - now;
    // The last window's share shrinks evenly: one request is free once it shrank by the excess, or when this window is the last.
    const excess = used + 1 - requestsMax;
    const shrinks = last > 0 ? (excess / last) * windowMs : Number.POSITIVE_INFINITY;
    return {
      allowed,
      policy: this.#policy,
      remaining,
      resetMs: allowed ? windowLeft : Math.min(shrinks, windowLeft),
    };
  }

  /** What was counted here since the last exchange, by window; counted as shared from now on. */
  handOver(): readonly { readonly startsAt: number; readonly requests: number }[] {
    return [this.#last, this.#now].flatMap((window) => {
      const requests = window.own;
      window.own = 0;
      window.shared += requests;
      return requests === 0 ? [] : [{ startsAt: window.startsAt, requests }];
    });
  }

  /** What all processes counted in a window by the time that ours was added. */
  learn(startsAt: number, requests: number): void {
    const window = [this.#now, this.#last].find((known) => known.startsAt === startsAt);
    if (window) window.shared = Math.max(window.shared, requests);
  }

  /** Nothing that it knows matters any more. */
  isIdle(now: number): boolean {
    this.#turn(now);
    return this.#now.shared + this.#now.own + this.#last.shared + this.#last.own === 0;
  }

  #turn(now: number): void {
    const startsAt = windowStart(now, this.#policy);
    if (startsAt <= this.#now.startsAt) return; // a clock that was set back counts on in the window that it knows
    const before = startsAt - this.#policy.windowMs;
    this.#last = this.#now.startsAt === before ? this.#now : { startsAt: before, shared: 0, own: 0 };
    this.#now = { startsAt, shared: 0, own: 0 };
  }
}

function windowStart(now: number, { windowMs }: RatePolicy): number {
  return Math.floor(now / windowMs) * windowMs;
}
