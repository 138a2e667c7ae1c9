/** Stripe's objects in our words. */
import type { Stripe } from "stripe";
import type { Card, PaymentOutcome, RefundOutcome } from "../processor.ts";
import type { Dispute, ListedPayment, ListedRefund } from "../processor-news.ts";
import { fromStripe } from "./amounts.ts";
import { declineOf } from "./declines.ts";

/** Names of our own keys in Stripe's metadata. */
export const PAYMENT_KEY = "slipway_payment";
export const REFUND_KEY = "slipway_refund";
export const USER_KEY = "slipway_user";

export function paymentOf(intent: Stripe.PaymentIntent): ListedPayment {
  return {
    processorId: intent.id,
    clientSecret: intent.client_secret ?? "",
    outcome: outcomeOf(intent),
    key: intent.metadata[PAYMENT_KEY] ?? "",
    customerId: idOf(intent.customer) ?? "",
    money: fromStripe(intent.amount, intent.currency),
    createdAt: dateOf(intent.created),
  };
}

function outcomeOf(intent: Stripe.PaymentIntent): PaymentOutcome {
  switch (intent.status) {
    case "succeeded":
      return { state: "succeeded" };
    case "requires_action":
      return { state: "requires_action" };
    case "requires_payment_method":
    case "requires_confirmation":
      return declineOf(intent.last_payment_error?.code, intent.last_payment_error?.decline_code);
    case "canceled":
      return {
        state: "failed",
        reason: "CARD_DECLINED",
        why: "The payment was cancelled before it was confirmed. Nothing was taken. Pay again if it is still wanted.",
      };
    default:
      return { state: "pending" };
  }
}

export function refundOf(refund: Stripe.Refund): ListedRefund {
  return {
    processorId: refund.id,
    outcome: refundOutcome(refund),
    key: refund.metadata?.[REFUND_KEY] ?? "",
    paymentId: idOf(refund.payment_intent) ?? "",
    money: fromStripe(refund.amount, refund.currency),
    createdAt: dateOf(refund.created),
  };
}

function refundOutcome({ status }: Stripe.Refund): RefundOutcome {
  if (status === "succeeded") return { state: "succeeded" };
  if (status === "failed" || status === "canceled") {
    return {
      state: "failed",
      why: "The card's bank did not take the money back. It is in the balance again.",
    };
  }
  return { state: "pending" };
}

/** What the processor keeps from us: not for an inquiry (`warning_…`), and not when it was won or averted. */
const TAKEN: ReadonlySet<string> = new Set([
  "needs_response",
  "under_review",
  "lost",
  "appeal_needs_response",
  "appeal_under_review",
]);

export function disputeOf(dispute: Stripe.Dispute): Dispute {
  return {
    disputeId: dispute.id,
    paymentId: idOf(dispute.payment_intent) ?? "",
    money: fromStripe(dispute.amount, dispute.currency),
    status: dispute.status,
    reason: dispute.reason,
    taken: TAKEN.has(dispute.status),
    createdAt: dateOf(dispute.created),
  };
}

/** Undefined for what is not a card. */
export function cardOf(method: Stripe.PaymentMethod): Card | undefined {
  const { card } = method;
  if (!card) return undefined;
  return {
    cardId: method.id,
    brand: card.brand,
    last4: card.last4,
    expMonth: card.exp_month,
    expYear: card.exp_year,
  };
}

/** Stripe gives an id, or the object where it was asked to expand it. */
export function idOf(reference: string | { readonly id: string } | null | undefined): string | undefined {
  return typeof reference === "string" ? reference : reference?.id;
}

/** Stripe's times are whole seconds. */
export function dateOf(seconds: number): Date {
  return new Date(seconds * 1_000);
}

export function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1_000);
}
