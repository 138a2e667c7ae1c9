import type { TxCtx } from "../../db/db.ts";
import { grantCredit } from "../credit/index.ts";
import { postTransfer } from "../ledger/index.ts";
import type { Adjustment } from "./model.ts";

/**
 * Moves the money of an adjustment, once. Throws BALANCE_TOO_LOW where a debit finds less than it takes, and EXPIRY_INVALID,
 * TOO_MANY_GRANTS for a grant.
 */
export async function postAdjustment(tx: TxCtx, one: Adjustment): Promise<bigint> {
  const { transferId } = await (one.kind === "GRANT" ? grant(tx, one) : correct(tx, one));
  return transferId;
}

function grant(tx: TxCtx, one: Adjustment): Promise<{ readonly transferId: bigint }> {
  const { adjustmentId: key, userId, reason, testMoney, creditExpiresAt: expiresAt } = one;
  const amount = { currency: one.currency, nanos: one.amountNanos };
  return grantCredit(tx, { operatorId: one.proposedBy, userId, amount, reason, key, expiresAt, testMoney });
}

function correct(tx: TxCtx, one: Adjustment): Promise<{ readonly transferId: bigint }> {
  return postTransfer(tx, {
    key: `adjustment:${one.adjustmentId}`,
    code: one.direction === "CREDIT" ? "adjustment.credit" : "adjustment.debit",
    ownerId: one.userId,
    money: { currency: one.currency, nanos: one.amountNanos },
    at: tx.clock.now(),
  });
}
