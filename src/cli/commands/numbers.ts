import { InvalidArgumentError } from "commander";

const MAX = 1_000_000;

/** A whole number from 1. */
export function parsePositive(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MAX) return count;
  throw new InvalidArgumentError(`Give a whole number from 1 to ${MAX}.`);
}

/** A whole number from 0. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (text !== "" && Number.isInteger(count) && count >= 0 && count <= MAX) return count;
  throw new InvalidArgumentError(`Give a whole number from 0 to ${MAX}.`);
}
