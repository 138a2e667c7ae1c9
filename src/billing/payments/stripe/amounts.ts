/** Stripe's amounts are whole numbers of a currency's smallest unit, as Stripe sees it (https://docs.stripe.com/currencies). */
import type { Money } from "../../../base/money.ts";

/** Currencies without decimals at Stripe. ISK and UGX have none in the world, but two at Stripe. */
const NO_DECIMALS = new Set("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(" "));
const THREE_DECIMALS = new Set("BHD JOD KWD OMR TND".split(" "));
/** Of three decimals the last must be zero. */
const THREE_DECIMALS_STEP = 10n;

/** In Stripe's units; undefined where Stripe can't take this amount exactly. */
export function toStripe(money: Money): number | undefined {
  const unit = nanosOf(money.currency);
  if (money.nanos % unit !== 0n) return undefined;
  const amount = money.nanos / unit;
  if (THREE_DECIMALS.has(money.currency) && amount % THREE_DECIMALS_STEP !== 0n) return undefined;
  return Number(amount);
}

/** Stripe writes currencies small. */
export function fromStripe(amount: number, currency: string): Money {
  const name = currency.toUpperCase();
  return { currency: name, nanos: BigInt(amount) * nanosOf(name) };
}

function nanosOf(currency: string): bigint {
  const decimals = NO_DECIMALS.has(currency) ? 0 : THREE_DECIMALS.has(currency) ? 3 : 2;
  return 10n ** BigInt(9 - decimals);
}
