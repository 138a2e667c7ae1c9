/** What is told of the processor's balance. None of it is a difference of payments, refunds or disputes: those have their own. */
import { formatMoney } from "../../../base/money.ts";
import type { ProcessorTransaction } from "../processor-news.ts";
import type { Outside, Unsettled } from "./balance-store.ts";
import type { Finding } from "./compare.ts";

const SAME = { processorNanos: 0n, ledgerNanos: 0n, differenceNanos: 0n };

export function lineBooked({ transactionId, gross, feeNanos }: ProcessorTransaction): Finding {
  const nanos = gross.nanos - feeNanos;
  const explanation = "The processor listed it late. It was read and booked now.";
  const amounts = { processorNanos: nanos, ledgerNanos: nanos, differenceNanos: 0n };
  return { kind: "REPAIRED", what: "line", id: transactionId, ...amounts, explanation };
}

export function lineGone(id: string): Finding {
  const explanation =
    "A line of the processor's balance is in our books, and the processor knows no such thing: are these keys of another account?";
  return { kind: "NOT_AT_PROCESSOR", what: "line", id, ...SAME, explanation };
}

export function notSettled({ lane, id, currency, nanos }: Unsettled): Finding {
  const beyond = formatMoney({ currency, nanos });
  const explanation = `The books have ${beyond} of it beyond the processor's balance. It is on its way; if it stays so for a day, compare it with the processor's dashboard.`;
  return { kind: "NOT_SETTLED", what: lane, id, ...SAME, explanation };
}

/** Booked as `processor.unassigned`, so that it explains itself. */
export function outsideLines({ type, currency, nanos, count }: Outside): Finding {
  const sum = formatMoney({ currency, nanos });
  const explanation =
    type === "opening"
      ? `The processor had ${sum} before these books began.`
      : `${count} lines of this kind, ${sum} in all, are not of these books: others use the processor's account, or it does something that these books have no word for.`;
  return { kind: "OUTSIDE", what: "line", id: `${type} ${currency}`, ...SAME, explanation };
}

export function notAsked(): Finding {
  const explanation =
    "The processor's balance could not be read, or never held still. Look in the log; its key needs to read balance, balance transactions and payouts.";
  return { kind: "NOT_ASKED", what: "balance", id: "", ...SAME, explanation };
}
