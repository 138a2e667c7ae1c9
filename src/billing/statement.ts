/** The statement: what moved a user's money, newest first, with one growing line a month for tokens. */
import { isUuid } from "../base/id.ts";
import { cutPage, type Page, timeAndId } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import type { MovementCode } from "./ledger/index.ts";
import { readSettings } from "./settings.ts";
import { type LineCursor, type StatementLine, selectLines } from "./statement-store.ts";

export interface StatementQuery {
  readonly userId: string;
  /** Only these codes; undefined: all. */
  readonly codes: readonly MovementCode[] | undefined;
  /** Only of this model; "" = all. */
  readonly modelId: string;
}

/** What a page token of this list is bound to. */
export function statementQuery(query: StatementQuery): string {
  return `transactions ${query.userId} ${query.codes?.join(",") ?? ""} ${query.modelId}`;
}

/** One page of a user's statement. The amounts of succeeded lines of all pages add up to the balance. */
export async function statement(
  ctx: DbCtx,
  query: StatementQuery,
  page: Page,
): Promise<{ readonly rows: readonly StatementLine[]; readonly nextPageToken: string }> {
  const { currency } = await readSettings(ctx);
  const lines = await selectLines(ctx, {
    ...query,
    modelId: isUuid(query.modelId) ? query.modelId : null,
    currency,
    after: cursorOf(page),
    limit: page.size + 1,
  });
  return cutPage(lines, page, statementQuery(query), (line) => [line.at.toISOString(), line.id]);
}

/** A line's id is a transfer's or a month's. */
function cursorOf(page: Page): LineCursor | undefined {
  return timeAndId(page, (id) => id !== "");
}
