/** The part of the payments port for what happens at the processor by itself: events, disputes, and lists to compare with. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { Money } from "../../base/money.ts";
import type { Card, Payment, Refund } from "./processor.ts";

/** What an event is about; its state is read from the processor, never taken from the event. */
export interface EventSubject {
  /** `other`: nothing that we keep. */
  readonly kind: "payment" | "refund" | "dispute" | "card" | "payout" | "other";
  /** The processor's id of it. */
  readonly id: string;
}

export interface ProcessorEvent {
  readonly eventId: string;
  readonly type: string;
  readonly at: Date;
  readonly subject: EventSubject;
}

/** A payment as the processor lists it. */
export interface ListedPayment extends Payment {
  /** Ours, as `pay` gave it; "" for a payment that is not of our making. */
  readonly key: string;
  readonly customerId: string;
  /** What was asked for. */
  readonly money: Money;
  readonly createdAt: Date;
}

export interface ListedRefund extends Refund {
  /** Ours, as `refund` gave it; "" for one that was made at the processor. */
  readonly key: string;
  readonly paymentId: string;
  readonly money: Money;
  readonly createdAt: Date;
}

export interface Dispute {
  readonly disputeId: string;
  readonly paymentId: string;
  readonly money: Money;
  /** The processor's words. */
  readonly status: string;
  readonly reason: string;
  /** True while the processor keeps its amount from us: an inquiry does not, nor a dispute that was won. */
  readonly taken: boolean;
  readonly createdAt: Date;
}

/** A line of the processor's own account: something that moved its balance. It never changes. */
export interface ProcessorTransaction {
  readonly transactionId: string;
  /** The processor's word for it. */
  readonly type: string;
  /** `bank`: between the processor and the operator's bank account, either way; `other`: nothing that these books know. */
  readonly lane: "payment" | "refund" | "dispute" | "fee" | "bank" | "other";
  /** What it is about; undefined for what has no payment behind it. */
  readonly subject: TransactionSubject | undefined;
  /** The processor's id of what it is about, whatever that is; "" for nothing. */
  readonly subjectId: string;
  /** Signed: what it adds to the balance before the fee, in the currency that the balance is kept in. */
  readonly gross: Money;
  /** In the same currency; above zero: taken. */
  readonly feeNanos: bigint;
  readonly at: Date;
}

export interface TransactionSubject {
  /** Our key of the payment or refund; "" for what is not of our making. */
  readonly key: string;
  readonly paymentId: string;
  /** The amount of the payment, refund or dispute in its own currency; above zero. */
  readonly money: Money;
}

/** Money on its way to the operator's bank. */
export interface Payout {
  readonly payoutId: string;
  readonly money: Money;
  /** True: the bank sent it back, or it was cancelled. */
  readonly returned: boolean;
  /** The processor's code of why; "" where it gives none. */
  readonly failure: string;
  /** What it did to the balance so far. */
  readonly transactions: readonly ProcessorTransaction[];
}

/** A span of time: from ≤ t < until. */
export interface Span {
  readonly from: Date;
  readonly until: Date;
}

/** A list read to its end, or to the bound that the processor's side sets; `whole` is false when the bound cut it. */
export interface Listed<T> {
  readonly rows: readonly T[];
  readonly whole: boolean;
}

export interface ProcessorNews {
  /**
   * Reads a delivered event. Throws WEBHOOK_REFUSED when its signature is missing, wrong or too old. Undefined where this
   * installation knows no secret to verify with.
   */
  readonly readEvent?: (
    ctx: BaseCtx,
    delivery: { readonly body: Buffer; readonly signature: string },
  ) => ProcessorEvent;
  /** Events of the span, oldest first. */
  listEvents(ctx: BaseCtx, span: Span): Promise<Listed<ProcessorEvent>>;
  payment(ctx: BaseCtx, paymentId: string): Promise<ListedPayment | undefined>;
  /** Ends a payment that waits for its cardholder. Throws when it has ended meanwhile. */
  cancelPayment(ctx: BaseCtx, paymentId: string): Promise<ListedPayment>;
  refund(ctx: BaseCtx, refundId: string): Promise<ListedRefund | undefined>;
  dispute(ctx: BaseCtx, disputeId: string): Promise<Dispute | undefined>;
  /** The card and whose it is; undefined for one that is gone or nobody's. */
  card(
    ctx: BaseCtx,
    cardId: string,
  ): Promise<{ readonly card: Card; readonly customerId: string } | undefined>;
  listPayments(ctx: BaseCtx, span: Span): Promise<Listed<ListedPayment>>;
  listRefunds(ctx: BaseCtx, span: Span): Promise<Listed<ListedRefund>>;
  listDisputes(ctx: BaseCtx, span: Span): Promise<Listed<Dispute>>;
  /** Lines of the balance of the span, oldest first. */
  listTransactions(ctx: BaseCtx, span: Span): Promise<Listed<ProcessorTransaction>>;
  /** What the processor has of ours now, by currency: what can be paid out and what can't yet. */
  balances(ctx: BaseCtx): Promise<readonly Money[]>;
  payout(ctx: BaseCtx, payoutId: string): Promise<Payout | undefined>;
}
