import type { DbCtx } from "../db/db.ts";
import { type Batches, deleteInBatches } from "../db/delete-in-batches.ts";
import { deleteBefore } from "./store.ts";

const HOUR_MS = 3_600_000;
/** A day's chart needs the minutes of a day and of the step that it began in. */
const MINUTES_KEPT_MS = 48 * HOUR_MS;
const HOURS_KEPT_MS = 35 * 24 * HOUR_MS;
const BATCHES: Batches = { rows: 1_000, batchesMax: 100 };

/** Forgets minutes after two days and hours after five weeks; returns how many rows. A periodic job calls it. */
export async function pruneServed(ctx: DbCtx): Promise<number> {
  const now = ctx.clock.now().getTime();
  let pruned = 0;
  for (const [grain, keptMs] of [
    ["minute", MINUTES_KEPT_MS],
    ["hour", HOURS_KEPT_MS],
  ] as const) {
    const before = new Date(now - keptMs);
    pruned += await deleteInBatches(BATCHES, (limit) => deleteBefore(ctx, { grain, before, limit }));
  }
  return pruned;
}
