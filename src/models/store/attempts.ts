/** Statements on attempts. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { Attempt, Provider } from "../model.ts";
import { insertPlan, type Planned } from "./plans.ts";
import { attemptColumns } from "./rows.ts";
import { tables } from "./tables.ts";

export interface AttemptOrigin {
  readonly claimEpoch: bigint;
  readonly planned: Planned;
  /** Of the weights: attempts at the same weights and place tell how long such a start takes. */
  readonly path: string;
}

/** Writes an attempt down, before anything is asked of its provider. Earlier closed ones of its slot become history. */
export async function insertAttempt(tx: TxCtx, attempt: Attempt, origin: AttemptOrigin): Promise<void> {
  await tables(tx.db)
    .updateTable("model_attempt")
    .set({ live: false })
    .where("model_id", "=", attempt.modelId)
    .where("slot", "=", attempt.slot)
    .where("closed_at", "is not", null)
    .where("live", "=", true)
    .execute();
  await tables(tx.db)
    .insertInto("model_attempt")
    .values({
      name: attempt.name,
      model_id: attempt.modelId,
      slot: attempt.slot,
      number: attempt.number,
      generation: attempt.generation,
      start_number: attempt.startNumber,
      claim_epoch: origin.claimEpoch,
      driver: attempt.driver,
      provider: attempt.provider,
      region: attempt.region,
      path: origin.path,
      created_at: attempt.createdAt,
      engine_key_sealed: attempt.engineKeySealed,
      ...attemptColumns(attempt),
      live: true,
    })
    .execute();
  await insertPlan(tx, attempt.name, origin.planned);
}

/** Writes an attempt's present state. A closed one stays `live` while it is the last of its slot. */
export async function updateAttempt(tx: TxCtx, attempt: Attempt, latestOfSlot: boolean): Promise<void> {
  await tables(tx.db)
    .updateTable("model_attempt")
    .set({ ...attemptColumns(attempt), live: attempt.closedAt === null || latestOfSlot })
    .where("name", "=", attempt.name)
    .execute();
}

/**
 * Says that a create call is no longer out, where nothing else of the pass may be written because a newer wish came. Only under
 * the claim that made the call.
 */
export async function settleCall(
  ctx: DbCtx,
  input: { readonly name: string; readonly epoch: bigint; readonly applyState: Attempt["applyState"] },
): Promise<void> {
  await tables(ctx.db)
    .updateTable("model_attempt")
    .from("model")
    .set({ apply_state: input.applyState })
    .where("model_attempt.name", "=", input.name)
    .where("model_attempt.apply_state", "=", "calling")
    .whereRef("model.id", "=", "model_attempt.model_id")
    .where("model.claim_epoch", "=", input.epoch)
    .execute();
}

/** Which of these machines are owned: an open attempt stands for them. */
export async function selectOwnedNames(ctx: DbCtx, names: readonly string[]): Promise<ReadonlySet<string>> {
  if (names.length === 0) return new Set();
  const rows = await tables(ctx.db)
    .selectFrom("model_attempt")
    .select("name")
    .where("name", "in", names)
    .where("closed_at", "is", null)
    .execute();
  return new Set(rows.map((row) => row.name));
}

export interface StartsAsked {
  readonly provider: Provider;
  readonly region: string;
  readonly gpuType: GpuType;
  /** Of these weights; undefined: of any. */
  readonly path?: string;
  /** Of weights of this size. */
  readonly bytes?: { readonly min: number; readonly max: number };
  readonly limit: number;
}

/** How long the newest starts on one kind of hardware at one place took, in milliseconds. */
export async function selectStartTimes(ctx: DbCtx, input: StartsAsked): Promise<readonly number[]> {
  const { path, bytes } = input;
  let query = tables(ctx.db)
    .selectFrom("model_attempt as attempt")
    .innerJoin("model", "model.id", "attempt.model_id")
    .select(["attempt.created_at", "attempt.ready_at"])
    .where("attempt.provider", "=", input.provider)
    .where("attempt.region", "=", input.region)
    .where("model.gpu_type", "=", input.gpuType)
    .where("attempt.ready_at", "is not", null);
  if (path !== undefined) query = query.where("attempt.path", "=", path);
  if (bytes) {
    const size = sql<number>`(model.weights->>'sizeBytes')::numeric`;
    query = query.where(size, ">=", bytes.min).where(size, "<=", bytes.max);
  }
  const rows = await query.orderBy("attempt.ready_at", "desc").limit(input.limit).execute();
  return rows.map((row) => (row.ready_at?.getTime() ?? 0) - row.created_at.getTime());
}
