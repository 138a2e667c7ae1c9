/** How many at once, and in which order: concurrency by key, and one fair queue a shared model. */
import type { Access } from "./access.ts";
import { type Client, FairQueue } from "./fair-queue.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps } from "./ports.ts";

/** Kept between requests: an entry that came and went with each would be made anew with each. */
interface KeyUse {
  /** Requests under way. */
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
    const out = this.#countKey(who.limitKey);
    const { published } = who.route;
    if (!published) return out;
    const queue = this.#queue(published.servedName, published.limits.concurrencyMax);
    const leave = () => {
      out();
      queue.leave();
      if (queue.isEmpty) this.#queues.delete(published.servedName);
    };
    const notIn = (error: unknown): never => {
      out();
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
    for (const [key, use] of this.#keys) if (use.active === 0) this.#keys.delete(key);
  }

  #countKey(limitKey: string): () => void {
    let use = this.#keys.get(limitKey);
    if (!use) {
      use = { active: 0 };
      this.#keys.set(limitKey, use);
    }
    if (use.active >= this.#deps.limits.keyConcurrencyMax) throw tooMany();
    const counted = use;
    counted.active++;
    return () => void counted.active--;
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

function tooMany(): Error {
  return refused("RATE_LIMITED", "This key asks too much at once. Wait for answers, or use several keys.", {
    retryAfterMs: 1_000,
  });
}
