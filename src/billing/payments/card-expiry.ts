/** When a card ends. Pure. */
import type { Card } from "./processor.ts";

export type CardExpiry = "VALID" | "EXPIRING" | "EXPIRED";

type Dates = Pick<Card, "expMonth" | "expYear">;

/** So long before its end a card's user is told: time for the bank's letter with the new one. */
export const EXPIRING_MS = 30 * 24 * 3_600_000;

/** The moment from which it is not valid: a card is valid through the last day of its month (UTC). */
export function endOf({ expMonth, expYear }: Dates): Date {
  return new Date(Date.UTC(expYear, expMonth));
}

export function expiryOf(card: Dates, now: Date): CardExpiry {
  const left = endOf(card).getTime() - now.getTime();
  if (left <= 0) return "EXPIRED";
  return left <= EXPIRING_MS ? "EXPIRING" : "VALID";
}

/** Valid through the last day of its month. */
export function isExpired(card: Dates, now: Date): boolean {
  return expiryOf(card, now) === "EXPIRED";
}
