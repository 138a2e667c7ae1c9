import { recordAudit } from "../../audit/index.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { expireOpen } from "./store.ts";

/** Of one pass; the next takes the rest. */
const BATCH_MAX = 200;

/** Ends proposals that nobody decided in time. Returns how many. A periodic job calls it. */
export function expireAdjustments(ctx: DbCtx): Promise<number> {
  return withTransaction(ctx, async (tx) => {
    const expired = await expireOpen(tx, tx.clock.now(), BATCH_MAX);
    for (const { userId, adjustmentId } of expired) {
      await recordAudit(tx, {
        action: "adjustment.expired",
        subjectId: userId,
        resource: `adjustment:${adjustmentId}`,
      });
    }
    return expired.length;
  });
}
