import type { DbCtx } from "../db/db.ts";
import { type Batches, deleteInBatches } from "../db/delete-in-batches.ts";
import { deleteExpiredArtifacts } from "./store/artifacts.ts";

const BATCHES: Batches = { rows: 1_000, batchesMax: 50 };

/** Removes sessions, codes and tokens that have ended; what is left over is for the next pass. */
export async function purgeLoginState(ctx: DbCtx): Promise<void> {
  await deleteInBatches(BATCHES, (limit) => deleteExpiredArtifacts(ctx, ctx.clock.now(), limit));
}
