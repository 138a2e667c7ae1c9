/** An invoice in words: the same for every form in which it is shown. */
import { formatAmount, NANOS_PER_UNIT } from "../../base/money.ts";
import { smallestCoinNanos } from "../payments/coin.ts";
import type { InvoiceLine } from "./model.ts";

const WORDS: Readonly<Record<string, string>> = {
  "topup.card": "Payment by card",
  "credit.grant": "Credit",
  "credit.expire": "Credit that expired",
  "refund.card": "Refund to the card",
  "refund.returned": "Refund that the bank did not take",
  "adjustment.credit": "Correction by the operator",
  "adjustment.debit": "Correction by the operator",
  "settle.receivable": "Settlement of a disputed payment",
  "dispute.card": "Payment disputed at the bank",
  "dispute.returned": "Disputed payment that was won",
  "charge.gpu": "GPU time without details",
  "charge.tokens": "Tokens without details",
};

/** True for what was bought; all else is what it was paid with. */
export function isCharge({ code }: InvoiceLine): boolean {
  return code.startsWith("charge.");
}

/** The line in words: those that were kept, or "Time on 2 x H100: 3600 s at 4.00 an hour", "Tokens of acme/chat: 12 requests, …". */
export function describeLine(line: InvoiceLine): string {
  return line.details.text ?? inWords(line);
}

function inWords({ kind, code, details }: InvoiceLine): string {
  if (kind === "GPU_TIME") {
    const { gpuCount = 0, gpuType = "", chargedMs = "0", nanosPerHour = "0", region = "" } = details;
    const what = gpuCount === 0 ? "CPU" : `${gpuCount} x ${gpuType === "UNSPECIFIED" ? "GPU" : gpuType}`;
    const where = region === "" ? "" : ` in ${region}`;
    const { shareNanos } = details;
    const share =
      shareNanos === undefined ? "" : `, and ${formatAmount(BigInt(shareNanos))} of the cache's savings`;
    return `Time on ${what}${where}: ${seconds(chargedMs)} s at ${formatAmount(BigInt(nanosPerHour))} an hour${share}`;
  }
  if (kind === "TOKENS") {
    const { servedName = "", requests = "0", promptTokens = "0", cachedTokens = "0" } = details;
    const { completionTokens = "0", inputNanosPerMillion: input, outputNanosPerMillion: output } = details;
    const prices =
      input === undefined || output === undefined
        ? ""
        : `, a million at ${formatAmount(BigInt(input))} in, ${formatAmount(BigInt(details.cachedNanosPerMillion ?? 0))} cached, ${formatAmount(BigInt(output))} out`;
    const count = requests === "1" ? "1 request" : `${requests} requests`;
    return `Tokens of ${servedName}: ${count}, ${promptTokens} in, ${cachedTokens} of them cached, ${completionTokens} out${prices}`;
  }
  const words = WORDS[code] ?? code;
  const times = details.movements === "1" ? "" : `, ${details.movements} times`;
  return details.note === undefined || details.note === "" ? `${words}${times}` : `${words}: ${details.note}`;
}

/** "40", "0.25": exact. */
function seconds(ms: string): string {
  return formatAmount((BigInt(ms) * NANOS_PER_UNIT) / 1_000n).replace(/\.00$/, "");
}

/** To the smallest coin, half away from zero: for people to read; nothing is ever computed with it. */
export function roundedAmount(nanos: bigint, currency: string): string {
  const coin = smallestCoinNanos(currency);
  const half = nanos < 0n ? -coin / 2n : coin / 2n;
  const digits = String(NANOS_PER_UNIT / coin).length - 1;
  const amount = formatAmount(((nanos + half) / coin) * coin);
  return digits === 0 ? amount.replace(/\.00$/, "") : amount.padEnd(amount.indexOf(".") + 1 + digits, "0");
}
