export type { Finding, FindingKind } from "./compare.ts";
export { RECONCILED_DAYS_MAX, reconcile } from "./reconcile.ts";
export { type LastReconciliation, lastReconciliation, type Reconciliation } from "./store.ts";
