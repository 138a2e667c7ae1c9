import type { DbCtx } from "../db/db.ts";
import { deleteBefore } from "./store.ts";

const HOUR_MS = 3_600_000;
/** A day's chart needs the minutes of a day and of the step that it began in. */
const MINUTES_KEPT_MS = 48 * HOUR_MS;
const HOURS_KEPT_MS = 35 * 24 * HOUR_MS;
/** Rows of one delete: short transactions, whatever piled up. */
const BATCH_ROWS = 1_000;
/** Batches of one pass; what is left waits for the next one. */
const BATCHES_MAX = 100;

/** Forgets minutes after two days and hours after five weeks; returns how many rows. A periodic job calls it. */
export async function pruneServed(ctx: DbCtx): Promise<number> {
  const now = ctx.clock.now().getTime();
  let pruned = 0;
  for (const [grain, keptMs] of [
    ["minute", MINUTES_KEPT_MS],
    ["hour", HOURS_KEPT_MS],
  ] as const) {
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      const deleted = await deleteBefore(ctx, { grain, before: new Date(now - keptMs), limit: BATCH_ROWS });
      pruned += deleted;
      if (deleted < BATCH_ROWS) break;
    }
  }
  return pruned;
}
