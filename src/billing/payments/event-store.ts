/** Every statement on the events of a processor that were applied, and on how far its list was read. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { ProcessorEvent } from "./processor-news.ts";

interface EventKey {
  readonly processor: string;
  readonly eventId: string;
}

export async function isEventKnown(ctx: DbCtx, key: EventKey): Promise<boolean> {
  const { rows } = await sql`
    select from payment_event where processor = ${key.processor} and event_id = ${key.eventId}`.execute(
    ctx.db,
  );
  return rows.length > 0;
}

/** False when it was applied before; of two at once, the second waits for the first one's end. */
export async function insertEvent(
  tx: TxCtx,
  input: {
    readonly processor: string;
    readonly event: ProcessorEvent;
    readonly heardBy: "webhook" | "poll";
    readonly at: Date;
  },
): Promise<boolean> {
  const { eventId, type, subject, at: happenedAt } = input.event;
  const { rows } = await sql`
    insert into payment_event (processor, event_id, type, subject_id, happened_at, applied_at, heard_by)
    values (${input.processor}, ${eventId}, ${type}, ${subject.id}, ${happenedAt}, ${input.at}, ${input.heardBy})
    on conflict do nothing returning event_id`.execute(tx.db);
  return rows.length > 0;
}

export async function deleteEventsBefore(ctx: DbCtx, before: Date): Promise<void> {
  await sql`delete from payment_event where applied_at < ${before}`.execute(ctx.db);
}

export async function selectReadUntil(ctx: DbCtx, processor: string): Promise<Date | undefined> {
  const { rows } = await sql<{ read_until: Date }>`
    select read_until from payment_poll where processor = ${processor}`.execute(ctx.db);
  return rows[0]?.read_until;
}

/** Only ever later: a pass that is behind another one takes nothing back. */
export async function saveReadUntil(ctx: DbCtx, processor: string, until: Date): Promise<void> {
  await sql`
    insert into payment_poll (processor, read_until) values (${processor}, ${until})
    on conflict (processor) do update set read_until = greatest(payment_poll.read_until, excluded.read_until)`.execute(
    ctx.db,
  );
}
