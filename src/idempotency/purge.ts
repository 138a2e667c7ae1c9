import type { DbCtx } from "../db/db.ts";
import { deleteExpired } from "./store.ts";

/** Rows of one delete: short transactions, whatever piled up. */
const BATCH_ROWS = 1_000;
/** Batches of one purge; what is left waits for the next one. */
const BATCHES_MAX = 100;

/** Forgets answers older than a day; returns how many. A periodic job calls it. */
export async function purgeIdempotency(ctx: DbCtx): Promise<number> {
  const now = ctx.clock.now();
  let total = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const deleted = await deleteExpired(ctx, now, BATCH_ROWS);
    total += deleted;
    if (deleted < BATCH_ROWS) break;
  }
  return total;
}
