/** Every statement on the lines of a processor's balance, and on how far they have been read. */
import { sql } from "kysely";
import type { Money } from "../../../base/money.ts";
import type { DbCtx, TxCtx } from "../../../db/db.ts";
import type { ProcessorTransaction } from "../processor-news.ts";

export interface NewLine
  extends Pick<ProcessorTransaction, "type" | "subjectId" | "gross" | "feeNanos" | "at"> {
  readonly processor: string;
  readonly transactionId: string;
  readonly lane: ProcessorTransaction["lane"] | "opening";
  readonly intentId: string | null;
  readonly elsewhere: Money | null;
  readonly bookedAt: Date;
}

/** False when the line is known. */
export async function insertLine(tx: TxCtx, line: NewLine): Promise<boolean> {
  const { gross, elsewhere } = line;
  const { rows } = await sql`
    insert into processor_transaction (processor, id, type, lane, subject_id, intent_id, currency, gross, fee, elsewhere_currency,
      elsewhere, happened_at, booked_at)
    values (${line.processor}, ${line.transactionId}, ${line.type}, ${line.lane}, ${line.subjectId}, ${line.intentId},
      ${gross.currency}, ${gross.nanos}, ${line.feeNanos}, ${elsewhere?.currency ?? null}, ${elsewhere?.nanos ?? null}, ${line.at},
      ${line.bookedAt})
    on conflict do nothing returning id`.execute(tx.db);
  return rows.length > 0;
}

/** Which of these lines are known. */
export async function selectKnown(
  ctx: DbCtx,
  input: { readonly processor: string; readonly ids: readonly string[] },
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ id: string }>`
    select id from processor_transaction where processor = ${input.processor} and id = any (${[...input.ids]})`.execute(
    ctx.db,
  );
  return new Set(rows.map(({ id }) => id));
}

/** Our payment behind a line: by the processor's id of it, by our key of it, or by our key of a refund of it. */
export async function selectIntentBehind(
  ctx: DbCtx,
  input: { readonly processor: string; readonly paymentId: string; readonly key: string | null },
): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    select id from payment_intent
    where processor = ${input.processor} and (processor_id = ${input.paymentId} or id = ${input.key}::uuid
      or id = (select intent_id from payment_refund where id = ${input.key}::uuid))
    limit 1`.execute(ctx.db);
  return rows[0]?.id;
}

export interface Reading {
  readonly since: Date;
  readonly readUntil: Date;
  readonly openedAt: Date | null;
}

/** Undefined before the first reading. */
export async function selectReading(ctx: DbCtx, processor: string): Promise<Reading | undefined> {
  const { rows } = await sql<Reading>`
    select since, read_until as "readUntil", opened_at as "openedAt" from processor_books where processor = ${processor}`.execute(
    ctx.db,
  );
  return rows[0];
}

/** Begins the books at `since`; of two at once, the first one stays. */
export async function beginReading(ctx: DbCtx, processor: string, since: Date): Promise<Reading> {
  await sql`
    insert into processor_books (processor, since, read_until) values (${processor}, ${since}, ${since})
    on conflict do nothing`.execute(ctx.db);
  return (await selectReading(ctx, processor)) ?? { since, readUntil: since, openedAt: null };
}

/** Only ever later. */
export async function saveLinesReadUntil(ctx: DbCtx, processor: string, until: Date): Promise<void> {
  await sql`
    update processor_books set read_until = greatest(read_until, ${until}) where processor = ${processor}`.execute(
    ctx.db,
  );
}

/** False when the books were opened before. */
export async function markOpened(tx: TxCtx, processor: string, at: Date): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update processor_books set opened_at = ${at} where processor = ${processor} and opened_at is null`.execute(
    tx.db,
  );
  return numAffectedRows === 1n;
}

/** When the first of our payments was asked for. */
export async function selectFirstPaymentAt(ctx: DbCtx, processor: string): Promise<Date | undefined> {
  const { rows } = await sql<{ at: Date | null }>`
    select min(created_at) as at from payment_intent where processor = ${processor}`.execute(ctx.db);
  return rows[0]?.at ?? undefined;
}

/** What the lines that are here add up to, by currency. */
export async function sumLines(ctx: DbCtx, processor: string): Promise<ReadonlyMap<string, bigint>> {
  const { rows } = await sql<{ currency: string; nanos: bigint }>`
    select currency, sum(net)::bigint as nanos from processor_transaction where processor = ${processor} group by 1`.execute(
    ctx.db,
  );
  return new Map(rows.map(({ currency, nanos }) => [currency, nanos]));
}
