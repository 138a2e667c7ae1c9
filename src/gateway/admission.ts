/** How many at once, and in which order: concurrency by key, and one fair queue a shared model. */
import type { Access } from "./access.ts";
import { type Client, FairQueue } from "./fair-queue.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps } from "./ports.ts";

export class Admission {
  readonly #deps: GatewayDeps;
  /** Requests under way, by key. */
  readonly #active = new Map<string, number>();
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

  #countKey(limitKey: string): () => void {
    const active = this.#active.get(limitKey) ?? 0;
    if (active >= this.#deps.limits.keyConcurrencyMax) throw tooMany();
    this.#active.set(limitKey, active + 1);
    return () => {
      const left = (this.#active.get(limitKey) ?? 1) - 1;
      if (left > 0) this.#active.set(limitKey, left);
      else this.#active.delete(limitKey);
    };
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
