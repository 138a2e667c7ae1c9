/** The tables of this domain, as Postgres has them. */
import type { ColumnType } from "kysely";
import type { Db } from "../../db/db.ts";
import type { EnginePlan, GpuType, Hardware, SpecValues, WeightsFacts } from "../../engines/engine.ts";
import type { Attempt, EventType, Progress, Provider, WantedPlace } from "../model.ts";
import type { ConditionReason } from "../reasons.ts";
import type { Desired, ModelStatus } from "../states.ts";

/** A jsonb column that only this program writes. */
type Json<T> = ColumnType<T, string, string>;

/** Rows are written in store/measured.ts. */
export interface EngineMeasuredTable {
  path: string;
  revision: string;
  engine: string;
  gpu_type: GpuType;
  gpu_count: number;
  weights_bytes: bigint | null;
  kv_bytes: bigint | null;
  kv_tokens: bigint | null;
  measured_at: Date;
}

export interface ModelTable {
  id: string;
  deployment_id: string;
  user_id: string;
  name: string;
  description: string;
  path: string;
  served_name: string;
  wanted: Json<WantedPlace>;
  driver: string;
  provider: Provider;
  region: string;
  gpu_type: GpuType;
  gpu_count: number;
  node_id: string;
  spec: Json<SpecValues>;
  kv_cache: boolean;
  cpu_offloading: boolean;
  weights: Json<WeightsFacts>;
  hardware: Json<Hardware>;
  plan: Json<EnginePlan>;
  context_tokens: number;
  api_key_sealed: Buffer;
  api_key_hash: Buffer;
  hf_token_sealed: Buffer | null;
  accepted_currency: string | null;
  accepted_nanos_per_hour: bigint | null;
  desired: Desired;
  desired_reason: ConditionReason;
  desired_at: Date;
  replicas: number;
  generation: number;
  start_number: number;
  version: bigint;
  status: ModelStatus;
  status_since: Date;
  reason: ConditionReason;
  message: string;
  next_step: string;
  reason_since: Date;
  deadline: Date | null;
  gave_up_reason: ConditionReason | null;
  gave_up_message: string | null;
  waiting_since: Date | null;
  ready_replicas: number;
  progress: ColumnType<Progress | null, string | null, string | null>;
  next_check_at: Date | null;
  claim_epoch: bigint;
  claimed_until: Date | null;
  resume_after: Date | null;
  created_at: Date;
  updated_at: Date;
  deleted_at: Date | null;
}

export interface AttemptTable {
  name: string;
  model_id: string;
  slot: number;
  number: number;
  generation: number;
  start_number: number;
  claim_epoch: bigint;
  driver: string;
  provider: Provider;
  region: string;
  path: string;
  created_at: Date;
  engine_key_sealed: Buffer;
  apply_state: Attempt["applyState"];
  applied_at: Date;
  stranded_until: Date | null;
  provision_by: Date | null;
  seen: boolean;
  absent_since: Date | null;
  phase: Attempt["phase"];
  phase_since: Date;
  detail: string;
  progress_done: ColumnType<bigint, number, number>;
  progress_total: ColumnType<bigint, number, number>;
  host: string | null;
  port: number | null;
  certificate_sha256: string | null;
  ready_at: Date | null;
  routed: boolean;
  window_ends_at: Date | null;
  next_held: boolean;
  probe_failures: number;
  probe_failed_since: Date | null;
  stopped_at: Date | null;
  grace_ms: number;
  unrouted_at: Date | null;
  remove_asked_at: Date | null;
  failure_reason: ConditionReason | null;
  failure_message: string | null;
  failure_retryable: boolean | null;
  failures: number;
  closed_at: Date | null;
  live: boolean;
}

export interface EventTable {
  id: ColumnType<bigint, never, never>;
  model_id: string;
  created_at: Date;
  type: EventType;
  log: string;
  status: ModelStatus;
  reason: ConditionReason;
}

export type Tables = {
  model: ModelTable;
  model_attempt: AttemptTable;
  engine_measured: EngineMeasuredTable;
  model_attempt_plan: { name: string; hardware: Json<Hardware>; plan: Json<EnginePlan> };
  model_event: EventTable;
  machine_sweep: { driver: string; swept_at: Date; listed: number; blocked: boolean };
  unowned_machine: { driver: string; name: string; first_seen_at: Date };
  installation: { only_row: boolean; id: string; created_at: Date };
};

export const tables = (db: Db) => db.withTables<Tables>();
