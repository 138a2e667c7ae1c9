import { recordAudit } from "../../audit/index.ts";
import { cutPage, foreignToken, type Page } from "../../base/page.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { monthRange } from "./month.ts";
import { type JournalCursor, type JournalRow, selectJournal } from "./store.ts";

/** What a page token of this list is bound to. */
export function journalQuery(month: string): string {
  return `journal ${month}`;
}

/** One page of a month's journal; who began to read it is in the audit log. Throws INVALID_FIELD. */
export function listJournalLines(
  ctx: DbCtx,
  month: string,
  page: Page,
): Promise<{ readonly rows: readonly JournalRow[]; readonly nextPageToken: string }> {
  const range = monthRange(month);
  const after = cursorOf(page);
  return withTransaction(ctx, async (tx) => {
    const rows = await selectJournal(tx, { ...range, after, limit: page.size + 1 });
    if (after === undefined) {
      await recordAudit(tx, { action: "journal.read", resource: `journal:${month}` });
    }
    return cutPage(rows, page, journalQuery(month), (row) => [String(row.transferId), String(row.line)]);
  });
}

function cursorOf({ after }: Page): JournalCursor | undefined {
  if (after === undefined) return undefined;
  const [transferId = "", line = ""] = after;
  if (!/^\d{1,18}$/.test(transferId) || !/^\d{1,4}$/.test(line)) throw foreignToken();
  return { transferId: BigInt(transferId), line: Number(line) };
}
