import type { DbCtx } from "../db/db.ts";
import { type Batches, deleteInBatches } from "../db/delete-in-batches.ts";
import { purgeEvents } from "./store.ts";

const DAY_MS = 86_400_000;
/** A table that was never purged is emptied over several runs. */
const BATCHES: Batches = { rows: 10_000, batchesMax: 20 };

/** Deletes what is older than `keepDays` and says how many events that were. Throws where that is less than 30 days. */
export async function purgeAudit(ctx: DbCtx, input: { readonly keepDays: number }): Promise<number> {
  const before = new Date(ctx.clock.now().getTime() - input.keepDays * DAY_MS);
  return deleteInBatches(BATCHES, (limit) => purgeEvents(ctx.db, before, limit));
}
