/** A cent where the currency has cents (ISO 4217's minor unit, as ECMA-402 knows it). */
export function smallestCoinNanos(currency: string): bigint {
  const digits = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
  return 10n ** BigInt(9 - (digits.maximumFractionDigits ?? 2));
}
