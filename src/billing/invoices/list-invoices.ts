import { cutPage, foreignToken, type Page } from "../../base/page.ts";
import type { DbCtx } from "../../db/db.ts";
import type { InvoiceHead } from "./model.ts";
import { type InvoicesInput, selectInvoices } from "./store.ts";

/** What a page token of this list is bound to. */
export function invoicesQuery(userId: string): string {
  return `invoices ${userId}`;
}

/** One page of a user's invoices, the newest month first. */
export async function listInvoices(
  ctx: DbCtx,
  userId: string,
  page: Page,
): Promise<{ readonly rows: readonly InvoiceHead[]; readonly nextPageToken: string }> {
  const rows = await selectInvoices(ctx, { userId, after: cursorOf(page), limit: page.size + 1 });
  return cutPage(rows, page, invoicesQuery(userId), ({ month, number }) => [month, number]);
}

function cursorOf({ after }: Page): InvoicesInput["after"] {
  if (after === undefined) return undefined;
  const [month = "", number = ""] = after;
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(month)) throw foreignToken();
  return { month, number };
}
