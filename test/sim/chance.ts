/** Time and ids of a simulation: from a seed, as its luck is. */
import { createHash } from "node:crypto";
import type { Clock } from "../../src/base/clock.ts";
import type { Random } from "../../src/base/random.ts";

export { type Chance, chanceOf } from "../../src/base/chance.ts";

export function seededRandom(seed: number): Random {
  let count = 0;
  const bytes = (length: number) => {
    const parts: Buffer[] = [];
    for (let size = 0; size < length; size += 32) {
      parts.push(createHash("sha256").update(`${seed}#${count++}`).digest());
    }
    return Buffer.concat(parts).subarray(0, length);
  };
  return {
    bytes,
    uuid: () => {
      const hex = bytes(16).toString("hex");
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
    },
  };
}

export interface VirtualClock extends Clock {
  advance(ms: number): void;
}

/** Time that passes only when it is told to; sleeping lets it pass at once. */
export function virtualClock(start: Date): VirtualClock {
  let nowMs = start.getTime();
  return {
    now: () => new Date(nowMs),
    monotonicMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
    },
    advance: (ms) => {
      nowMs += ms;
    },
  };
}
