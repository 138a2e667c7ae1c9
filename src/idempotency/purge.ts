import type { DbCtx } from "../db/db.ts";
import { type Batches, deleteInBatches } from "../db/delete-in-batches.ts";
import { deleteExpired } from "./store.ts";

const BATCHES: Batches = { rows: 1_000, batchesMax: 100 };

/** Forgets answers older than a day; returns how many. A periodic job calls it. */
export function purgeIdempotency(ctx: DbCtx): Promise<number> {
  const now = ctx.clock.now();
  return deleteInBatches(BATCHES, (limit) => deleteExpired(ctx, now, limit));
}
