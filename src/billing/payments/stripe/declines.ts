/** Why a card did not pay, in words for its holder (codes: https://docs.stripe.com/declines/codes and /error-codes). */
import type { PaymentFailure } from "../processor.ts";

type Told = Pick<PaymentFailure, "reason" | "why">;

const declined = (why: string): Told => ({ reason: "CARD_DECLINED", why });

const ASK_BANK = declined("The bank declined the payment without a reason. Ask it, or use another card.");
const NO_MONEY = declined("The card's account doesn't have enough money. Use another card or amount.");
const OVER_LIMIT = declined(
  "The card's limit is reached. Wait for its next period, ask the bank, or use another card.",
);
const EXPIRED = declined("The bank says that the card has expired. Use another card.");
const WRONG_DATA = declined("The card's number, date or security code is wrong. Add the card again.");
const NOT_FOR_THIS = declined(
  "The card can't be used for this kind of payment or currency. Use another card.",
);
const LATER = declined("The card could not be charged just now. Try again in a few minutes.");
const CONFIRM: Told = {
  reason: "CARD_NEEDS_ACTION",
  why: "The bank wants the cardholder to confirm this payment. Pay it yourself in a browser, or use another card.",
};
const NOT_CONFIRMED = declined(
  "The payment was not confirmed with the bank. Try again, or use another card.",
);

/**
 * Codes that are not here are told as the bank's refusal without a reason; so are, on purpose, lost_card, stolen_card,
 * pickup_card and fraudulent, since whoever holds such a card must not learn it from us.
 */
const TOLD: Readonly<Record<string, Told>> = {
  insufficient_funds: NO_MONEY,
  card_velocity_exceeded: OVER_LIMIT,
  withdrawal_count_limit_exceeded: OVER_LIMIT,
  expired_card: EXPIRED,
  invalid_expiry_month: WRONG_DATA,
  invalid_expiry_year: WRONG_DATA,
  incorrect_number: WRONG_DATA,
  invalid_number: WRONG_DATA,
  incorrect_cvc: WRONG_DATA,
  invalid_cvc: WRONG_DATA,
  incorrect_zip: WRONG_DATA,
  card_not_supported: NOT_FOR_THIS,
  currency_not_supported: NOT_FOR_THIS,
  transaction_not_allowed: NOT_FOR_THIS,
  service_not_allowed: NOT_FOR_THIS,
  invalid_amount: declined("The bank doesn't take this amount. Choose another one, or use another card."),
  processing_error: LATER,
  issuer_not_available: LATER,
  reenter_transaction: LATER,
  try_again_later: LATER,
  authentication_required: CONFIRM,
  online_or_offline_pin_required: CONFIRM,
  payment_intent_authentication_failure: NOT_CONFIRMED,
  duplicate_transaction: declined(
    "The bank saw the same payment a moment ago. Look at your transactions before you try again.",
  ),
};

/** By the bank's own code where there is one, else by Stripe's. */
export function declineOf(code: string | undefined, declineCode: string | undefined): PaymentFailure {
  const told = toldOf(declineCode) ?? toldOf(code) ?? ASK_BANK;
  return { state: "failed", ...told };
}

function toldOf(code: string | undefined): Told | undefined {
  return code !== undefined && Object.hasOwn(TOLD, code) ? TOLD[code] : undefined;
}
