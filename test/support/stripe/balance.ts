/** The stand-in's own account: what its lines add up to, what it charges for its work, and payouts. */
import { type Params, textOf } from "./http.ts";

/** Stripe's price of a card in the United States (https://stripe.com/pricing), and of a dispute. */
const CHARGE_FEE_PERCENT = 2.9;
const CHARGE_FEE_CENTS = 30;
const DISPUTE_FEE_CENTS = 1_500;

export interface Line {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly amount: number;
  readonly fee: number;
  readonly net: number;
  readonly currency: string;
  readonly type: string;
  readonly reporting_category: string;
  readonly source: string;
  [field: string]: unknown;
}

/** The currency that the balance is kept in where it is another than the payment's, and what one unit of the payment's buys. */
export interface Settlement {
  readonly currency: string;
  readonly rate: number;
}

/** Type and reporting category of what the stand-in does: https://docs.stripe.com/reports/reporting-categories. */
const KINDS = {
  charge: ["charge", "charge"],
  refund: ["refund", "refund"],
  refundFailure: ["refund_failure", "refund_failure"],
  dispute: ["adjustment", "dispute"],
  disputeReversal: ["adjustment", "dispute_reversal"],
  payout: ["payout", "payout"],
  payoutFailure: ["payout_failure", "payout_reversal"],
  payoutCancel: ["payout_cancel", "payout_reversal"],
  stripeFee: ["stripe_fee", "fee"],
  reserve: ["reserve_transaction", "risk_reserved_funds"],
} as const;

export type LineKind = keyof typeof KINDS;

export interface Movement {
  readonly kind: LineKind;
  readonly source: string;
  /** Signed, in the currency of what it is about. */
  readonly amount: number;
  readonly currency: string;
}

/** Amounts of a line, as the balance is kept. */
export function lineFields(movement: Movement, settlement: Settlement | undefined) {
  const { kind, source } = movement;
  const fromBalance = kind.startsWith("payout") || kind === "stripeFee" || kind === "reserve";
  const changed = fromBalance ? undefined : settlement;
  const amount = changed ? Math.round(movement.amount * changed.rate) : movement.amount;
  const fee = feeOf(kind, amount);
  const [type, category] = KINDS[kind];
  return {
    amount,
    fee,
    net: amount - fee,
    currency: changed?.currency ?? movement.currency,
    exchange_rate: changed?.rate ?? null,
    type,
    reporting_category: category,
    balance_type: "payments",
    status: "pending",
    source,
  };
}

function feeOf(kind: LineKind, amount: number): number {
  if (kind === "charge") return Math.round((amount * CHARGE_FEE_PERCENT) / 100) + CHARGE_FEE_CENTS;
  return kind === "dispute" ? DISPUTE_FEE_CENTS : 0;
}

/** As https://docs.stripe.com/api/balance/balance_object: nothing of a stand-in has settled yet. */
export function balanceOfLines(lines: Iterable<Line>) {
  const totals = new Map<string, number>();
  for (const { currency, net } of lines) totals.set(currency, (totals.get(currency) ?? 0) + net);
  const pending = [...totals].map(([currency, amount]) => ({
    currency,
    amount,
    source_types: { card: amount },
  }));
  const available = pending.map(({ currency }) => ({ currency, amount: 0, source_types: { card: 0 } }));
  return { object: "balance", available, pending, livemode: false };
}

/** `expand[]=balance_transaction` puts the thing where its id was. */
export function expands(params: Params, name: string): boolean {
  const { expand } = params;
  if (expand === undefined) return false;
  const names = typeof expand === "string" ? [expand] : Object.keys(expand).map((at) => textOf(expand, at));
  return names.includes(name);
}
