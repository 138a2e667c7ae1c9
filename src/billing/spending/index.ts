export { addCharges } from "./add-charges.ts";
export type { ChargedItem } from "./roll-up.ts";
export { type SpendingHistory, spendingHistory } from "./spending-history.ts";
export { type SpendingSummary, spendingSummaries } from "./spending-summary.ts";
