/** Every statement on webhook_sequence and webhook_event. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";

/** The next number of a user's events. Whoever asks next waits until this transaction ends. */
export async function nextSequence(tx: TxCtx, userId: string): Promise<bigint> {
  const { rows } = await sql<{ last: bigint }>`
    insert into webhook_sequence (user_id, last) values (${userId}, 1)
    on conflict (user_id) do update set last = webhook_sequence.last + 1
    returning last`.execute(tx.db);
  const [row] = rows;
  if (!row) throw new Error("webhook_sequence: no row came back");
  return row.last;
}

export async function insertEvent(
  tx: TxCtx,
  event: { id: string; userId: string; type: string; sequence: bigint; payload: string; at: Date },
): Promise<void> {
  const { id, userId, type, sequence, payload, at } = event;
  await sql`
    insert into webhook_event (id, user_id, type, sequence, payload, created_at)
    values (${id}, ${userId}, ${type}, ${sequence}, ${payload}, ${at})`.execute(tx.db);
}

/** Forgets events, with their deliveries, from before; at most `limit`. */
export async function deleteEventsBefore(ctx: DbCtx, before: Date, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from webhook_event where id in (
      select id from webhook_event where created_at < ${before} order by created_at limit ${limit} for update skip locked
    )`.execute(ctx.db);
  return Number(numAffectedRows ?? 0n);
}
