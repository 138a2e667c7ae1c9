/** Statements on model. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { EnginePlan, Hardware, SpecValues } from "../../engines/engine.ts";
import type { Model, ModelSpec, Place } from "../model.ts";
import type { ModelStatus } from "../states.ts";
import { MODEL_COLUMNS, modelOf, SPEC_COLUMNS, specOf } from "./rows.ts";
import { tables } from "./tables.ts";

export interface ModelWithSpec {
  readonly model: Model;
  readonly spec: ModelSpec;
}

/** Adds a model that is due at once. Throws Postgres's unique violation of model_name_once or model_served_name_key. */
export async function insertModel(tx: TxCtx, { model, spec }: ModelWithSpec): Promise<void> {
  await tables(tx.db)
    .insertInto("model")
    .values({
      id: model.id,
      deployment_id: model.deploymentId,
      user_id: model.userId,
      name: model.name,
      description: spec.description,
      path: spec.path,
      served_name: model.servedName,
      wanted: JSON.stringify(spec.wanted),
      ...placeColumns(model.place),
      spec: JSON.stringify(spec.spec),
      kv_cache: spec.kvCache,
      cpu_offloading: spec.cpuOffloading,
      weights: JSON.stringify(spec.weights),
      hardware: JSON.stringify(spec.hardware),
      plan: JSON.stringify(spec.plan),
      context_tokens: spec.plan.contextTokens,
      api_key_sealed: spec.apiKeySealed,
      api_key_hash: spec.apiKeyHash,
      hf_token_sealed: spec.hfTokenSealed,
      ...acceptedColumns(spec.accepted),
      replicas: model.replicas,
      generation: model.generation,
      ...stateColumns(model),
      next_check_at: model.createdAt,
      claim_epoch: model.claimEpoch,
      created_at: model.createdAt,
      updated_at: model.updatedAt,
    })
    .execute();
}

/** What the reconciler and the owner's wishes change. */
function stateColumns(model: Model) {
  return {
    desired: model.desired,
    desired_reason: model.desiredReason,
    desired_at: model.desiredAt,
    start_number: model.startNumber,
    version: model.version,
    status: model.status,
    status_since: model.statusSince,
    reason: model.condition.reason,
    message: model.condition.message,
    next_step: model.condition.nextStep,
    reason_since: model.condition.since,
    deadline: model.condition.deadline,
    gave_up_reason: model.gaveUp?.reason ?? null,
    gave_up_message: model.gaveUp?.message ?? null,
    waiting_since: model.waitingSince,
    ready_replicas: model.readyReplicas,
    progress: model.progress === null ? null : JSON.stringify(model.progress),
  };
}

function acceptedColumns(accepted: ModelSpec["accepted"]) {
  return {
    accepted_currency: accepted?.currency ?? null,
    accepted_nanos_per_hour: accepted?.nanosPerHour ?? null,
  };
}

function placeColumns(place: Place) {
  return {
    driver: place.driver,
    provider: place.provider,
    region: place.region,
    gpu_type: place.gpuType,
    gpu_count: place.gpuCount,
    node_id: place.nodeId,
  };
}

/** Writes a model's state; the caller holds its row's lock. */
export async function updateState(tx: TxCtx, model: Model): Promise<void> {
  await tables(tx.db)
    .updateTable("model")
    .set({
      ...stateColumns(model),
      updated_at: model.updatedAt,
      deleted_at: model.status === "DELETED" ? model.updatedAt : null,
    })
    .where("id", "=", model.id)
    .execute();
}

