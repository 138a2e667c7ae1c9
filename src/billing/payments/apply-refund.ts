import { isUuid } from "../../base/id.ts";
import type { DbCtx } from "../../db/db.ts";
import type { Apply } from "./apply-event.ts";
import { intentOf } from "./apply-payment.ts";
import type { PaymentProcessor } from "./processor.ts";
import type { ListedRefund } from "./processor-news.ts";
import { insertRefund, type RefundRow, selectRefund } from "./refund-store.ts";
import { settleRefundIn } from "./settle-refund.ts";

const NOTHING: Apply = async () => true;

/** Reads a refund from the processor, after our row of it; one that was made there gets its row now. */
export async function readRefund(ctx: DbCtx, processor: PaymentProcessor, refundId: string): Promise<Apply> {
  const row = await rowOf(ctx, processor, refundId);
  const refund = await processor.news?.refund(ctx, refundId);
  if (!refund) return NOTHING;
  return row ? (tx) => settleRefundIn(tx, row, refund) : foreign(ctx, processor, refund);
}

async function rowOf(
  ctx: DbCtx,
  processor: PaymentProcessor,
  processorId: string,
): Promise<RefundRow | undefined> {
  const known = await selectRefund(ctx, { processor: processor.name, processorId });
  if (known) return known;
  const refund = await processor.news?.refund(ctx, processorId);
  return refund && isUuid(refund.key) ? selectRefund(ctx, { refundId: refund.key }) : undefined;
}

/** Made by somebody at the processor: the money is gone there, so it goes here, down to a debt. */
async function foreign(ctx: DbCtx, processor: PaymentProcessor, refund: ListedRefund): Promise<Apply> {
  const intent = await intentOf(ctx, processor, refund.paymentId);
  if (!intent) return NOTHING;
  return async (tx) => {
    const refundId = tx.random.uuid();
    const isNew = await insertRefund(tx, {
      refundId,
      key: `${processor.name}:${refund.processorId}`,
      intentId: intent.intentId,
      userId: intent.userId,
      operatorId: null,
      reason: "made at the processor",
      amountNanos: refund.money.nanos,
      currency: refund.money.currency,
      processor: processor.name,
      processorId: refund.processorId,
      holdId: null,
      createdAt: tx.clock.now(),
    });
    return isNew && settleRefundIn(tx, { refundId, version: 0 }, refund);
  };
}
