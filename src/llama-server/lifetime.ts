/**
 * When the process ends: asked to (SIGTERM), or when nobody claims it any more. Either way it first finishes what runs. Its owner
 * may be gone without a trace, and an engine that nobody knows would hold memory for ever.
 */
import type { Log } from "../base/log.ts";

export interface Lifetime {
  readonly draining: boolean;
  /** Somebody who knows the key asked for our health; the first claim starts the clock. */
  claim(): void;
  /** A request begins; call the result when its answer is sent. */
  enter(): () => void;
  /** Takes no new requests from now on; `ended` resolves when the last one is answered. */
  drain(why: string): void;
  readonly ended: Promise<void>;
}

/** `unclaimedExitMs` 0 = never by itself. */
export function createLifetime(unclaimedExitMs: number, log: Log): Lifetime {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let active = 0;
  let draining = false;
  let timer: NodeJS.Timeout | undefined;
  const drain = (why: string) => {
    if (draining) return;
    draining = true;
    clearTimeout(timer);
    log.info({ event: "draining", why, active });
    if (active === 0) resolve();
  };
  const claim = () => {
    if (unclaimedExitMs === 0 || draining) return;
    clearTimeout(timer);
    timer = setTimeout(() => drain("unclaimed"), unclaimedExitMs);
  };
  return {
    get draining() {
      return draining;
    },
    ended,
    claim,
    drain,
    enter() {
      active++;
      let left = false;
      return () => {
        if (left) return;
        left = true;
        active--;
        if (draining && active === 0) resolve();
      };
    },
  };
}
