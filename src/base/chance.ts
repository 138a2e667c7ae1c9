/** Luck from a seed, so that a simulated history can be run again. */
import { createHash } from "node:crypto";

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
