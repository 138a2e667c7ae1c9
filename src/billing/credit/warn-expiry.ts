import { recordAudit } from "../../audit/index.ts";
import { formatMoney } from "../../base/money.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { noteCredit } from "../news.ts";
import { claimEnding } from "./store.ts";

/** Users hear of an end so long before it: time enough to use what is left. */
const BEFORE_MS = 7 * 24 * 3_600_000;
/** Grants of one pass; the next takes the rest. */
const BATCH_MAX = 500;

/**
 * Tells users, once a grant, that something of it is left and ends within a week. A grant for a week or less needs no warning: its
 * user has just been given it. Returns how many were told. A periodic job calls it.
 */
export function warnExpiry(ctx: DbCtx): Promise<number> {
  return withTransaction(ctx, async (tx) => {
    const now = tx.clock.now();
    const input = { now, until: new Date(now.getTime() + BEFORE_MS), beforeMs: BEFORE_MS, limit: BATCH_MAX };
    const ending = await claimEnding(tx, input);
    for (const { userId, grantId, currency, leftNanos, expiresAt } of ending) {
      const amount = { currency, nanos: leftNanos };
      await noteCredit(tx, { kind: "CREDIT_EXPIRING", userId, grantId, amount, expiresAt });
      await recordAudit(tx, {
        action: "credit.expiring",
        subjectId: userId,
        resource: `grant:${grantId}`,
        details: { amount: formatMoney(amount), expiresAt: expiresAt.toISOString() },
      });
    }
    return ending.length;
  });
}
