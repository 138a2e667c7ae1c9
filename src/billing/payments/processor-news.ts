/** The part of the payments port for what happens at the processor by itself: events, disputes, and lists to compare with. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { Money } from "../../base/money.ts";
import type { Card, Payment, Refund } from "./processor.ts";

/** What an event is about; its state is read from the processor, never taken from the event. */
export interface EventSubject {
  /** `other`: nothing that we keep. */
  readonly kind: "payment" | "refund" | "dispute" | "card" | "other";
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
}
