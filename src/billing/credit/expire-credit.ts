import { recordAudit } from "../../audit/index.ts";
import { formatMoney } from "../../base/money.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { expirePot, type Pot, selectDuePots } from "../ledger/index.ts";
import { noteCredit } from "../news.ts";

/** Pots of one look; each ends in a transaction of its own, so that no user's balance waits for another's. */
const BATCH_MAX = 200;
/** Looks of one pass: what is left is the next pass's. */
const LOOKS_MAX = 50;

/**
 * Books as expired what is left of credit whose end has come, once, with the user's event and news. What a hold keeps stays until
 * the hold gives it back; a later pass ends that. Returns how many grants lost something. A periodic job calls it.
 */
export async function expireCredit(ctx: DbCtx): Promise<number> {
  let ended = 0;
  for (let look = 0; look < LOOKS_MAX; look++) {
    const due = await selectDuePots(ctx, ctx.clock.now(), BATCH_MAX);
    for (const pot of due) if (await end(ctx, pot)) ended += 1;
    if (due.length < BATCH_MAX) break;
  }
  return ended;
}

/** False where another worker was first. */
function end(ctx: DbCtx, { accountId, ownerId: userId, currency, potId, expiresAt }: Pot): Promise<boolean> {
  return withTransaction(ctx, async (tx) => {
    const expired = await expirePot(tx, accountId, tx.clock.now());
    if (!expired || potId === null || expiresAt === null) return false;
    const amount = { currency, nanos: expired.nanos };
    await noteCredit(tx, { kind: "CREDIT_EXPIRED", userId, grantId: potId, amount, expiresAt });
    await recordAudit(tx, {
      action: "credit.expired",
      subjectId: userId,
      resource: `transaction:${expired.transferId}`,
      details: { amount: formatMoney(amount), grantId: potId },
    });
    return true;
  });
}
