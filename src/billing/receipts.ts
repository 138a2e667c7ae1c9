/** Receipts: for every charge the counted facts and the price version that made it. */
import { cutPage, type Page, timeAndId } from "../base/page.ts";
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { mayReach, type Principal } from "../identity/index.ts";
import {
  type Receipt,
  type ReceiptsInput,
  selectGpuReceipt,
  selectGpuReceipts,
  selectTokenReceipt,
  selectTokenReceipts,
} from "./receipt-store.ts";

/** The receipt of a request or a window. Another's is RECEIPT_NOT_FOUND, as a missing one, to all but administrators. */
export async function getReceipt(ctx: DbCtx, principal: Principal, receiptId: string): Promise<Receipt> {
  const receipt = (await selectTokenReceipt(ctx, receiptId)) ?? (await selectGpuReceipt(ctx, receiptId));
  if (receipt && mayReach(ctx, principal, receipt.userId)) return receipt;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "RECEIPT_NOT_FOUND",
    message: "There is no such receipt. One appears about a second after its request ended.",
  });
}

/** What a page token of this list is bound to. */
export function receiptsQuery(query: { userId: string; modelId: string }): string {
  return `receipts ${query.userId} ${query.modelId}`;
}

/** One page of the receipts that a user pays, newest first; of one model, or ("") of all. */
export async function listReceipts(ctx: DbCtx, query: { userId: string; modelId: string }, page: Page) {
  const input: ReceiptsInput = { ...query, after: cursorOf(page), limit: page.size + 1 };
  const rows = [...(await selectTokenReceipts(ctx, input)), ...(await selectGpuReceipts(ctx, input))];
  const newest = rows.sort(newestFirst).slice(0, page.size + 1);
  return cutPage(newest, page, receiptsQuery(query), (receipt) => [
    receipt.at.toISOString(),
    receipt.receiptId,
  ]);
}

function newestFirst(a: Receipt, b: Receipt): number {
  return (
    b.at.getTime() - a.at.getTime() || Buffer.compare(Buffer.from(b.receiptId), Buffer.from(a.receiptId))
  );
}

/** A receipt's id is a request's id, which no UUID has to be. */
function cursorOf(page: Page): ReceiptsInput["after"] {
  return timeAndId(page, (id) => id !== "");
}
