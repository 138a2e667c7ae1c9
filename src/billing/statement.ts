/** The statement: what moved a user's money, newest first, with one growing line a month for tokens. */
import { isUuid } from "../base/id.ts";
import { cutPage, type Page } from "../base/page.ts";
import { invalidArgument } from "../base/status.ts";
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

function cursorOf(page: Page): LineCursor | undefined {
  if (page.after === undefined) return undefined;
  const [time = "", id = ""] = page.after;
  const at = new Date(time);
  if (!Number.isNaN(at.getTime()) && id !== "") return { at, id };
  throw invalidArgument([{ field: "page_token", description: "must be the nextPageToken of the same list" }]);
}
