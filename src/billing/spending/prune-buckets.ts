import type { DbCtx } from "../../db/db.ts";
import { deleteFineBuckets } from "./store.ts";

/** The longest rolling period begins 30 days back, and the hour and the day in which it does are tiled by minutes and hours. */
const KEPT_MS = 40 * 86_400_000;
/** Rows of one delete: short transactions, whatever piled up. */
const BATCH_ROWS = 5_000;
/** Batches of one pass; what is left waits for the next one. */
const BATCHES_MAX = 50;

/** Forgets minutes and hours that no rolling period reaches any more; days stay. Returns how many rows. A periodic job calls it. */
export async function pruneSpending(ctx: DbCtx): Promise<number> {
  const before = new Date(ctx.clock.now().getTime() - KEPT_MS);
  let pruned = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const deleted = await deleteFineBuckets(ctx, before, BATCH_ROWS);
    pruned += deleted;
    if (deleted < BATCH_ROWS) break;
  }
  return pruned;
}
