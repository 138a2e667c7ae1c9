export { addCharges } from "./add-charges.ts";
export { dayRange } from "./day-range.ts";
export { listModelUsage, listUsageHistory, type UsageQuery, usageQuery } from "./list-usage.ts";
export { pruneSpending } from "./prune-buckets.ts";
export type { ChargedItem } from "./roll-up.ts";
export { type SpendingHistory, spendingHistory } from "./spending-history.ts";
export { type SpendingSummary, spendingSummaries } from "./spending-summary.ts";
export type { DailyUsageSum, ModelUsageSum, UsageSum } from "./usage-store.ts";
