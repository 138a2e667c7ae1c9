import { invalidArgument, StatusError } from "../../base/status.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { monthRange } from "../journal/index.ts";
import { scopeOf } from "./close-invoice.ts";
import { buyerOf, closingOf, linesBetween } from "./draw-up.ts";
import { noInvoice } from "./get-invoice.ts";
import type { Invoice, Seller } from "./model.ts";
import { selectCutoff } from "./movement-store.ts";
import { isClosed, selectInvoiceSettings, selectLast, selectNumberOf } from "./store.ts";

/** What a draft says where no seller is configured. */
const NOBODY: Seller = { name: "", address: "", taxId: "", note: "" };

const NOTHING_MOVED = "Nothing moved in this month: there is no invoice.";

export interface DraftInput {
  readonly userId: string;
  readonly currency: string;
  /** "2026-03"; "" for the month that it is. */
  readonly month: string;
}

/**
 * A month that is not closed, as it stands: without a number, and as long as it is under way with other lines each time. Throws
 * INVALID_FIELD for a month to come or none, INVOICE_ISSUED for one that has its invoice, INVOICE_NOT_FOUND where nothing moved.
 */
export async function draftInvoice(ctx: DbCtx, input: DraftInput): Promise<Invoice> {
  const now = ctx.clock.now();
  const { userId, currency, month = "" } = { ...input, month: input.month || now.toISOString().slice(0, 7) };
  const { from, to } = monthRange(month);
  if (from > now) throw invalidArgument([{ field: "month", description: "has not begun yet" }]);
  await refuseIssued(ctx, { userId, currency, month });
  const { uptoTransferId, balanceNanos } = await withTransaction(ctx, (tx) =>
    selectCutoff(tx, userId, currency),
  );
  const range = { userId, currency, to, uptoTransferId };
  const last = await selectLast(ctx, userId, currency);
  // A month before this one that is still open has its own invoice to come: this one begins after it.
  const begins = (await isClosed(ctx, monthBefore(from))) ? last : { to: from, uptoTransferId };
  const scope = scopeOf(range, begins);
  const openingNanos =
    begins === last ? (last?.closingNanos ?? 0n) : await closingOf(ctx, { ...range, to: from }, balanceNanos);
  const closingNanos = await closingOf(ctx, scope, balanceNanos);
  const lines = await linesBetween(ctx, scope, { openingNanos, closingNanos });
  if (lines.length === 0) throw noInvoice(NOTHING_MOVED);
  const seller = sellerOf(await selectInvoiceSettings(ctx));
  const buyer = await buyerOf(ctx, userId);
  const drawn = { userId, currency, month, openingNanos, closingNanos, lines, seller, buyer };
  return { ...drawn, number: "", issuedAt: now };
}

function sellerOf(settings: Seller | null): Seller {
  const { name, address, taxId, note } = settings ?? NOBODY;
  return { name, address, taxId, note };
}

function monthBefore(from: Date): string {
  return new Date(from.getTime() - 1).toISOString().slice(0, 7);
}

async function refuseIssued(ctx: DbCtx, input: DraftInput): Promise<void> {
  const number = await selectNumberOf(ctx, input);
  if (number !== undefined) {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "INVOICE_ISSUED",
      message: `The month is closed. Its invoice is ${number}: get that one.`,
      metadata: { invoiceNumber: number },
    });
  }
  if (await isClosed(ctx, input.month)) throw noInvoice(NOTHING_MOVED);
}
