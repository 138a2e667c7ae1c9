/** Every statement of comparing balances. */
import { sql } from "kysely";
import type { DbCtx } from "../../../db/db.ts";

/** Rows of one statement: what is on its way at one moment, and the processor's words for what it does. */
const ROWS_MAX = 1_000;

/** All that the books say of a processor's balance, at one moment. */
export interface BooksOfProcessor {
  readonly ledger: ReadonlyMap<string, bigint>;
  readonly parts: readonly Part[];
  readonly unsettled: readonly Unsettled[];
  readonly outside: readonly Outside[];
}

/** Over one snapshot: a payment that is credited between two statements would be a difference. */
export function selectBooks(ctx: DbCtx, processor: string): Promise<BooksOfProcessor> {
  return ctx.db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (db) => {
      const tx = { ...ctx, db };
      return {
        ledger: await selectLedgerBalances(tx, processor),
        parts: await selectParts(tx, processor),
        unsettled: await selectUnsettled(tx, processor),
        outside: await selectOutside(tx, processor),
      };
    });
}

/** Lines of a span that are in the books. */
export async function selectLineIds(
  ctx: DbCtx,
  input: { readonly processor: string; readonly from: Date; readonly until: Date },
): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from processor_transaction
    where processor = ${input.processor} and lane <> 'opening' and happened_at >= ${input.from} and happened_at < ${input.until}`.execute(
    ctx.db,
  );
  return rows.map(({ id }) => id);
}

export interface Part {
  readonly currency: string;
  readonly lane: string;
  readonly grossNanos: bigint;
  readonly feeNanos: bigint;
}

/** What made up the processor's balance. */
async function selectParts(ctx: DbCtx, processor: string): Promise<readonly Part[]> {
  const { rows } = await sql<Part>`
    select currency, lane, sum(gross)::bigint as "grossNanos", sum(fee)::bigint as "feeNanos"
    from processor_transaction where processor = ${processor} group by 1, 2 order by 1, 2`.execute(ctx.db);
  return rows;
}

/** `processor.clearing` as what the processor owes us, less what is at other processors: installations change theirs. */
async function selectLedgerBalances(ctx: DbCtx, processor: string): Promise<ReadonlyMap<string, bigint>> {
  const { rows } = await sql<{ currency: string; nanos: bigint }>`
    select currency, sum(nanos)::bigint as nanos from (
      select a.currency, -e.amount as nanos from ledger_account a join ledger_entry e on e.account_id = a.id
        where a.kind = 'processor.clearing'
      union all
      select currency, -amount from payment_intent where state = 'succeeded' and processor <> ${processor}
      union all
      select currency, amount from payment_dispute where taken and processor <> ${processor}
      union all
      select currency, -net from processor_transaction where processor <> ${processor}
      union all
      select elsewhere_currency, elsewhere from processor_transaction where processor <> ${processor} and elsewhere is not null
    ) moved group by 1`.execute(ctx.db);
  return new Map(rows.map(({ currency, nanos }) => [currency, nanos]));
}

/** A payment or dispute on which the books and the processor's lines say two things. */
export interface Unsettled {
  readonly lane: "payment" | "dispute";
  /** The processor's id where it is known. */
  readonly id: string;
  readonly currency: string;
  /** What the books have beyond the lines. */
  readonly nanos: bigint;
  readonly at: Date;
}

async function selectUnsettled(ctx: DbCtx, processor: string): Promise<readonly Unsettled[]> {
  const { rows } = await sql<Unsettled>`
    with listed as (
      select lane, case lane when 'payment' then intent_id::text else subject_id end as ref, max(subject_id) as id,
        elsewhere_currency as currency, sum(elsewhere) as nanos, max(happened_at) as at
      from processor_transaction where processor = ${processor} and elsewhere is not null group by 1, 2, 4
    ), booked as (
      select 'payment' as lane, id::text as ref, coalesce(processor_id, id::text) as id, currency, amount as nanos, updated_at as at
      from payment_intent where processor = ${processor} and state = 'succeeded'
      union all
      select 'dispute', dispute_id, dispute_id, currency, case when taken then -amount else 0 end, updated_at
      from payment_dispute where processor = ${processor}
    )
    select coalesce(b.lane, l.lane) as lane, coalesce(b.id, l.id) as id, currency,
      (coalesce(b.nanos, 0) - coalesce(l.nanos, 0))::bigint as nanos, coalesce(b.at, l.at) as at
    from booked b full join listed l using (lane, ref, currency)
    where coalesce(b.nanos, 0) <> coalesce(l.nanos, 0)
    order by at desc limit ${ROWS_MAX}`.execute(ctx.db);
  return rows;
}

/** What moved the processor's balance and is not of these books, by the processor's word for it. */
export interface Outside {
  readonly type: string;
  readonly currency: string;
  readonly nanos: bigint;
  readonly count: number;
}

async function selectOutside(ctx: DbCtx, processor: string): Promise<readonly Outside[]> {
  const { rows } = await sql<Outside>`
    select type, currency, sum(gross)::bigint as nanos, count(*)::int as count from processor_transaction
    where processor = ${processor} and lane in ('payment', 'refund', 'dispute', 'other', 'opening') and intent_id is null
    group by 1, 2 order by 1, 2 limit ${ROWS_MAX}`.execute(ctx.db);
  return rows;
}
