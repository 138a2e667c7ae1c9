/** What a month's receipts would have come to: the computation is the command line's own (base/what-if.ts). */
import { type FieldViolation, invalidArgument, StatusError } from "../base/status.ts";
import { type CountedReceipt, type WhatIfChange, type WhatIfLine, whatIf } from "../base/what-if.ts";
import type { DbCtx } from "../db/db.ts";
import { monthRange } from "./journal/index.ts";
import { amountViolations } from "./pricing/index.ts";
import { type Receipt, selectGpuReceipts, selectTokenReceipts } from "./receipt-store.ts";
import { readSettings } from "./settings.ts";

/**
 * Receipts of one computation: a charge is floored once a receipt, so that each is looked at. So many take about two seconds and are
 * read page by page; whoever has more computes them offline.
 */
export const WHAT_IF_RECEIPTS_MAX = 50_000;
const PAGE = 1_000;

export interface WhatIfQuery {
  readonly userId: string;
  /** "" = all. */
  readonly modelId: string;
  /** "2026-03"; "" for the last one that is over. */
  readonly month: string;
  /** Of the prices that are given, by request field. */
  readonly prices: Readonly<Record<string, { readonly currency: string; readonly nanos: bigint }>>;
  readonly change: WhatIfChange;
}

export interface MonthWhatIf {
  readonly month: string;
  readonly currency: string;
  readonly lines: readonly WhatIfLine[];
}

/** Throws INVALID_FIELD, CURRENCY_MISMATCH, AMOUNT_INVALID, and TOO_MANY_RECEIPTS above the bound. */
export async function whatIfOfMonth(
  ctx: DbCtx,
  query: WhatIfQuery,
  receiptsMax = WHAT_IF_RECEIPTS_MAX,
): Promise<MonthWhatIf> {
  const now = ctx.clock.now();
  const month = query.month === "" ? monthBefore(now) : query.month;
  const range = monthRange(month);
  if (range.from > now) throw invalidArgument([{ field: "month", description: "has not begun yet" }]);
  const { currency } = await readSettings(ctx);
  const violations = priceViolations(currency, query.prices);
  if (violations.length > 0) throw invalidArgument(violations);
  const receipts: CountedReceipt[] = [];
  for (const select of [selectTokenReceipts, selectGpuReceipts]) {
    for await (const receipt of receiptsOf(select, ctx, query, range)) {
      if (receipts.length >= receiptsMax) throw tooMany(receiptsMax);
      receipts.push(counted(receipt));
    }
  }
  return { month, currency, lines: whatIf(receipts, query.change) };
}

function priceViolations(currency: string, prices: WhatIfQuery["prices"]): readonly FieldViolation[] {
  return Object.entries(prices).flatMap(([field, price]) =>
    amountViolations(currency, { currency: price.currency, amounts: { [field]: price.nanos } }),
  );
}

/** Page by page, the newest first; ids begin after "", so that the range's end is not in it. */
async function* receiptsOf(
  select: typeof selectTokenReceipts,
  ctx: DbCtx,
  { userId, modelId }: WhatIfQuery,
  { from, to }: { readonly from: Date; readonly to: Date },
): AsyncGenerator<Receipt> {
  let after = { at: to, id: "" };
  for (;;) {
    const page = await select(ctx, { userId, modelId, after, from, limit: PAGE });
    yield* page;
    const last = page.at(-1);
    if (page.length < PAGE || last === undefined) return;
    after = { at: last.at, id: last.receiptId };
  }
}

function counted(receipt: Receipt): CountedReceipt {
  const { receiptId, modelId, servedName, currency, chargeNanos, usage, priceVersionId } = receipt;
  const kept = { receiptId, modelId, servedName, currency, chargeNanos };
  if (usage.kind === "gpu") return { ...kept, usage };
  return { ...kept, usage: { ...usage, priced: priceVersionId !== null } };
}

function monthBefore(now: Date): string {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 0)).toISOString().slice(0, 7);
}

function tooMany(receiptsMax: number): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOO_MANY_RECEIPTS",
    message: `The month has more than ${receiptsMax} receipts. Name one model, or get the receipts and compute offline: slipway bill what-if <file>.`,
    metadata: { receiptsMax: String(receiptsMax) },
  });
}
