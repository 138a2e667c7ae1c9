export { addServed } from "./add-served.ts";
export { getModelMetrics, type ModelMetrics, type RangeName } from "./get-model-metrics.ts";
export { pruneServed } from "./prune-served.ts";
export { observabilityRoutes } from "./rpc.ts";
export type { ServedRequest } from "./served.ts";
