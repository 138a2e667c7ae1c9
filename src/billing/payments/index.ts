export {
  type AutoTopUp,
  type AutoTopUpInput,
  getAutoTopUp,
  runAutoTopUps,
  setAutoTopUp,
} from "./auto-topup/index.ts";
export { type CardExpiry, expiryOf, isExpired } from "./card-expiry.ts";
export {
  attachCard,
  cardExpired,
  cardMissing,
  createSetupIntent,
  customerIdsOf,
  customerOf,
  detachCard,
  listCards,
  setDefaultCard,
} from "./cards.ts";
export { accountRestricted, debtOf } from "./debt.ts";
export type { DisputePhase } from "./dispute-phase.ts";
export { resumePayments } from "./drive-payment.ts";
export { resumeRefunds } from "./drive-refund.ts";
export { hearEvent } from "./hear-event.ts";
export { disputesQuery, listDisputes, listRefunds, refundsQuery } from "./list-records.ts";
export { pollEvents } from "./poll-events.ts";
export type {
  Card,
  PayInput,
  Payment,
  PaymentFailure,
  PaymentOutcome,
  PaymentProcessor,
  Refund,
  RefundInput,
  RefundOutcome,
} from "./processor.ts";
export type { ProcessorEvent, ProcessorNews } from "./processor-news.ts";
export {
  type BalanceLine,
  differs,
  type LastReconciliation,
  lastReconciliation,
  RECONCILED_DAYS_MAX,
  type Reconciliation,
  reconcile,
} from "./reconcile/index.ts";
export type { DisputeRecord, RefundRecord } from "./records-store.ts";
export { type RefundPaymentInput, refundPayment } from "./refund-payment.ts";
export type { RefundRow } from "./refund-store.ts";
export { type CardOnFile, hasTestMoney } from "./store.ts";
export { type StripeSettings, stripeMode, stripePayments } from "./stripe/index.ts";
export { testPayments } from "./test-processor.ts";
export { currencyMismatch, type TopUp, type TopUpInput, topUp } from "./top-up.ts";
export { bookProcessorLines } from "./transactions/index.ts";
export { warnOfExpiry } from "./warn-cards.ts";
