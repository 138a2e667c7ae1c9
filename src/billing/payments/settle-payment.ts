/** What the processor says of a payment becomes ours: state and ledger in one transaction, and money once. */
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { postTransfer } from "../ledger/index.ts";
import { notePayment } from "../news.ts";
import { settleDebt } from "./debt.ts";
import { type Intent, lockIntent, updateIntent } from "./intent-store.ts";
import type { Payment } from "./processor.ts";

/** The intent as it was when the payment was read from the processor. */
type Seen = Pick<Intent, "intentId" | "version">;

/**
 * Writes down what was read. False when the row has changed since `seen`: another reading may be newer, so the caller reads
 * again. A payment that succeeded is final: what was read of it before can't undo it, and what says so again changes nothing.
 */
export function settlePayment(ctx: DbCtx, seen: Seen, payment: Payment): Promise<boolean> {
  return withTransaction(ctx, (tx) => settlePaymentIn(tx, seen, payment));
}

export async function settlePaymentIn(tx: TxCtx, seen: Seen, payment: Payment): Promise<boolean> {
  const intent = await lockIntent(tx, seen.intentId);
  if (!intent || intent.state === "succeeded") return true;
  const { outcome, processorId } = payment;
  // Success can be read too early never; everything else may have been overtaken.
  if (outcome.state !== "succeeded" && intent.version !== seen.version) return false;
  const transferId = outcome.state === "succeeded" ? await credit(tx, intent) : null;
  await updateIntent(tx, intent.intentId, {
    state: outcome.state,
    processorId,
    failure: outcome.state === "failed" ? outcome : null,
    transferId,
    at: tx.clock.now(),
  });
  await noteEnd(tx, intent, payment);
  return true;
}

/** What is read again says nothing new; a failure may still be followed by a success. */
async function noteEnd(tx: TxCtx, intent: Intent, { outcome, processorId }: Payment): Promise<void> {
  if (outcome.state !== "succeeded" && outcome.state !== "failed") return;
  if (outcome.state === intent.state) return;
  await notePayment(tx, {
    userId: intent.userId,
    paymentId: processorId || (intent.processorId ?? ""),
    amount: { currency: intent.currency, nanos: intent.amountNanos },
    failure: outcome.state === "failed" ? outcome.reason : null,
  });
}

async function credit(tx: TxCtx, intent: Intent): Promise<bigint> {
  const { intentId, userId: ownerId, currency } = intent;
  const { transferId } = await postTransfer(tx, {
    key: `topup:${intentId}`,
    code: "topup.card",
    ownerId,
    money: { currency, nanos: intent.amountNanos },
    at: tx.clock.now(),
  });
  await settleDebt(tx, { userId: ownerId, currency, key: `topup:${intentId}` });
  return transferId;
}
