/**
 * Named points between two effects of one piece of work. In production reaching one does nothing; a crash test hands in
 * steps that kill the process at a name, and walks the whole list.
 */
export const STEPS = [
  // deploy
  "deploy.before-commit",
  "deploy.committed",
  // reconcile
  "reconcile.claimed",
  "reconcile.attempt-recorded",
  "reconcile.applied",
  "reconcile.observed",
  "reconcile.probed",
  "reconcile.window-held",
  "reconcile.window-opened",
  "reconcile.metered",
  "reconcile.window-captured",
  "reconcile.unrouted",
  "reconcile.removed",
  "reconcile.saved",
  // local driver
  "local.recorded",
  "local.spawned",
  "local.removing",
  // Kubernetes driver
  "kubernetes.recorded",
  "kubernetes.created",
  "kubernetes.removing",
  // Nebius driver
  "nebius.created",
  "nebius.removing",
  // Lambda Cloud driver
  "lambda.recorded",
  "lambda.created",
  "lambda.removing",
  // gateway
  "gateway.usage-written",
  "gateway.usage-shipped",
  "gateway.slice-leased",
  // webhooks
  "webhooks.claimed",
  "webhooks.sent",
  "webhooks.recorded",
] as const;

export type Step = (typeof STEPS)[number];

export interface Steps {
  reach(step: Step): void;
}

export const noSteps: Steps = { reach: () => {} };
