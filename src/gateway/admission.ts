/** How many at once, and in which order: rate and concurrency by key, and one fair queue a shared model. */
import type { Access } from "./access.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps } from "./ports.ts";

interface KeyUse {
  tokens: number;
  filledAt: number;
  active: number;
}

/** One shared model: a place is given to the accounts in turn, so that nobody waits behind another's flood. */
class FairQueue {
  readonly #max: number;
  readonly #queueMax: number;
  #active = 0;
  #waiting = 0;
  readonly #accounts = new Map<string, (() => void)[]>();

  constructor(max: number, queueMax: number) {
    this.#max = max;
    this.#queueMax = queueMax;
  }

  enter(account: string): undefined | Promise<void> {
    if (this.#active < this.#max) {
      this.#active++;
      return undefined;
    }
    if (this.#waiting >= this.#queueMax) {
      throw refused(
        "RATE_LIMITED",
        "This model has no free place and its queue is full. Try again shortly.",
        {
          retryAfterMs: 1_000,
        },
      );
    }
    return new Promise((resolve) => {
      const line = this.#accounts.get(account) ?? [];
      line.push(resolve);
      this.#accounts.set(account, line);
      this.#waiting++;
    });
  }

  leave(): void {
    this.#active--;
    const next = this.#next();
    if (!next) return;
    // One whose client is gone gets its place too: it finds out by itself and leaves at once.
    this.#active++;
    next();
  }

  get empty(): boolean {
    return this.#active === 0 && this.#waiting === 0;
  }

  #next(): (() => void) | undefined {
    const first = this.#accounts.entries().next();
    if (first.done) return undefined;
    const [account, line] = first.value;
    const next = line.shift();
    this.#waiting--;
    // To the end of the round: the map's order is the order of turns.
    this.#accounts.delete(account);
    if (line.length > 0) this.#accounts.set(account, line);
    return next;
  }
}

export class Admission {
  readonly #deps: GatewayDeps;
  readonly #keys = new Map<string, KeyUse>();
  readonly #queues = new Map<string, FairQueue>();

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
  }

  /** Counts the request in; the returned function counts it out. Throws RATE_LIMITED. */
  async enter(who: Access): Promise<() => void> {
    const use = this.#countKey(who.limitKey);
    const { published } = who.route;
    if (!published) return () => void use.active--;
    const queue = this.#queue(published.servedName, published.limits.concurrencyMax);
    try {
      await queue.enter(who.userId);
    } catch (error) {
      use.active--;
      throw error;
    }
    return () => {
      use.active--;
      queue.leave();
      if (queue.empty) this.#queues.delete(published.servedName);
    };
  }

  /** Forgets keys that nobody uses. */
  tidy(): void {
    const now = this.#deps.clock.monotonicMs();
    for (const [key, use] of this.#keys)
      if (use.active === 0 && now - use.filledAt > 60_000) this.#keys.delete(key);
  }

  #countKey(limitKey: string): KeyUse {
    const { clock, limits } = this.#deps;
    const now = clock.monotonicMs();
    const rate = limits.keyRequestsPerSecond;
    let use = this.#keys.get(limitKey);
    if (!use) {
      use = { tokens: rate, filledAt: now, active: 0 };
      this.#keys.set(limitKey, use);
    }
    use.tokens = Math.min(rate, use.tokens + ((now - use.filledAt) / 1_000) * rate);
    use.filledAt = now;
    if (use.tokens < 1 || use.active >= limits.keyConcurrencyMax) {
      const retryAfterMs = use.tokens < 1 ? Math.ceil(((1 - use.tokens) / rate) * 1_000) : 1_000;
      throw refused(
        "RATE_LIMITED",
        "This key has too many requests under way. Slow down, or use several keys.",
        {
          retryAfterMs,
        },
      );
    }
    use.tokens--;
    use.active++;
    return use;
  }

  #queue(name: string, max: number): FairQueue {
    const { limits } = this.#deps;
    let queue = this.#queues.get(name);
    if (!queue) {
      queue = new FairQueue(max > 0 ? max : limits.sharedConcurrencyMax, limits.sharedQueueMax);
      this.#queues.set(name, queue);
    }
    return queue;
  }
}
