import { isUuid } from "../../base/id.ts";
import type { DbCtx } from "../../db/db.ts";
import type { Apply } from "./apply-event.ts";
import { type Intent, selectIntent, selectIntentByProcessorId } from "./intent-store.ts";
import type { PaymentProcessor } from "./processor.ts";
import { settlePaymentIn } from "./settle-payment.ts";

const NOTHING: Apply = async () => true;

/** Reads a payment from the processor, after our row of it. What is not of our making changes nothing. */
export async function readPayment(
  ctx: DbCtx,
  processor: PaymentProcessor,
  paymentId: string,
): Promise<Apply> {
  const intent = await intentOf(ctx, processor, paymentId);
  const payment = intent && (await processor.news?.payment(ctx, paymentId));
  return payment ? (tx) => settlePaymentIn(tx, intent, payment) : NOTHING;
}

/** Our row of a payment: by the processor's id, or by our key while that id is not here yet. */
export async function intentOf(
  ctx: DbCtx,
  processor: PaymentProcessor,
  paymentId: string,
): Promise<Intent | undefined> {
  const known = await selectIntentByProcessorId(ctx, { processor: processor.name, processorId: paymentId });
  if (known) return known;
  const payment = await processor.news?.payment(ctx, paymentId);
  if (!payment || !isUuid(payment.key)) return undefined;
  const intent = await selectIntent(ctx, payment.key);
  if (intent?.processor === processor.name) return intent;
  ctx.log.error(
    { paymentId, key: payment.key },
    "the processor has a payment of ours that we have no row of",
  );
  return undefined;
}
