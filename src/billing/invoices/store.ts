/** Every statement on invoice, invoice_line and invoice_close. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { monthRange } from "../journal/index.ts";
import type { Invoice, InvoiceHead, InvoiceLine, InvoiceSettings } from "./model.ts";

/** Null: no invoices are issued. */
export async function selectInvoiceSettings(ctx: DbCtx): Promise<InvoiceSettings | null> {
  const { rows } = await sql<{ seller: InvoiceSettings | null }>`
    select invoice_seller as seller from billing_settings`.execute(ctx.db);
  return rows[0]?.seller ?? null;
}

/** The last invoice of a user, by month. */
export interface LastInvoice {
  readonly number: string;
  /** The first moment that it does not cover. */
  readonly to: Date;
  readonly uptoTransferId: bigint;
  readonly closingNanos: bigint;
}

export async function selectLast(
  ctx: DbCtx,
  userId: string,
  currency: string,
): Promise<LastInvoice | undefined> {
  const { rows } = await sql<Omit<LastInvoice, "to"> & { month: string }>`
    select number, to_char(month, 'YYYY-MM') as month, upto_transfer_id as "uptoTransferId", closing_nanos as "closingNanos"
    from invoice where user_id = ${userId} and currency = ${currency} order by invoice.month desc limit 1`.execute(
    ctx.db,
  );
  const [row] = rows;
  return row && { ...row, to: monthRange(row.month).to };
}

/** Lets one closing at a time give numbers, until its transaction ends; returns the last number given in the series and year. */
export async function lockSeries(tx: TxCtx, series: string, year: number): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended('invoices', 0))`.execute(tx.db);
  const { rows } = await sql<{ seq: number }>`
    select coalesce(max(seq), 0)::int as seq from invoice where series = ${series} and year = ${year}`.execute(
    tx.db,
  );
  return rows[0]?.seq ?? 0;
}

export interface NewInvoice extends Invoice {
  readonly series: string;
  readonly year: number;
  readonly seq: number;
  readonly uptoTransferId: bigint;
}

export async function insertInvoice(tx: TxCtx, invoice: NewInvoice): Promise<void> {
  const { number, lines } = invoice;
  await sql`
    insert into invoice (number, series, year, seq, user_id, currency, month, upto_transfer_id, opening_nanos, closing_nanos,
      line_count, seller, buyer, issued_at)
    values (${number}, ${invoice.series}, ${invoice.year}, ${invoice.seq}, ${invoice.userId}, ${invoice.currency},
      ${`${invoice.month}-01`}, ${invoice.uptoTransferId}, ${invoice.openingNanos}, ${invoice.closingNanos}, ${lines.length},
      ${JSON.stringify(invoice.seller)}, ${JSON.stringify(invoice.buyer)}, ${invoice.issuedAt})`.execute(
    tx.db,
  );
  const rows = lines.map(({ amountNanos, ...rest }, at) => ({
    ...rest,
    line: at + 1,
    amount: amountNanos.toString(),
  }));
  await sql`
    insert into invoice_line (number, line, kind, code, amount_nanos, details)
    select ${number}, line, kind, code, amount, details
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(line int, kind text, code text, amount bigint, details jsonb)`.execute(
    tx.db,
  );
}

const HEAD = sql`invoice.number, user_id as "userId", currency, to_char(month, 'YYYY-MM') as month, opening_nanos as "openingNanos",
  closing_nanos as "closingNanos", issued_at as "issuedAt"`;

export async function selectInvoice(ctx: DbCtx, number: string): Promise<Invoice | undefined> {
  const { rows } = await sql<Omit<Invoice, "lines">>`
    select ${HEAD}, seller, buyer from invoice where number = ${number}`.execute(ctx.db);
  const [head] = rows;
  if (!head) return undefined;
  const { rows: lines } = await sql<InvoiceLine>`
    select kind, code, amount_nanos as "amountNanos", details from invoice_line where number = ${number} order by line`.execute(
    ctx.db,
  );
  return { ...head, lines };
}

/** The number of a month's invoice. */
export async function selectNumberOf(
  ctx: DbCtx,
  input: { readonly userId: string; readonly currency: string; readonly month: string },
): Promise<string | undefined> {
  const { rows } = await sql<{ number: string }>`
    select number from invoice
    where user_id = ${input.userId} and currency = ${input.currency} and month = ${`${input.month}-01`}::date`.execute(
    ctx.db,
  );
  return rows[0]?.number;
}

export interface InvoicesInput {
  readonly userId: string;
  /** The last of the page before. */
  readonly after: { readonly month: string; readonly number: string } | undefined;
  readonly limit: number;
}

/** A user's, the newest month first. */
export async function selectInvoices(ctx: DbCtx, input: InvoicesInput): Promise<readonly InvoiceHead[]> {
  const { userId, after, limit } = input;
  const { rows } = await sql<InvoiceHead>`
    select ${HEAD}, sums.* from invoice cross join lateral (
      select coalesce(sum(amount_nanos) filter (where code not like 'charge.%'), 0)::bigint as "creditedNanos",
        -coalesce(sum(amount_nanos) filter (where code like 'charge.%'), 0)::bigint as "chargedNanos"
      from invoice_line l where l.number = invoice.number) sums
    where user_id = ${userId}
      and ${after ? sql`(invoice.month, invoice.number) < (${`${after.month}-01`}::date, ${after.number})` : sql`true`}
    order by invoice.month desc, invoice.number desc limit ${limit}`.execute(ctx.db);
  return rows;
}

/** The month after the last closed one, or that of the first movement; undefined while nothing has moved. */
export async function selectNextMonth(ctx: DbCtx): Promise<string | undefined> {
  const { rows } = await sql<{ month: string | null }>`
    select to_char(coalesce(
      (select max(month) + interval '1 month' from invoice_close),
      (select min(at) at time zone 'UTC' from ledger_transfer where id = (select min(id) from ledger_transfer))), 'YYYY-MM') as month`.execute(
    ctx.db,
  );
  return rows[0]?.month ?? undefined;
}

export async function isClosed(ctx: DbCtx, month: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from invoice_close where month = ${`${month}-01`}::date) as found`.execute(ctx.db);
  return rows[0]?.found ?? false;
}

export async function insertClose(ctx: DbCtx, month: string, closedAt: Date): Promise<void> {
  await sql`insert into invoice_close (month, closed_at) values (${`${month}-01`}, ${closedAt}) on conflict do nothing`.execute(
    ctx.db,
  );
}

export interface Owner {
  readonly userId: string;
  readonly currency: string;
}

/** Everybody with an account made before a moment, by user and currency. */
export async function selectOwners(
  ctx: DbCtx,
  input: { readonly before: Date; readonly after: Owner | undefined; readonly limit: number },
): Promise<readonly Owner[]> {
  const { before, after, limit } = input;
  const { rows } = await sql<Owner>`
    select owner_id as "userId", currency from ledger_account
    where kind = 'user' and created_at < ${before}
      and ${after ? sql`(owner_id, currency) > (${after.userId}::uuid, ${after.currency})` : sql`true`}
    order by 1, 2 limit ${limit}`.execute(ctx.db);
  return rows;
}
