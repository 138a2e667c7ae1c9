import type { DbCtx } from "../../db/db.ts";
import { type Batches, deleteInBatches } from "../../db/delete-in-batches.ts";
import { deleteFineBuckets } from "./store.ts";

/** The longest rolling period begins 30 days back, and the hour and the day in which it does are tiled by minutes and hours. */
const KEPT_MS = 40 * 86_400_000;
const BATCHES: Batches = { rows: 5_000, batchesMax: 50 };

/** Forgets minutes and hours that no rolling period reaches any more; days stay. Returns how many rows. A periodic job calls it. */
export function pruneSpending(ctx: DbCtx): Promise<number> {
  const before = new Date(ctx.clock.now().getTime() - KEPT_MS);
  return deleteInBatches(BATCHES, (limit) => deleteFineBuckets(ctx, before, limit));
}
