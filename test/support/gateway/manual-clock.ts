/** Time that stands still until a test moves it. */
import type { Clock } from "../../../src/base/clock.ts";

interface Sleeper {
  readonly wakesAt: number;
  readonly wake: () => void;
}

export class ManualClock implements Clock {
  #ms = 1_000_000;
  #sleepers: Sleeper[] = [];

  now(): Date {
    return new Date(Date.UTC(2030, 0, 1) + this.#ms);
  }

  monotonicMs(): number {
    return this.#ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper: Sleeper = {
        wakesAt: this.#ms + ms,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = () => {
        this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#sleepers.push(sleeper);
    });
  }

  /** Moves time in steps of at most 100 ms, and lets everything that woke run to its next wait after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms;
    while (this.#ms < end) {
      this.#ms = Math.min(end, this.#ms + 100);
      const due = this.#sleepers.filter((one) => one.wakesAt <= this.#ms);
      this.#sleepers = this.#sleepers.filter((one) => one.wakesAt > this.#ms);
      for (const one of due) one.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
