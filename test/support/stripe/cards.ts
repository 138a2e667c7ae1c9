/** Test cards and their fates (https://docs.stripe.com/testing), by the id that tests attach. */
export interface Fate {
  readonly brand: string;
  readonly last4: string;
  readonly expYear?: number;
  /** The bank's code when the card is put on file. */
  readonly attachDeclined?: string;
  /** The bank's code when it is charged. */
  readonly chargeDeclined?: string;
  /** The bank asks the cardholder at each payment. */
  readonly asksHolder?: boolean;
  /** How its refunds begin; `pending` ones end by `refundEnds`. */
  readonly refunds?: "pending";
}

export const FATES: Readonly<Record<string, Fate>> = {
  pm_card_visa: { brand: "visa", last4: "4242" },
  pm_card_mastercard: { brand: "mastercard", last4: "4444" },
  pm_card_amex: { brand: "amex", last4: "8431" },
  pm_card_chargeDeclined: { brand: "visa", last4: "0002", attachDeclined: "generic_decline" },
  pm_card_chargeCustomerFail: { brand: "visa", last4: "0341", chargeDeclined: "generic_decline" },
  pm_card_chargeDeclinedInsufficientFunds: {
    brand: "visa",
    last4: "9995",
    chargeDeclined: "insufficient_funds",
  },
  pm_card_chargeDeclinedStolenCard: { brand: "visa", last4: "9979", chargeDeclined: "stolen_card" },
  pm_card_chargeDeclinedExpiredCard: { brand: "visa", last4: "0069", chargeDeclined: "expired_card" },
  pm_card_authenticationRequired: { brand: "visa", last4: "3184", asksHolder: true },
  pm_card_pendingRefund: { brand: "visa", last4: "5126", refunds: "pending" },
  pm_card_old: { brand: "visa", last4: "0077", expYear: 2020 },
};

export const EXP_YEAR = 2099;
