import type { DbCtx } from "../db/db.ts";
import { deleteExpiredArtifacts } from "./store/artifacts.ts";

/** A statement that locks no more than this, and a pass that runs no longer than it must. */
const BATCH = 1_000;
const BATCHES_MAX = 50;

/** Removes sessions, codes and tokens that have ended; what is left over is for the next pass. */
export async function purgeLoginState(ctx: DbCtx): Promise<void> {
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    if ((await deleteExpiredArtifacts(ctx, ctx.clock.now(), BATCH)) < BATCH) return;
  }
}
