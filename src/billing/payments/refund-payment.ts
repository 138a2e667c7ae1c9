/** Money of a payment back to its card: held first, then asked for, then out of the books. */
import { recordAudit } from "../../audit/index.ts";
import { formatMoney, lesserNanos, type Money } from "../../base/money.ts";
import { StatusError } from "../../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { placeHold, readLockedBalance } from "../ledger/index.ts";
import { smallestCoinNanos } from "./coin.ts";
import { driveRefund } from "./drive-refund.ts";
import { type Intent, lockIntent, selectIntentByProcessorId } from "./intent-store.ts";
import type { PaymentProcessor } from "./processor.ts";
import { insertRefund, type NewRefund, type RefundRow, selectRefund, sumGivenBack } from "./refund-store.ts";

export interface RefundPaymentInput {
  /** The administrator who orders it. */
  readonly operatorId: string;
  /** The processor's id of the payment. */
  readonly paymentId: string;
  /** Undefined: all of it that can be refunded. */
  readonly money: Money | undefined;
  /** For the books. */
  readonly reason: string;
  /** Same key, same refund. */
  readonly key: string;
}

/**
 * Refundable is what is left of the payment, of the money that cards paid and nobody spent or holds. Credit lies apart
 * and is spent before it, so none of it is ever paid out. Returns the refund: `pending` while the bank works on it. Throws PAYMENT_NOT_FOUND,
 * REFUND_REFUSED, IDEMPOTENCY_KEY_REUSED, UNAVAILABLE (it is driven on).
 */
export async function refundPayment(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: RefundPaymentInput,
): Promise<RefundRow> {
  const known = await selectRefund(ctx, { key: input.key });
  const row = known ?? (await begin(ctx, processor, input));
  if (input.money !== undefined && input.money.nanos !== row.amountNanos) throw keyReused();
  const ended = row.state === "pending" ? await driveRefund(ctx, processor, row, !known) : row;
  if (ended.state !== "failed") return ended;
  throw refused(ended.failure ?? "The processor refused the refund.");
}

function begin(ctx: DbCtx, processor: PaymentProcessor, input: RefundPaymentInput): Promise<RefundRow> {
  return withTransaction(ctx, async (tx) => {
    const intent = await paidIntent(tx, processor, input.paymentId);
    const { userId, currency, intentId } = intent;
    const money = { currency, nanos: await amountOf(tx, intent, input.money) };
    const refundId = tx.random.uuid();
    const at = tx.clock.now();
    const { holdId } = await placeHold(tx, {
      holdId: tx.random.uuid(),
      key: `refund:${refundId}`,
      purpose: "refund",
      ownerId: userId,
      money,
      at,
      expiresAt: null,
    });
    const row: NewRefund = {
      refundId,
      key: input.key,
      intentId,
      userId,
      operatorId: input.operatorId,
      reason: input.reason,
      amountNanos: money.nanos,
      currency,
      processor: processor.name,
      processorId: null,
      holdId,
      createdAt: at,
    };
    // Another call with the key was first: this one's hold goes with its transaction.
    if (!(await insertRefund(tx, row))) throw inProgress();
    await recordAudit(tx, {
      action: "payment.refunded",
      subjectId: userId,
      resource: `refund:${refundId}`,
      details: { amount: formatMoney(money) },
    });
    return { ...row, state: "pending", failure: null, posted: false, version: 0 };
  });
}

async function paidIntent(tx: TxCtx, processor: PaymentProcessor, paymentId: string): Promise<Intent> {
  const key = { processor: processor.name, processorId: paymentId };
  const found = await selectIntentByProcessorId(tx, key);
  const intent = found && (await lockIntent(tx, found.intentId));
  if (intent?.state === "succeeded") return intent;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "PAYMENT_NOT_FOUND",
    message:
      "There is no such payment that was paid. Its id is in the user's transactions (stripePaymentIntentId).",
  });
}

async function amountOf(tx: TxCtx, intent: Intent, wanted: Money | undefined): Promise<bigint> {
  const { userId, currency, intentId, amountNanos } = intent;
  const { cardAvailableNanos } = await readLockedBalance(tx, userId, currency);
  const left = amountNanos - (await sumGivenBack(tx, intentId));
  const coin = smallestCoinNanos(currency);
  const most = (lesserNanos(cardAvailableNanos, left) / coin) * coin;
  const nanos = wanted?.nanos ?? most;
  if (wanted && (wanted.currency !== currency || nanos % coin !== 0n)) {
    throw refused(
      `Refunds of this payment are in ${currency}, in whole steps of ${formatMoney({ currency, nanos: coin })}.`,
    );
  }
  if (nanos > 0n && nanos <= most) return nanos;
  const refundable = formatMoney({ currency, nanos: most > 0n ? most : 0n });
  throw refused(
    `Of this payment ${refundable} can be refunded: what is spent, held, refunded before or given as credit can't. Refund that, or wait for holds to end.`,
    { refundable },
  );
}

function refused(message: string, metadata: Readonly<Record<string, string>> = {}): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason: "REFUND_REFUSED", message, metadata });
}

function keyReused(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "IDEMPOTENCY_KEY_REUSED",
    message: "This key was used before for a refund of another amount.",
  });
}

function inProgress(): StatusError {
  return new StatusError({
    code: "ABORTED",
    reason: "IDEMPOTENCY_IN_PROGRESS",
    message: "A refund with this key is under way. Ask again in a moment.",
    retryAfterMs: 1_000,
  });
}
