/** The ledger's words. The table ledger_movement says between which accounts each code moves money. */

/** Every movement's stable code. */
export const MOVEMENTS = [
  "topup.card",
  "credit.grant",
  "credit.expire",
  "credit.split",
  "charge.gpu",
  "charge.tokens",
  "refund.card",
  "refund.returned",
  "refund.receivable",
  "dispute.card",
  "dispute.receivable",
  "dispute.settled",
  "dispute.returned",
  "settle.receivable",
  "adjustment.credit",
  "adjustment.debit",
  "writeoff.unfunded",
  "writeoff.late_usage",
  "fee.processor",
  "fee.returned",
  "payout.processor",
  "payout.returned",
  "refund.processor",
  "refund.unpaid",
  "exchange.sold",
  "exchange.bought",
  "unassigned.in",
  "unassigned.out",
] as const;

export type MovementCode = (typeof MOVEMENTS)[number];

export type AccountKind =
  | "user"
  | "credit"
  | "receivable"
  | "revenue.gpu"
  | "revenue.tokens"
  | "processor.clearing"
  | "processor.fees"
  | "processor.unassigned"
  | "bank"
  | "exchange"
  | "credit.granted"
  | "refunds"
  | "adjustments"
  | "writeoff.unfunded"
  | "writeoff.late_usage";

export type HoldPurpose = "gpu.window" | "slice" | "refund";

export interface Balance {
  readonly currency: string;
  /** Everything that is there, holds included; credit that has expired is not. */
  readonly totalNanos: bigint;
  readonly heldNanos: bigint;
  /** totalNanos − heldNanos; never below zero. */
  readonly availableNanos: bigint;
  /** What of the total is credit: spent before card money, and never paid out. */
  readonly creditNanos: bigint;
  /** Card money that is neither spent nor held: what can go back to cards, and what debts are paid with. */
  readonly cardAvailableNanos: bigint;
}

/** The balance of an account that has never been used. */
export function emptyBalance(currency: string): Balance {
  const none = { totalNanos: 0n, heldNanos: 0n, availableNanos: 0n };
  return { currency, ...none, creditNanos: 0n, cardAvailableNanos: 0n };
}
