/** Time that passes faster than ours, the same in every process of a proof: an hour's wait for a lost gateway's slices is over in seconds. */
import { type Clock, systemClock } from "../../../src/base/clock.ts";

export const SPEED = 120;

/** `epochMs`: the real moment at which both times were the same. */
export function fastClock(epochMs: number): Clock {
  const passed = () => performance.timeOrigin + performance.now() - epochMs;
  return {
    now: () => new Date(epochMs + passed() * SPEED),
    monotonicMs: () => passed() * SPEED,
    sleep: (ms, signal) => systemClock.sleep(ms / SPEED, signal),
  };
}
