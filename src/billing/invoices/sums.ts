import type { InvoiceLine, Statement, Sums } from "./model.ts";
import { isCharge } from "./words.ts";

export function sumsOf({ lines }: Pick<Statement, "lines">): Sums {
  const total = (some: readonly InvoiceLine[]) =>
    some.reduce((sum, { amountNanos }) => sum + amountNanos, 0n);
  return {
    creditedNanos: total(lines.filter((line) => !isCharge(line))),
    chargedNanos: -total(lines.filter(isCharge)),
  };
}

/** The balance after each line. */
export function balancesOf({
  openingNanos,
  lines,
}: Pick<Statement, "openingNanos" | "lines">): readonly bigint[] {
  let balance = openingNanos;
  return lines.map(({ amountNanos }) => {
    balance += amountNanos;
    return balance;
  });
}
