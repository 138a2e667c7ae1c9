/** The payments port: what is asked of whoever moves money from cards. Every call is safe to repeat under its key. */

import type { BaseCtx } from "../../base/ctx.ts";
import type { Money } from "../../base/money.ts";
import type { Reason } from "../../base/status.ts";
import type { ProcessorNews } from "./processor-news.ts";

/** A card as the processor describes it; never its number. */
export interface Card {
  readonly cardId: string;
  readonly brand: string;
  readonly last4: string;
  /** 1 to 12. */
  readonly expMonth: number;
  /** Four digits. */
  readonly expYear: number;
}

/** How a payment ended, or what it waits for. */
export type PaymentOutcome =
  | { readonly state: "succeeded" }
  | PaymentFailure
  /** The cardholder confirms it in a browser, with the client secret. */
  | { readonly state: "requires_action" }
  /** Under way at the processor; it will tell. */
  | { readonly state: "pending" };

export interface PaymentFailure {
  readonly state: "failed";
  readonly reason: Extract<
    Reason,
    | "CARD_DECLINED"
    | "CARD_EXPIRED"
    | "CARD_NEEDS_ACTION"
    | "PAYMENT_METHOD_UNKNOWN"
    | "AMOUNT_INVALID"
    | "UNAVAILABLE"
  >;
  /** A public sentence for the cardholder, with the way out. */
  readonly why: string;
}

export interface Payment {
  /** The processor's id of it; "" for one that the processor refused to make. */
  readonly processorId: string;
  /** What a browser confirms the payment with. A secret: goes to its user alone and is never stored. */
  readonly clientSecret: string;
  readonly outcome: PaymentOutcome;
}

export interface PayInput {
  readonly key: string;
  readonly customerId: string;
  readonly cardId: string;
  readonly money: Money;
  /** True: the cardholder is not there to confirm anything. */
  readonly offSession: boolean;
}

/** How a refund ended. */
export type RefundOutcome =
  | { readonly state: "succeeded" }
  | { readonly state: "pending" }
  /** `why` is a public sentence. */
  | { readonly state: "failed"; readonly why: string };

export interface Refund {
  /** The processor's id of it; "" for one that the processor refused to make. */
  readonly processorId: string;
  readonly outcome: RefundOutcome;
}

export interface RefundInput {
  readonly key: string;
  /** The processor's id of the payment. */
  readonly paymentId: string;
  readonly money: Money;
}

export interface PaymentProcessor {
  /** Whose ids these are; stored beside each. */
  readonly name: "test" | "stripe" | "stripe_test";
  /** The processor's record of a user, made once. */
  createCustomer(ctx: BaseCtx, input: { readonly userId: string }): Promise<{ readonly customerId: string }>;
  /** What a browser puts a card on file with, without paying. The secret goes to its user alone. */
  createSetupIntent(
    ctx: BaseCtx,
    input: { readonly key: string; readonly customerId: string },
  ): Promise<{ readonly setupIntentId: string; readonly clientSecret: string }>;
  /** Throws PAYMENT_METHOD_UNKNOWN, CARD_DECLINED. Attaching an attached card changes nothing. */
  attachCard(ctx: BaseCtx, input: { readonly customerId: string; readonly cardId: string }): Promise<Card>;
  /** Detaching a card that is gone changes nothing. */
  detachCard(ctx: BaseCtx, input: { readonly customerId: string; readonly cardId: string }): Promise<void>;
  /** Tells the processor which card of its record comes first. */
  makeDefault(ctx: BaseCtx, input: { readonly customerId: string; readonly cardId: string }): Promise<void>;
  /** The same key always gives the same payment: money is taken once. Throws only when the outcome is not known. */
  pay(ctx: BaseCtx, input: PayInput): Promise<Payment>;
  /** The payment that `pay` made under this key since then, if it did. Throws when that can't be known. */
  findPayment(
    ctx: BaseCtx,
    input: { readonly key: string; readonly customerId: string; readonly since: Date },
  ): Promise<Payment | undefined>;
  /** Gives money of a payment back. The same key gives the same refund. Throws only when the outcome is not known. */
  refund(ctx: BaseCtx, input: RefundInput): Promise<Refund>;
  /** The refund that `refund` made under this key, if it did. */
  findRefund(
    ctx: BaseCtx,
    input: { readonly key: string; readonly paymentId: string },
  ): Promise<Refund | undefined>;
  /** Absent where nothing ever happens but what was asked for. */
  readonly news?: ProcessorNews;
}
