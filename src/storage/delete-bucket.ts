import type { DbCtx } from "../db/db.ts";
import { bucketMissing } from "./model.ts";
import { markDeleted } from "./store.ts";

/**
 * Takes a user's bucket away: no replica gets it any more from now on, and the next sweep removes its files. Throws
 * STORAGE_NOT_FOUND.
 */
export async function deleteBucket(ctx: DbCtx, userId: string): Promise<void> {
  if (!(await markDeleted(ctx, userId, ctx.clock.now()))) throw bucketMissing();
}
