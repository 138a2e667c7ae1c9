import type { DbCtx } from "../db/db.ts";
import { KEPT_MS } from "./model.ts";
import { deleteEventsBefore } from "./store/events.ts";

/** Events of one delete: short transactions, whatever piled up. */
const BATCH_ROWS = 1_000;
/** Batches of one purge; what is left waits for the next one. */
const BATCHES_MAX = 100;

/** Forgets events older than they are kept, with their deliveries; returns how many. A periodic job calls it. */
export async function purgeWebhooks(ctx: DbCtx): Promise<number> {
  const before = new Date(ctx.clock.now().getTime() - KEPT_MS);
  let total = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const deleted = await deleteEventsBefore(ctx, before, BATCH_ROWS);
    total += deleted;
    if (deleted < BATCH_ROWS) break;
  }
  return total;
}
