export type { ProbeOutcome } from "./attempt.ts";
export { createModelChanges, MODELS_CHANNEL, type ModelChanges, ROUTES_CHANNEL } from "./changes.ts";
export { deleteModel } from "./delete-model.ts";
export { type DeployHooks, deployModel } from "./deploy-model.ts";
export { getModel } from "./get-model.ts";
export { findLeaks, type Leaks, tellLeaks } from "./leaks.ts";
export { LIMITS, type ModelLimits } from "./limits.ts";
export { type EventsPage, listEvents } from "./list-events.ts";
export { type ListModelsInput, listModels, type ModelsPage } from "./list-models.ts";
export type { Condition, Model, ModelEvent, ModelView, Place, Provider } from "./model.ts";
export {
  findModel,
  findModels,
  findModelsOf,
  findVisible,
  noteModelEvent,
  type OwnedModel,
} from "./owned-model.ts";
export type { DeployInput } from "./parse-deploy.ts";
export { pauseModel } from "./pause-model.ts";
export type {
  CompletionProbe,
  GpuPrice,
  ModelBilling,
  ModelNews,
  ModelStorage,
  ModelsDeps,
  MoneyVerdict,
  ProbeTarget,
  SlotInput,
  SlotTime,
  StatusMove,
  WindowInput,
} from "./ports.ts";
export { type Preflight, preflight } from "./preflight.ts";
export { httpCompletionProbe } from "./probe.ts";
export { type LogLine, readLogs } from "./read-logs.ts";
export type { ConditionReason } from "./reasons.ts";
export { reconcileDue } from "./reconcile/reconcile-due.ts";
export { runReconciler } from "./reconcile/run-reconciler.ts";
export { resumeModel, retryModel } from "./restart-model.ts";
export { resumePaid } from "./resume-paid.ts";
export { loadRoutes, type ModelRoute, type ReplicaRoute, type RouteQuery } from "./routes.ts";
export { type ModelRoutesDeps, modelRoutes } from "./rpc.ts";
export { type Desired, derive, MOVES, type ModelStatus, STATUSES } from "./states.ts";
export { installationId } from "./store/installation.ts";
export { type SweepInput, type SweepResult, sweep } from "./sweep.ts";
export { type UpdateInput, updateModel } from "./update-model.ts";
export { type WatchedEvent, watchEvents } from "./watch-events.ts";
