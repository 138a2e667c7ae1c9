import { type Money, NANOS_PER_UNIT } from "../base/money.ts";

/** google.type.Money as the API writes it in JSON. */
export function moneyOf({ currency, nanos }: Money) {
  return {
    currencyCode: currency,
    units: (nanos / NANOS_PER_UNIT).toString(),
    nanos: Number(nanos % NANOS_PER_UNIT),
  };
}
