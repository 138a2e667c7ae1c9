import { cutPage, type Page, timeAndId } from "../../base/page.ts";
import type { DbCtx } from "../../db/db.ts";
import { selectCosts } from "./store.ts";

/** What a page token of this list is bound to. */
export const COSTS_QUERY = "provider-costs";

/** One page of the versions, the one that was told last first. */
export async function listProviderCosts(ctx: DbCtx, page: Page) {
  const rows = await selectCosts(ctx, { after: timeAndId(page), limit: page.size + 1 });
  return cutPage(rows, page, COSTS_QUERY, ({ createdAt, costId }) => [createdAt.toISOString(), costId]);
}
