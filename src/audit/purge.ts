import type { DbCtx } from "../db/db.ts";
import { purgeEvents } from "./store.ts";

const DAY_MS = 86_400_000;
/** Events of one statement, and statements of one run: a table that was never purged is emptied over several runs. */
const BATCH_MAX = 10_000;
const BATCHES_MAX = 20;

/** Deletes what is older than `keepDays` and says how many events that were. Throws where that is less than 30 days. */
export async function purgeAudit(ctx: DbCtx, input: { readonly keepDays: number }): Promise<number> {
  const before = new Date(ctx.clock.now().getTime() - input.keepDays * DAY_MS);
  let purged = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const gone = await purgeEvents(ctx.db, before, BATCH_MAX);
    purged += gone;
    if (gone < BATCH_MAX) break;
  }
  return purged;
}
