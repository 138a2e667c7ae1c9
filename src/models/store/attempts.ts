/** Statements on attempts. */
import type { DbCtx, TxCtx } from "../../db/db.ts";
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

/** How long the newest starts of the same weights at the same place took, in milliseconds. */
export async function selectStartTimes(
  ctx: DbCtx,
  input: { path: string; provider: Provider; region: string; limit: number },
): Promise<readonly number[]> {
  const rows = await tables(ctx.db)
    .selectFrom("model_attempt")
    .select(["created_at", "ready_at"])
    .where("path", "=", input.path)
    .where("provider", "=", input.provider)
    .where("region", "=", input.region)
    .where("ready_at", "is not", null)
    .orderBy("ready_at", "desc")
    .limit(input.limit)
    .execute();
  return rows.map((row) => (row.ready_at?.getTime() ?? 0) - row.created_at.getTime());
}
