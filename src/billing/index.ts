export {
  type Adjustment,
  type AdjustmentState,
  approveAdjustment,
  expireAdjustments,
  type ProposedAdjustment,
  proposeAdjustment,
  rejectAdjustment,
} from "./adjustments/index.ts";
export {
  balanceOf,
  balancesOf,
  type MoneyQuestion,
  type MoneyVerdict,
  moneyVerdict,
} from "./balance.ts";
export {
  type BookCheck,
  CHECKS,
  type CheckBooksInput,
  type CheckName,
  checkBooks,
  type Finding,
  lastCheck,
} from "./books/index.ts";
export {
  type Budget,
  type BudgetKind,
  type BudgetPeriod,
  type BudgetSubject,
  type BudgetUse,
  budgetRoomSince,
  budgetSubjects,
  listBudgets,
  type NewBudget,
  removeBudget,
  setBudget,
} from "./budgets/index.ts";
export { marginReport, type NewProviderCost, type ProviderCost, setProviderCost } from "./costs/index.ts";
export {
  type Credit,
  type CreditInput,
  expireCredit,
  grantCredit,
  listCredit,
  warnExpiry,
} from "./credit/index.ts";
export { closeMonths, type InvoiceSettings } from "./invoices/index.ts";
export {
  auditLedger,
  type Balance,
  type LedgerAudit,
  rebuildBalances,
  sealTransfers,
  selectUnsealed,
} from "./ledger/index.ts";
export {
  closeSlice,
  endSlot,
  ensureWindowHeld,
  holdNextWindow,
  ingestUsage,
  type LeaseInput,
  leaseSlice,
  meterProbe,
  meterProbes,
  recallSlices,
  SLICE_SETTLE_AFTER_MS,
  SLICE_SPEND_MS,
  type Slice,
  type SlicePurpose,
  type SlotTime,
  settleSlices,
  slotTime,
  type UsageRecord,
  type WindowInput,
} from "./metering/index.ts";
export { type CardNews, type News, type TellNews, tellNews } from "./news.ts";
export {
  type AutoTopUp,
  type AutoTopUpInput,
  attachCard,
  type BalanceLine,
  bookProcessorLines,
  type Card,
  type CardOnFile,
  customerIdsOf,
  detachCard,
  differs,
  getAutoTopUp,
  hearEvent,
  type LastReconciliation,
  lastReconciliation,
  listCards,
  type Payment,
  type PaymentOutcome,
  type PaymentProcessor,
  pollEvents,
  RECONCILED_DAYS_MAX,
  type Reconciliation,
  type RefundPaymentInput,
  type RefundRow,
  reconcile,
  refundPayment,
  resumePayments,
  resumeRefunds,
  runAutoTopUps,
  type StripeSettings,
  setAutoTopUp,
  setDefaultCard,
  stripePayments,
  type TopUpInput,
  testPayments,
  topUp,
  warnOfExpiry,
} from "./payments/index.ts";
export {
  type GpuPrice,
  type GpuPriceVersion,
  gpuPrice,
  listTokenPrices,
  type NewGpuPrice,
  type NewTokenPrice,
  type Provider,
  removeGpuPrice,
  removeTokenPrice,
  replicaNanosPerHour,
  setGpuPrice,
  setTokenPrice,
  type TokenPriceVersion,
  tokenPrice,
} from "./pricing/index.ts";
export type { GpuReceipt, Receipt, TokenReceipt } from "./receipt-store.ts";
export { getReceipt, listReceipts, receiptsQuery } from "./receipts.ts";
export { type BillingRoutesDeps, billingRoutes } from "./rpc.ts";
export { type BudgetedThings, setKeyBudgets } from "./rpc-budgets.ts";
export { moneyCameSince, type Runway, runwayOf, watchRunways } from "./runway/index.ts";
export { type BillingSettings, configureBilling, type PaymentsMode, readSettings } from "./settings.ts";
export { pruneSpending } from "./spending/index.ts";
export { type StatementQuery, statement, statementQuery } from "./statement.ts";
export type { StatementLine } from "./statement-store.ts";
