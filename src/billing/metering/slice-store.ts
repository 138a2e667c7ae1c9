/** Every statement on token_slice. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";

/** Money that one gateway may spend for one user until spendUntil; usage is taken from it until settleBy. */
export interface Slice {
  readonly sliceId: string;
  readonly amountNanos: bigint;
  readonly spendUntil: Date;
  readonly settleBy: Date;
  /** spendUntil − now, for a clock that never jumps. */
  readonly spendMs: number;
}

export async function insertSlice(
  tx: TxCtx,
  slice: Slice & { readonly gatewayId: string; readonly userId: string; readonly leasedAt: Date },
): Promise<void> {
  await sql`
    insert into token_slice (id, gateway_id, user_id, amount, leased_at, spend_until, settle_by)
    values (${slice.sliceId}, ${slice.gatewayId}, ${slice.userId}, ${slice.amountNanos}, ${slice.leasedAt},
      ${slice.spendUntil}, ${slice.settleBy})`.execute(tx.db);
}

/** Closes a slice of this gateway; false when it is closed, unknown or another's. */
export async function closeSliceRow(
  tx: TxCtx,
  input: { sliceId: string; gatewayId: string; now: Date },
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update token_slice set closed_at = ${input.now}
    where id = ${input.sliceId} and gateway_id = ${input.gatewayId} and closed_at is null`.execute(tx.db);
  return numAffectedRows === 1n;
}

/** Open slices past settleBy, oldest first. */
export async function selectDueSlices(ctx: DbCtx, now: Date, limit: number): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from token_slice where closed_at is null and settle_by <= ${now} order by settle_by limit ${limit}`.execute(
    ctx.db,
  );
  return rows.map((row) => row.id);
}

/** Closes those of the slices that are still open; returns their ids. */
export async function closeSliceRows(
  tx: TxCtx,
  sliceIds: readonly string[],
  now: Date,
): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    update token_slice set closed_at = ${now} where id = any (${[...sliceIds]}) and closed_at is null returning id`.execute(
    tx.db,
  );
  return rows.map((row) => row.id);
}

/** Asks every gateway to close its slices of this user; those who listen on slipway_slices do. Returns how many are open. */
export async function notifySlices(ctx: DbCtx, userId: string, limit: number): Promise<number> {
  const { rows } = await sql`
    select pg_notify('slipway_slices', id::text) from (
      select id from token_slice where user_id = ${userId} and closed_at is null order by leased_at limit ${limit}) open`.execute(
    ctx.db,
  );
  return rows.length;
}

/** Which user each slice belongs to. */
export async function selectSliceUsers(
  tx: TxCtx,
  sliceIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (sliceIds.length === 0) return new Map();
  const { rows } = await sql<{ id: string; user_id: string }>`
    select id, user_id from token_slice where id = any (${[...sliceIds]})`.execute(tx.db);
  return new Map(rows.map((row) => [row.id, row.user_id]));
}
