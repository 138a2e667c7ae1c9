import { type DbCtx, withTransaction } from "../../db/db.ts";
import { monthRange } from "../journal/index.ts";
import { buyerOf, closingOf, LATE_MAX_MS, linesBetween } from "./draw-up.ts";
import { type InvoiceSettings, invoiceNumber, type Statement } from "./model.ts";
import { hasMovement, type Scope, selectCutoff, unhurried } from "./movement-store.ts";
import { insertInvoice, type LastInvoice, lockSeries, type Owner, selectLast } from "./store.ts";
import { describeLine } from "./words.ts";

export interface CloseInvoiceInput extends Owner {
  readonly month: string;
  readonly settings: InvoiceSettings;
}

/**
 * Issues a user's invoice of a month that is over, once: whoever comes second finds it there. Nothing moved: no invoice. What is
 * booked into the month after this goes to the next invoice. Returns the number, or undefined.
 */
export async function closeInvoice(ctx: DbCtx, input: CloseInvoiceInput): Promise<string | undefined> {
  const { userId, currency, month } = input;
  const last = await selectLast(ctx, userId, currency);
  const { to } = monthRange(month);
  if (last && last.to >= to) return undefined;
  const { uptoTransferId, balanceNanos } = await withTransaction(ctx, (tx) =>
    selectCutoff(tx, userId, currency),
  );
  const scope = scopeOf({ userId, currency, to, uptoTransferId }, last);
  const openingNanos = last?.closingNanos ?? 0n;
  const { closingNanos, lines } = await unhurried(ctx, async (tx) => {
    const closing = await closingOf(tx, scope, balanceNanos);
    const moved = openingNanos !== closing || (await hasMovement(tx, scope));
    const bounds = { openingNanos, closingNanos: closing };
    return { closingNanos: closing, lines: moved ? await linesBetween(tx, scope, bounds) : [] };
  });
  // Nothing moved, or only between accounts of the user's own.
  if (lines.length === 0) return undefined;
  const { series: _, ...seller } = input.settings;
  const buyer = await buyerOf(ctx, userId);
  const worded = lines.map((line) => ({
    ...line,
    details: { ...line.details, text: describeLine(line) },
  }));
  const drawn = { userId, currency, month, openingNanos, closingNanos, lines: worded, seller, buyer };
  return issue(ctx, input, last, { ...drawn, uptoTransferId });
}

/** What no invoice has by then. */
export function scopeOf(
  range: Pick<Scope, "userId" | "currency" | "to" | "uptoTransferId">,
  last: Pick<LastInvoice, "to" | "uptoTransferId"> | undefined,
): Scope {
  const lateFrom = new Date((last?.to ?? range.to).getTime() - LATE_MAX_MS);
  return { ...range, covered: last ?? null, lateFrom };
}

/** Gives the number and writes the invoice, in one transaction: a number that is given is there, and no other is skipped. */
function issue(
  ctx: DbCtx,
  { settings: { series } }: CloseInvoiceInput,
  last: LastInvoice | undefined,
  drawn: Statement & { readonly uptoTransferId: bigint },
): Promise<string | undefined> {
  return withTransaction(ctx, async (tx) => {
    const issuedAt = tx.clock.now();
    const year = issuedAt.getUTCFullYear();
    const seq = (await lockSeries(tx, series, year)) + 1;
    // Another worker was first: what this one found is on that one's invoice.
    const newest = await selectLast(tx, drawn.userId, drawn.currency);
    if (newest?.number !== last?.number) return undefined;
    const number = invoiceNumber(series, year, seq);
    await insertInvoice(tx, { ...drawn, number, series, year, seq, issuedAt });
    return number;
  });
}
