/**
 * Money is a bigint number of nanos (10⁻⁹) of one currency. It never passes through a float.
 */

/** Nanos in one unit of any currency. */
export const NANOS_PER_UNIT = 1_000_000_000n;

/** Largest amount that one movement may carry: a thousand million units. Bounds every sum far below int8. */
export const AMOUNT_MAX_NANOS = 1_000_000_000n * NANOS_PER_UNIT;

export interface Money {
  /** ISO 4217, three capital letters. */
  readonly currency: string;
  readonly nanos: bigint;
}

/** The smaller of two amounts of one currency; Math.min knows no bigint. */
export function lesserNanos(one: bigint, other: bigint): bigint {
  if (one < other) return one;
  return other;
}

/** For people: "1.50 USD"; at least two decimals, never rounded. */
export function formatMoney(money: Money): string {
  return `${formatAmount(money.nanos)} ${money.currency}`;
}

/** "1.50": the same without its currency. */
export function formatAmount(nanos: bigint): string {
  const sign = nanos < 0n ? "-" : "";
  const abs = nanos < 0n ? -nanos : nanos;
  const fraction = (abs % NANOS_PER_UNIT).toString().padStart(9, "0").replace(/0+$/, "").padEnd(2, "0");
  return `${sign}${abs / NANOS_PER_UNIT}.${fraction}`;
}

/** Price × seconds, floored: nanos for `durationMs` at `nanosPerHour`. Exact in integers. */
export function nanosForDuration(nanosPerHour: bigint, durationMs: bigint): bigint {
  return (nanosPerHour * durationMs) / 3_600_000n;
}

/** Price × tokens, floored once: nanos for a receipt's token parts at nanos per million tokens. */
export function nanosForTokens(parts: readonly { tokens: bigint; nanosPerMillion: bigint }[]): bigint {
  const sum = parts.reduce((total, part) => total + part.tokens * part.nanosPerMillion, 0n);
  return sum / 1_000_000n;
}
