/** The payments port: what is asked of whoever moves money from cards. Every call is safe to repeat under its key. */

import type { BaseCtx } from "../../base/ctx.ts";
import type { Money } from "../../base/money.ts";

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

/** How a payment ended, or that its holder must act first. */
export type PaymentOutcome =
  | { readonly state: "succeeded" }
  /** `why` is a public sentence for the cardholder. */
  | { readonly state: "failed"; readonly why: string }
  | { readonly state: "requires_action" };

export interface Payment {
  /** The processor's id of it. */
  readonly processorId: string;
  /** What a browser confirms the payment with. A secret: goes to its user alone and is never stored. */
  readonly clientSecret: string;
  readonly outcome: PaymentOutcome;
}

export interface PaymentProcessor {
  /** Whose ids these are; stored beside each. */
  readonly name: string;
  /** The processor's record of a user, made once. */
  createCustomer(ctx: BaseCtx, input: { readonly userId: string }): Promise<{ readonly customerId: string }>;
  /** Throws PAYMENT_METHOD_UNKNOWN, CARD_DECLINED. Attaching an attached card changes nothing. */
  attachCard(ctx: BaseCtx, input: { readonly customerId: string; readonly cardId: string }): Promise<Card>;
  detachCard(ctx: BaseCtx, input: { readonly customerId: string; readonly cardId: string }): Promise<void>;
  /** The same key always gives the same payment: money is taken once. Throws only when the outcome is not known. */
  pay(
    ctx: BaseCtx,
    input: {
      readonly key: string;
      readonly customerId: string;
      readonly cardId: string;
      readonly money: Money;
    },
  ): Promise<Payment>;
}
