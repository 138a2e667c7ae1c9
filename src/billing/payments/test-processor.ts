/**
 * Play money: Stripe's well-known test cards (https://docs.stripe.com/testing), each with its known fate, and no network. It
 * keeps no state, so a payment repeated under its key ends as it did before. Fenced: see README.
 */
import { sha256 } from "../../base/id.ts";
import { StatusError } from "../../base/status.ts";
import type { Card, PaymentOutcome, PaymentProcessor, RefundOutcome } from "./processor.ts";

interface TestCard {
  readonly brand: string;
  readonly last4: string;
  readonly outcome: PaymentOutcome;
  /** Absent: far in the future. */
  readonly expYear?: number;
}

const SUCCEEDED: PaymentOutcome = { state: "succeeded" };
const SUCCEEDED_REFUND: RefundOutcome = { state: "succeeded" };
const DECLINED: PaymentOutcome = {
  state: "failed",
  reason: "CARD_DECLINED",
  why: "The bank declined the payment without a reason. Ask it, or use another card.",
};
/** There is no browser that could confirm it here. */
const CONFIRM: PaymentOutcome = {
  state: "failed",
  reason: "CARD_NEEDS_ACTION",
  why: "The bank wants the cardholder to confirm this payment, which test money can't do. Use another card.",
};
const EXP_YEAR = 2099;

const CARDS: Readonly<Record<string, TestCard>> = {
  pm_card_visa: { brand: "visa", last4: "4242", outcome: SUCCEEDED },
  pm_card_visa_debit: { brand: "visa", last4: "5556", outcome: SUCCEEDED },
  pm_card_mastercard: { brand: "mastercard", last4: "4444", outcome: SUCCEEDED },
  pm_card_amex: { brand: "amex", last4: "8431", outcome: SUCCEEDED },
  pm_card_visa_chargeDeclined: { brand: "visa", last4: "0002", outcome: DECLINED },
  pm_card_chargeDeclined: { brand: "visa", last4: "0002", outcome: DECLINED },
  pm_card_chargeDeclinedInsufficientFunds: {
    brand: "visa",
    last4: "9995",
    outcome: {
      state: "failed",
      reason: "CARD_DECLINED",
      why: "The card's account doesn't have enough money. Use another card or amount.",
    },
  },
  pm_card_chargeDeclinedExpiredCard: {
    brand: "visa",
    last4: "0069",
    outcome: {
      state: "failed",
      reason: "CARD_DECLINED",
      why: "The bank says that the card has expired. Use another card.",
    },
  },
  pm_card_authenticationRequired: { brand: "visa", last4: "3184", outcome: CONFIRM },
  // Ours: a card whose date is past, which Stripe's own list lacks.
  pm_card_slipwayExpired: { brand: "visa", last4: "0077", outcome: DECLINED, expYear: 2020 },
};

/** The processor of test money. */
export function testPayments(): PaymentProcessor {
  return {
    name: "test",
    createCustomer: async (_ctx, { userId }) => ({ customerId: `cus_test_${digest(userId)}` }),
    attachCard: async (_ctx, { cardId }) => described(cardId, cardOf(cardId)),
    detachCard: async () => {},
    makeDefault: async () => {},
    createSetupIntent: async (_ctx, { key }) => ({
      setupIntentId: `seti_test_${digest(key)}`,
      clientSecret: `seti_test_${digest(key)}_secret_test`,
    }),
    pay: async (_ctx, { key, cardId }) => ({
      processorId: `pi_test_${digest(key)}`,
      clientSecret: `pi_test_${digest(key)}_secret_test`,
      outcome: cardOf(cardId).outcome,
    }),
    // Paying again under the key is how a payment is found: it takes nothing twice.
    findPayment: async () => undefined,
    refund: async (_ctx, { key }) => ({ processorId: `re_test_${digest(key)}`, outcome: SUCCEEDED_REFUND }),
    findRefund: async () => undefined,
  };
}

function cardOf(cardId: string): TestCard {
  const card = Object.hasOwn(CARDS, cardId) ? CARDS[cardId] : undefined;
  if (card) return card;
  throw new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "PAYMENT_METHOD_UNKNOWN",
    message: `The test processor knows no such card. It knows ${Object.keys(CARDS).join(", ")}.`,
  });
}

function described(cardId: string, card: TestCard): Card {
  return { cardId, brand: card.brand, last4: card.last4, expMonth: 12, expYear: card.expYear ?? EXP_YEAR };
}

function digest(text: string): string {
  return sha256(text).toString("hex").slice(0, 24);
}
