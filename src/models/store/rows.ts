/** Rows of this domain's tables as domain types, and back. */
import type { Selectable } from "kysely";
import type { Attempt, Model, ModelEvent, ModelSpec } from "../model.ts";
import type { AttemptTable, EventTable, ModelTable } from "./tables.ts";

/** What the reconciler reads of a model at each look. */
export const MODEL_COLUMNS = [
  "model.id",
  "model.deployment_id",
  "model.user_id",
  "model.name",
  "model.served_name",
  "model.driver",
  "model.provider",
  "model.region",
  "model.gpu_type",
  "model.gpu_count",
  "model.node_id",
  "model.desired",
  "model.desired_reason",
  "model.desired_at",
  "model.replicas",
  "model.generation",
  "model.start_number",
  "model.version",
  "model.status",
  "model.status_since",
  "model.reason",
  "model.message",
  "model.next_step",
  "model.reason_since",
  "model.deadline",
  "model.gave_up_reason",
  "model.gave_up_message",
  "model.waiting_since",
  "model.ready_replicas",
  "model.progress",
  "model.claim_epoch",
  "model.created_at",
  "model.updated_at",
] as const;
type ModelColumn = (typeof MODEL_COLUMNS)[number] extends `model.${infer Column}` ? Column : never;

export const SPEC_COLUMNS = [
  "model.description",
  "model.path",
  "model.wanted",
  "model.spec",
  "model.kv_cache",
  "model.cpu_offloading",
  "model.weights",
  "model.hardware",
  "model.plan",
  "model.api_key_sealed",
  "model.api_key_hash",
  "model.hf_token_sealed",
  "model.accepted_currency",
  "model.accepted_nanos_per_hour",
] as const;
type SpecColumn = (typeof SPEC_COLUMNS)[number] extends `model.${infer Column}` ? Column : never;

export type ModelRow = Pick<Selectable<ModelTable>, ModelColumn>;
export type SpecRow = Pick<Selectable<ModelTable>, SpecColumn>;

export function modelOf(row: ModelRow): Model {
  return {
    id: row.id,
    deploymentId: row.deployment_id,
    userId: row.user_id,
    name: row.name,
    servedName: row.served_name,
    place: {
      driver: row.driver,
      provider: row.provider,
      region: row.region,
      gpuType: row.gpu_type,
      gpuCount: row.gpu_count,
      nodeId: row.node_id,
    },
    desired: row.desired,
    desiredReason: row.desired_reason,
    desiredAt: row.desired_at,
    replicas: row.replicas,
    generation: row.generation,
    startNumber: row.start_number,
    version: row.version,
    status: row.status,
    statusSince: row.status_since,
    condition: {
      reason: row.reason,
      message: row.message,
      since: row.reason_since,
      deadline: row.deadline,
      nextStep: row.next_step,
    },
    gaveUp:
      row.gave_up_reason === null ? null : { reason: row.gave_up_reason, message: row.gave_up_message ?? "" },
    waitingSince: row.waiting_since,
    readyReplicas: row.ready_replicas,
    progress: row.progress,
    claimEpoch: row.claim_epoch,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function specOf(row: SpecRow): ModelSpec {
  return {
    description: row.description,
    path: row.path,
    wanted: row.wanted,
    spec: row.spec,
    kvCache: row.kv_cache,
    cpuOffloading: row.cpu_offloading,
    weights: row.weights,
    hardware: row.hardware,
    plan: row.plan,
    apiKeySealed: row.api_key_sealed,
    apiKeyHash: row.api_key_hash,
    hfTokenSealed: row.hf_token_sealed,
    accepted:
      row.accepted_currency === null || row.accepted_nanos_per_hour === null
        ? null
        : { currency: row.accepted_currency, nanosPerHour: row.accepted_nanos_per_hour },
  };
}

export function attemptOf(row: Selectable<AttemptTable>): Attempt {
  const { host, port, certificate_sha256: certificate } = row;
  return {
    name: row.name,
    modelId: row.model_id,
    slot: row.slot,
    number: row.number,
    generation: row.generation,
    startNumber: row.start_number,
    driver: row.driver,
    provider: row.provider,
    region: row.region,
    createdAt: row.created_at,
    engineKeySealed: row.engine_key_sealed,
    applyState: row.apply_state,
    appliedAt: row.applied_at,
    strandedUntil: row.stranded_until,
    provisionBy: row.provision_by,
    seen: row.seen,
    absentSince: row.absent_since,
    phase: row.phase,
    phaseSince: row.phase_since,
    detail: row.detail,
    progressDone: Number(row.progress_done),
    progressTotal: Number(row.progress_total),
    address:
      host === null || port === null
        ? null
        : { host, port, ...(certificate === null ? {} : { certificateSha256: certificate }) },
    readyAt: row.ready_at,
    routed: row.routed,
    windowEndsAt: row.window_ends_at,
    nextHeld: row.next_held,
    probeFailures: row.probe_failures,
    probeFailedSince: row.probe_failed_since,
    stoppedAt: row.stopped_at,
    graceMs: row.grace_ms,
    unroutedAt: row.unrouted_at,
    removeAskedAt: row.remove_asked_at,
    failure:
      row.failure_reason === null
        ? null
        : {
            reason: row.failure_reason,
            message: row.failure_message ?? "",
            retryable: row.failure_retryable ?? false,
          },
    failures: row.failures,
    closedAt: row.closed_at,
  };
}

/** Columns of an attempt that change in its life. */
export function attemptColumns(attempt: Attempt) {
  return {
    apply_state: attempt.applyState,
    applied_at: attempt.appliedAt,
    stranded_until: attempt.strandedUntil,
    provision_by: attempt.provisionBy,
    seen: attempt.seen,
    absent_since: attempt.absentSince,
    phase: attempt.phase,
    phase_since: attempt.phaseSince,
    detail: attempt.detail,
    progress_done: attempt.progressDone,
    progress_total: attempt.progressTotal,
    host: attempt.address?.host ?? null,
    port: attempt.address?.port ?? null,
    certificate_sha256: attempt.address?.certificateSha256 ?? null,
    ready_at: attempt.readyAt,
    routed: attempt.routed,
    window_ends_at: attempt.windowEndsAt,
    next_held: attempt.nextHeld,
    probe_failures: attempt.probeFailures,
    probe_failed_since: attempt.probeFailedSince,
    stopped_at: attempt.stoppedAt,
    grace_ms: attempt.graceMs,
    unrouted_at: attempt.unroutedAt,
    remove_asked_at: attempt.removeAskedAt,
    failure_reason: attempt.failure?.reason ?? null,
    failure_message: attempt.failure?.message ?? null,
    failure_retryable: attempt.failure?.retryable ?? null,
    failures: attempt.failures,
    closed_at: attempt.closedAt,
  };
}

export function eventOf(row: Selectable<EventTable>): ModelEvent {
  return {
    id: row.id,
    createdAt: row.created_at,
    type: row.type,
    log: row.log,
    status: row.status,
    reason: row.reason,
  };
}
