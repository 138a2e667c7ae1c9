/** Chance and time of a simulation: all from a seed, so that a history can be run again. */
import { createHash } from "node:crypto";
import type { Clock } from "../../src/base/clock.ts";
import type { Random } from "../../src/base/random.ts";

export interface Chance {
  /** From 0 up to, not including, 1. `about` names the decision: the same question asked again draws anew. */
  draw(about: string): number;
  /** True with this probability. */
  happens(about: string, probability: number): boolean;
  /** A whole number from min to max. */
  between(about: string, min: number, max: number): number;
  pick<T>(about: string, items: readonly T[]): T;
}

/**
 * Each question has its own stream of draws, so that what happens at one place does not depend on the order in which other places
 * asked: concurrent work does not make a seed irreproducible.
 */
export function chanceOf(seed: number): Chance {
  const asked = new Map<string, number>();
  const draw = (about: string): number => {
    const count = asked.get(about) ?? 0;
    asked.set(about, count + 1);
    const hash = createHash("sha256").update(`${seed}/${about}/${count}`).digest();
    return hash.readUInt32BE(0) / 2 ** 32;
  };
  const between = (about: string, min: number, max: number) =>
    min + Math.floor(draw(about) * (max - min + 1));
  return {
    draw,
    between,
    happens: (about, probability) => draw(about) < probability,
    pick(about, items) {
      const item = items[between(about, 0, items.length - 1)];
      if (item === undefined) throw new Error(`nothing to pick from: ${about}`);
      return item;
    },
  };
}

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
