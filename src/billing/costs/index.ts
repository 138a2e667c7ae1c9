export { COSTS_QUERY, listProviderCosts } from "./list-costs.ts";
export { type MarginReport, marginReport } from "./margin-report.ts";
export type { MarginRow, ProviderCost } from "./model.ts";
export { type NewProviderCost, setProviderCost } from "./set-provider-cost.ts";
