/** Stripe's own account: its lines (https://docs.stripe.com/reports/balance-transaction-types), what is in it, and payouts. */
import type { Stripe } from "stripe";
import type { Money } from "../../../base/money.ts";
import type { Payout, ProcessorNews, ProcessorTransaction, TransactionSubject } from "../processor-news.ts";
import { fromStripe } from "./amounts.ts";
import { dateOf, idOf, PAYMENT_KEY, REFUND_KEY } from "./convert.ts";
import { asked, found } from "./faults.ts";
import { createdIn, listed, PAGE } from "./lists.ts";

/** Issuing, prefunding and risk reserves have balances of their own, which none of ours go through. */
const BALANCE_TYPE = "payments";

/** By Stripe's reporting categories (https://docs.stripe.com/reports/reporting-categories). */
const LANES: Readonly<Record<string, ProcessorTransaction["lane"]>> = {
  charge: "payment",
  refund: "refund",
  refund_failure: "refund",
  dispute: "dispute",
  dispute_reversal: "dispute",
  fee: "fee",
  tax: "fee",
  network_cost: "fee",
  payout: "bank",
  payout_reversal: "bank",
  topup: "bank",
  topup_reversal: "bank",
};

export function stripeBalance(
  stripe: Stripe,
): Pick<ProcessorNews, "listTransactions" | "balances" | "payout"> {
  return {
    async listTransactions(_ctx, span) {
      const expand = ["data.source"];
      const list = stripe.balanceTransactions.list({ created: createdIn(span), expand, limit: PAGE });
      const { rows, whole } = await listed(list, (one) => (counts(one) ? [transactionOf(one)] : []));
      return { rows: rows.flat().toReversed(), whole };
    },
    async balances() {
      const { available, pending } = await asked(() => stripe.balance.retrieve());
      const totals = new Map<string, bigint>();
      for (const { amount, currency } of [...available, ...pending]) {
        const money = fromStripe(amount, currency);
        totals.set(money.currency, (totals.get(money.currency) ?? 0n) + money.nanos);
      }
      return [...totals].map(([currency, nanos]): Money => ({ currency, nanos }));
    },
    async payout(_ctx, id) {
      const expand = ["balance_transaction", "failure_balance_transaction"];
      const payout = await found(() => stripe.payouts.retrieve(id, { expand }));
      return payout && payoutOf(payout);
    },
  };
}

function payoutOf(payout: Stripe.Payout): Payout {
  const lines = [payout.balance_transaction, payout.failure_balance_transaction];
  return {
    payoutId: payout.id,
    money: fromStripe(payout.amount, payout.currency),
    returned: payout.status === "failed" || payout.status === "canceled",
    failure: payout.failure_code ?? "",
    transactions: lines
      .filter((line) => typeof line === "object" && line !== null)
      .filter(counts)
      .map(transactionOf),
  };
}

/** Before balances had types, all of them were of payments. */
function counts({ balance_type: type }: { readonly balance_type?: string }): boolean {
  return type === undefined || type === BALANCE_TYPE;
}

function transactionOf(line: Stripe.BalanceTransaction): ProcessorTransaction {
  const { reporting_category: category } = line;
  const subject = subjectOf(line.source);
  return {
    transactionId: line.id,
    type: line.type,
    lane: (Object.hasOwn(LANES, category) ? LANES[category] : undefined) ?? "other",
    subject: subject?.subject,
    subjectId: subject?.id ?? idOf(line.source) ?? "",
    gross: fromStripe(line.amount, line.currency),
    feeNanos: fromStripe(line.fee, line.currency).nanos,
    at: dateOf(line.created),
  };
}

/** A charge is told by its payment, since that is what we know. */
function subjectOf(
  source: Stripe.BalanceTransaction["source"],
): { readonly id: string; readonly subject: TransactionSubject } | undefined {
  if (typeof source !== "object" || source === null) return undefined;
  if (source.object !== "charge" && source.object !== "refund" && source.object !== "dispute")
    return undefined;
  const paymentId = idOf(source.payment_intent) ?? "";
  const name = { charge: PAYMENT_KEY, refund: REFUND_KEY, dispute: "" }[source.object];
  const subject = {
    key: source.metadata?.[name] ?? "",
    paymentId,
    money: fromStripe(source.amount, source.currency),
  };
  return { id: source.object === "charge" ? paymentId : source.id, subject };
}
