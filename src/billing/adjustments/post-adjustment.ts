import type { TxCtx } from "../../db/db.ts";
import { postTransfer } from "../ledger/index.ts";
import type { Adjustment } from "./model.ts";

/** Moves the money of an adjustment, once. Throws BALANCE_TOO_LOW where a debit finds less than it takes. */
export async function postAdjustment(
  tx: TxCtx,
  one: Pick<Adjustment, "adjustmentId" | "userId" | "direction" | "amountNanos" | "currency">,
): Promise<bigint> {
  const { transferId } = await postTransfer(tx, {
    key: `adjustment:${one.adjustmentId}`,
    code: one.direction === "CREDIT" ? "adjustment.credit" : "adjustment.debit",
    ownerId: one.userId,
    money: { currency: one.currency, nanos: one.amountNanos },
    at: tx.clock.now(),
  });
  return transferId;
}
