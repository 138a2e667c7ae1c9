/** How many at once, and in which order: rate and concurrency by key, and one fair queue a shared model. */
import type { Access } from "./access.ts";
import { type Client, FairQueue } from "./fair-queue.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps } from "./ports.ts";

/** A key that was not used for so long has its full allowance again, so that forgetting it changes nothing. */
const FORGET_MS = 60_000;

interface KeyUse {
  tokens: number;
  filledAt: number;
  active: number;
}

export class Admission {
  readonly #deps: GatewayDeps;
  readonly #keys = new Map<string, KeyUse>();
  readonly #queues = new Map<string, FairQueue>();

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
  }

  /** Counts the request in; the returned function counts it out. Throws RATE_LIMITED; rejects when the client goes away first. */
  enter(who: Access, client: Client): (() => void) | Promise<() => void> {
    const use = this.#countKey(who.limitKey);
    const { published } = who.route;
    if (!published) return () => void use.active--;
    const queue = this.#queue(published.servedName, published.limits.concurrencyMax);
    const leave = () => {
      use.active--;
      queue.leave();
      if (queue.isEmpty) this.#queues.delete(published.servedName);
    };
    const notIn = (error: unknown): never => {
      use.active--;
      throw error;
    };
    try {
      const entered = queue.enter(who.userId, client);
      return entered instanceof Promise ? entered.then(() => leave, notIn) : leave;
    } catch (error) {
      return notIn(error);
    }
  }

  /** Forgets keys that nobody uses. */
  tidy(): void {
    const before = this.#deps.clock.monotonicMs() - FORGET_MS;
    for (const [key, use] of this.#keys)
      if (use.active === 0 && use.filledAt < before) this.#keys.delete(key);
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
    if (use.tokens < 1) throw tooMany("a second", Math.ceil(((1 - use.tokens) / rate) * 1_000));
    if (use.active >= limits.keyConcurrencyMax) throw tooMany("at once", 1_000);
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

function tooMany(what: string, retryAfterMs: number): Error {
  return refused("RATE_LIMITED", `This key asks too much ${what}. Slow down, or use several keys.`, {
    retryAfterMs,
  });
}
