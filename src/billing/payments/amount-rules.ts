import { formatMoney, type Money } from "../../base/money.ts";
import type { FieldViolation } from "../../base/status.ts";
import { smallestCoinNanos } from "./coin.ts";

/** One payment takes at most this: a slipped digit should not empty a card. */
const TOPUP_MAX_NANOS = 100_000n * 1_000_000_000n;

/** What is wrong with the amount of a payment from a card, if anything is. */
export function amountViolation(field: string, money: Money): FieldViolation | undefined {
  const { currency, nanos } = money;
  const coin = smallestCoinNanos(currency);
  if (nanos > 0n && nanos <= TOPUP_MAX_NANOS && nanos % coin === 0n) return undefined;
  return {
    field,
    description: `must be above zero, at most ${formatMoney({ currency, nanos: TOPUP_MAX_NANOS })}, and in whole steps of ${formatMoney({ currency, nanos: coin })}`,
    reason: "AMOUNT_INVALID",
  };
}