/** Writes what an owner's wish changes besides the state, and makes the model due. The caller holds its row's lock. */
export async function updateWish(
  tx: TxCtx,
  model: Model,
  change: {
    readonly now: Date;
    readonly description?: string;
    readonly spec?: SpecValues;
    readonly plan?: EnginePlan;
    readonly hardware?: Hardware;
    readonly accepted?: NonNullable<ModelSpec["accepted"]>;
  },
): Promise<void> {
  await tables(tx.db)
    .updateTable("model")
    .set({
      ...stateColumns(model),
      ...placeColumns(model.place),
      replicas: model.replicas,
      generation: model.generation,
      updated_at: model.updatedAt,
      next_check_at: change.now,
      ...(change.description === undefined ? {} : { description: change.description }),
      ...(change.spec === undefined ? {} : { spec: JSON.stringify(change.spec) }),
      ...(change.accepted === undefined ? {} : acceptedColumns(change.accepted)),
      ...(change.hardware === undefined ? {} : { hardware: JSON.stringify(change.hardware) }),
      ...(change.plan === undefined
        ? {}
        : { plan: JSON.stringify(change.plan), context_tokens: change.plan.contextTokens }),
    })
    .where("id", "=", model.id)
    .execute();
}

export async function selectModel(ctx: DbCtx, modelId: string): Promise<ModelWithSpec | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("model")
    .select([...MODEL_COLUMNS, ...SPEC_COLUMNS])
    .where("id", "=", modelId)
    .where("status", "<>", "DELETED")
    .executeTakeFirst();
  return row && { model: modelOf(row), spec: specOf(row) };
}

/** The same under the row's lock: wishes of one model, and its worker's writes, take turns. */
export async function lockModel(tx: TxCtx, modelId: string): Promise<ModelWithSpec | undefined> {
  const row = await tables(tx.db)
    .selectFrom("model")
    .select([...MODEL_COLUMNS, ...SPEC_COLUMNS])
    .where("id", "=", modelId)
    .where("status", "<>", "DELETED")
    .forUpdate()
    .executeTakeFirst();
  return row && { model: modelOf(row), spec: specOf(row) };
}

/** True when the owner has a model of this name that is not being deleted. */
export async function nameTaken(ctx: DbCtx, userId: string, name: string): Promise<boolean> {
  const row = await tables(ctx.db)
    .selectFrom("model")
    .select("id")
    .where("user_id", "=", userId)
    .where("name", "=", name)
    .where("desired", "<>", "DELETED")
    .executeTakeFirst();
  return row !== undefined;
}

export type ListOrder = {
  readonly column: "created_at" | "updated_at" | "name";
  readonly descending: boolean;
};

export interface ModelList {
  /** Undefined for every user. */
  readonly userId: string | undefined;
  /** Empty for all. */
  readonly statuses: readonly ModelStatus[];
  readonly order: ListOrder;
  /** Sort value and id of the last row of the page before. */
  readonly after: { readonly value: string | Date; readonly id: string } | undefined;
  readonly limit: number;
}

export async function selectModelsById(
  ctx: DbCtx,
  ids: readonly string[],
): Promise<readonly ModelWithSpec[]> {
  if (ids.length === 0) return [];
  const rows = await tables(ctx.db)
    .selectFrom("model")
    .select([...MODEL_COLUMNS, ...SPEC_COLUMNS])
    .where("model.id", "=", sql<string>`any(${ids}::uuid[])`)
    .execute();
  return rows.map((row) => ({ model: modelOf(row), spec: specOf(row) }));
}

export async function selectModels(ctx: DbCtx, list: ModelList): Promise<readonly ModelWithSpec[]> {
  const { column, descending } = list.order;
  let query = tables(ctx.db)
    .selectFrom("model")
    .select([...MODEL_COLUMNS, ...SPEC_COLUMNS])
    .where("status", "<>", "DELETED");
  if (list.userId !== undefined) query = query.where("user_id", "=", list.userId);
  if (list.statuses.length > 0) query = query.where("status", "in", list.statuses);
  if (list.after !== undefined) {
    const { value, id } = list.after;
    const last = column === "name" ? sql`${value}::text` : sql`${value}::timestamptz`;
    const beyond = descending ? sql`<` : sql`>`;
    query = query.where(
      sql<boolean>`(${sql.ref(`model.${column}`)}, model.id) ${beyond} (${last}, ${id}::uuid)`,
    );
  }
  const way = descending ? "desc" : "asc";
  const rows = await query
    .orderBy(`model.${column}`, way)
    .orderBy("model.id", way)
    .limit(list.limit)
    .execute();
  return rows.map((row) => ({ model: modelOf(row), spec: specOf(row) }));
}
