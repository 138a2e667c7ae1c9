/** What the processor says of a refund becomes ours: state and ledger in one transaction. */
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { captureHolds, endHold, postTransfer } from "../ledger/index.ts";
import { noteRefund } from "../news.ts";
import { settleDebt } from "./debt.ts";
import { selectIntent } from "./intent-store.ts";
import type { Refund } from "./processor.ts";
import { lockRefund, type RefundRow, updateRefund } from "./refund-store.ts";
import { takeMoney } from "./take-money.ts";

/** The row as it was when the refund was read from the processor. */
type Seen = Pick<RefundRow, "refundId" | "version">;

/** False when the row has changed since `seen`: what was read may be older than it. */
export function settleRefund(ctx: DbCtx, seen: Seen, refund: Refund): Promise<boolean> {
  return withTransaction(ctx, (tx) => settleRefundIn(tx, seen, refund));
}

export async function settleRefundIn(tx: TxCtx, seen: Seen, refund: Refund): Promise<boolean> {
  const row = await lockRefund(tx, seen.refundId);
  if (!row || row.state === "failed") return true;
  if (row.version !== seen.version) return false;
  const { outcome, processorId } = refund;
  if (outcome.state === "succeeded" && !row.posted) await sendOut(tx, row);
  if (outcome.state === "failed") await takeBack(tx, row);
  await noteEnd(tx, row, refund);
  await updateRefund(tx, row.refundId, {
    // A refund that went out is no longer pending, whatever it is called on its way.
    state: outcome.state === "pending" ? row.state : outcome.state,
    processorId,
    failure: outcome.state === "failed" ? outcome.why : null,
    posted: outcome.state === "succeeded" || (row.posted && outcome.state !== "failed"),
    at: tx.clock.now(),
  });
  return true;
}

/** What is read again says nothing new; one that went out may still come back. */
async function noteEnd(tx: TxCtx, row: RefundRow, { outcome, processorId }: Refund): Promise<void> {
  if (outcome.state === "pending" || (outcome.state === "succeeded" && row.posted)) return;
  const { userId, currency, amountNanos: nanos } = row;
  await noteRefund(tx, {
    userId,
    paymentId: (await selectIntent(tx, row.intentId))?.processorId ?? "",
    refundId: processorId || (row.processorId ?? ""),
    amount: { currency, nanos },
    failed: outcome.state === "failed",
  });
}

async function sendOut(tx: TxCtx, row: RefundRow): Promise<void> {
  const { holdId, userId, currency, amountNanos: nanos } = row;
  const key = `refund:${row.refundId}`;
  const at = tx.clock.now();
  if (holdId !== null) {
    await captureHolds(tx, [{ holdId, key, code: "refund.card", nanos, ends: true, at }]);
    return;
  }
  const codes = { code: "refund.card", debtCode: "refund.receivable" } as const;
  await takeMoney(tx, { userId, money: { currency, nanos }, key, ...codes });
}

/** The money is ours again: out of the hold, or, where it had gone out, back by a movement of its own. */
async function takeBack(tx: TxCtx, row: RefundRow): Promise<void> {
  const at = tx.clock.now();
  if (!row.posted) {
    if (row.holdId !== null) await endHold(tx, { holdId: row.holdId, state: "released", at });
    return;
  }
  const { userId, currency, amountNanos: nanos } = row;
  const key = `refund:${row.refundId}:returned`;
  await postTransfer(tx, { key, code: "refund.returned", ownerId: userId, money: { currency, nanos }, at });
  await settleDebt(tx, { userId, currency, key });
}
