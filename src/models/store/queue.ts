/** The model row as its own queue entry: taking it, holding it, giving it back. `now` always comes from the caller. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { Attempt, Model } from "../model.ts";
import { attemptOf, MODEL_COLUMNS, modelOf } from "./rows.ts";
import { tables } from "./tables.ts";

export interface Claim {
  readonly modelId: string;
  readonly epoch: bigint;
  readonly version: bigint;
}

export function claimOf(model: Model): Claim {
  return { modelId: model.id, epoch: model.claimEpoch, version: model.version };
}

/** Takes due models that nobody holds, longest due first. Each claim has a new epoch. */
export async function claimDue(
  ctx: DbCtx,
  input: { now: Date; until: Date; limit: number },
): Promise<readonly Model[]> {
  const rows = await tables(ctx.db)
    .with("due", (db) =>
      db
        .selectFrom("model")
        .select("id as due_id")
        .where("next_check_at", "<=", input.now)
        .where((eb) => eb.or([eb("claimed_until", "is", null), eb("claimed_until", "<=", input.now)]))
        .orderBy("next_check_at")
        .limit(input.limit)
        .forUpdate()
        .skipLocked(),
    )
    .updateTable("model")
    .from("due")
    .set({ claim_epoch: sql`model.claim_epoch + 1`, claimed_until: input.until })
    .whereRef("model.id", "=", "due.due_id")
    .returning(MODEL_COLUMNS)
    .execute();
  return rows.map(modelOf);
}

/** When the next model that is not due yet will be; undefined when there is none. Those that are due are somebody's claim already. */
export async function earliestCheckAfter(ctx: DbCtx, now: Date): Promise<Date | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("model")
    .select("next_check_at")
    .where("next_check_at", ">", now)
    .orderBy("next_check_at")
    .limit(1)
    .executeTakeFirst();
  return row?.next_check_at ?? undefined;
}

/** Attempts that a worker must know: open ones, and the last of each slot. */
export async function selectLiveAttempts(
  ctx: DbCtx,
  modelIds: readonly string[],
): Promise<readonly Attempt[]> {
  if (modelIds.length === 0) return [];
  const rows = await tables(ctx.db)
    .selectFrom("model_attempt")
    .selectAll()
    .where("model_id", "=", sql<string>`any(${modelIds}::uuid[])`)
    .where("live", "=", true)
    .orderBy("slot")
    .orderBy("number")
    .execute();
  return rows.map(attemptOf);
}

/** Locks the row if the claim still holds and no newer wish came. False: the caller must write nothing. */
export async function lockClaim(tx: TxCtx, claim: Claim): Promise<boolean> {
  const row = await tables(tx.db)
    .selectFrom("model")
    .select("id")
    .where("id", "=", claim.modelId)
    .where("claim_epoch", "=", claim.epoch)
    .where("version", "=", claim.version)
    .forUpdate()
    .executeTakeFirst();
  return row !== undefined;
}

/** Gives the row back. Where a newer wish came meanwhile it stays due now, as that wish set it. */
export async function release(ctx: DbCtx, claim: Claim, nextCheckAt: Date | null): Promise<void> {
  await tables(ctx.db)
    .updateTable("model")
    .set({
      claimed_until: null,
      next_check_at: sql`case when version = ${claim.version} then ${nextCheckAt}::timestamptz else next_check_at end`,
    })
    .where("id", "=", claim.modelId)
    .where("claim_epoch", "=", claim.epoch)
    .execute();
}

/** Gives many unchanged models back at once, those whose claim holds and that got no newer wish; returns their ids. Locks them until the commit. */
export async function releaseBatch(
  tx: TxCtx,
  claims: readonly (Claim & { readonly nextCheckAt: Date | null })[],
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ id: string }>`
    with given as (
      select model.id, back.next_check_at
      from unnest(
        ${claims.map((claim) => claim.modelId)}::uuid[],
        ${claims.map((claim) => claim.epoch)}::bigint[],
        ${claims.map((claim) => claim.version)}::bigint[],
        ${claims.map((claim) => claim.nextCheckAt)}::timestamptz[]
      ) as back (id, epoch, version, next_check_at)
      join model on model.id = back.id and model.claim_epoch = back.epoch and model.version = back.version
      order by model.id
      for update of model
    )
    update model set claimed_until = null, next_check_at = given.next_check_at
    from given where model.id = given.id
    returning model.id`.execute(tx.db);
  return new Set(rows.map((row) => row.id));
}

/** When the next model is due; undefined when none waits. */
export async function earliestDue(ctx: DbCtx): Promise<Date | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("model")
    .select("next_check_at")
    .where("next_check_at", "is not", null)
    .orderBy("next_check_at")
    .limit(1)
    .executeTakeFirst();
  return row?.next_check_at ?? undefined;
}
