export {
  attachCard,
  cardExpired,
  cardMissing,
  customerOf,
  detachCard,
  isExpired,
  listCards,
  setDefaultCard,
} from "./cards.ts";
export type { Card, Payment, PaymentOutcome, PaymentProcessor } from "./processor.ts";
export { type CardOnFile, hasTestMoney } from "./store.ts";
export { testPayments } from "./test-processor.ts";
export { currencyMismatch, resumePayments, type TopUp, type TopUpInput, topUp } from "./top-up.ts";
