/** What the gateway needs to know of models: who may call them, where they answer, and why they don't. */
import { sql } from "kysely";
import type { SecretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";
import type { ConditionReason } from "./reasons.ts";
import { openEngineKey } from "./secrets.ts";
import type { ModelStatus } from "./states.ts";
import { tables } from "./store/tables.ts";

export interface ReplicaRoute {
  /** Changes with every attempt: state that a gateway keeps for a replica is not carried over to the next. */
  readonly replicaId: string;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly engineKey: string;
  readonly certificateSha256?: string;
}

export interface ModelRoute {
  readonly modelId: string;
  readonly deploymentId: string;
  readonly servedName: string;
  readonly modelName: string;
  readonly ownerId: string;
  /** SHA-256 of the key that opens this model. */
  readonly keyHash: Buffer;
  readonly status: ModelStatus;
  readonly reason: ConditionReason;
  readonly message: string;
  /** When a caller of a model that does not answer should come again; 0: it does not come back by itself. */
  readonly retryAfterMs: number;
  readonly contextTokens: number;
  /** Those that answered a real completion and are not leaving. */
  readonly replicas: readonly ReplicaRoute[];
}

export interface RouteQuery {
  readonly modelIds?: readonly string[];
  readonly servedNames?: readonly string[];
  readonly ownerIds?: readonly string[];
}

/** Models of one answer; an owner with more is asked for by id or name. */
const ROUTES_MAX = 5_000;

/** Routes of every model that any part of the query names; models that are gone or going are not among them. */
export async function loadRoutes(
  ctx: DbCtx,
  deps: { readonly box: SecretBox },
  query: RouteQuery,
): Promise<readonly ModelRoute[]> {
  const rows = await selectRoutes(ctx, query);
  const routes = new Map<string, ModelRoute & { replicas: ReplicaRoute[] }>();
  for (const row of rows) {
    const route = routes.get(row.id) ?? {
      modelId: row.id,
      deploymentId: row.deployment_id,
      servedName: row.served_name,
      modelName: row.name,
      ownerId: row.user_id,
      keyHash: row.api_key_hash,
      status: row.status,
      reason: row.reason,
      message: row.message,
      retryAfterMs: RETRY_AFTER_MS[row.status],
      contextTokens: row.context_tokens,
      replicas: [],
    };
    routes.set(row.id, route);
    const { replica, host, port, engine_key_sealed: sealed, certificate_sha256: certificate } = row;
    if (replica === null || host === null || port === null || sealed === null) continue;
    route.replicas.push({
      replicaId: replica,
      name: replica,
      host,
      port,
      engineKey: openEngineKey(deps, { name: replica, engineKeySealed: sealed }),
      ...(certificate === null ? {} : { certificateSha256: certificate }),
    });
  }
  return [...routes.values()];
}

/** Starting takes a while; what stands still does not come back by itself. */
const RETRY_AFTER_MS: Readonly<Record<ModelStatus, number>> = {
  PENDING: 10_000,
  PROVISIONING: 10_000,
  LOADING: 5_000,
  RUNNING: 1_000,
  SLEEPING: 5_000,
  PAUSING: 0,
  PAUSED: 0,
  FAILED: 0,
  DELETING: 0,
  DELETED: 0,
};

function selectRoutes(ctx: DbCtx, query: RouteQuery) {
  const { modelIds = [], servedNames = [], ownerIds = [] } = query;
  return (
    tables(ctx.db)
      .selectFrom("model")
      .leftJoin("model_attempt as attempt", (join) =>
        join
          .onRef("attempt.model_id", "=", "model.id")
          .on("attempt.live", "=", true)
          .on("attempt.routed", "=", true)
          .on("attempt.closed_at", "is", null),
      )
      .select([
        "model.id",
        "model.deployment_id",
        "model.served_name",
        "model.name",
        "model.user_id",
        "model.api_key_hash",
        "model.status",
        "model.reason",
        "model.message",
        "model.context_tokens",
        "attempt.name as replica",
        "attempt.host",
        "attempt.port",
        "attempt.certificate_sha256",
        "attempt.engine_key_sealed",
      ])
      .where("model.desired", "<>", "DELETED")
      // Lets the partial index of owners be used.
      .where("model.status", "<>", "DELETED")
      .where((eb) =>
        eb.or([
          eb("model.id", "=", sql<string>`any(${modelIds}::uuid[])`),
          eb("model.served_name", "=", sql<string>`any(${servedNames}::text[])`),
          eb("model.user_id", "=", sql<string>`any(${ownerIds}::uuid[])`),
        ]),
      )
      .orderBy("model.created_at")
      .orderBy("attempt.name")
      .limit(ROUTES_MAX)
      .execute()
  );
}
