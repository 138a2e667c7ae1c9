export type { BalanceLine } from "./balances.ts";
export type { Finding, FindingKind } from "./compare.ts";
export { differs, RECONCILED_DAYS_MAX, reconcile } from "./reconcile.ts";
export { type LastReconciliation, lastReconciliation, type Reconciliation } from "./store.ts";
