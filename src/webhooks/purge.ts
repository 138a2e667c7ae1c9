import type { DbCtx } from "../db/db.ts";
import { type Batches, deleteInBatches } from "../db/delete-in-batches.ts";
import { KEPT_MS } from "./model.ts";
import { deleteEventsBefore } from "./store/events.ts";

const BATCHES: Batches = { rows: 1_000, batchesMax: 100 };

/** Forgets events older than they are kept, with their deliveries; returns how many. A periodic job calls it. */
export function purgeWebhooks(ctx: DbCtx): Promise<number> {
  const before = new Date(ctx.clock.now().getTime() - KEPT_MS);
  return deleteInBatches(BATCHES, (limit) => deleteEventsBefore(ctx, before, limit));
}
