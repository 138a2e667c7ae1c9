export { approveAdjustment, type DecisionInput, rejectAdjustment } from "./decide-adjustment.ts";
export { expireAdjustments } from "./expire-adjustments.ts";
export { grantAlone } from "./grant-alone.ts";
export { adjustmentsQuery, getAdjustment, listAdjustments } from "./list-adjustments.ts";
export type { Adjustment, AdjustmentState } from "./model.ts";
export { type ProposedAdjustment, proposeAdjustment } from "./propose-adjustment.ts";
