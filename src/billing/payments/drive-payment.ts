/** Asks the processor for a payment until its answer is clear, always for the same one. */
import type { DbCtx } from "../../db/db.ts";
import { type Intent, selectIntent, selectUntouchedIntents, touchIntent } from "./intent-store.ts";
import type { Payment, PaymentProcessor } from "./processor.ts";
import { settlePayment } from "./settle-payment.ts";

/** A payment without an end for so long has lost its caller. */
const RESUME_AFTER_MS = 60_000;
/** A payment that waits for its cardholder is looked at so often, should the event that tells of it be lost. */
const LOOK_AFTER_MS = 15 * 60_000;
/** A bank's confirmation takes minutes; after a day nobody comes back for it. */
const WAIT_MAX_MS = 24 * 3_600_000;
/** Processors know an idempotency key for a day at least (https://docs.stripe.com/api/idempotent_requests); an hour is kept. */
const KEY_KNOWN_MS = 23 * 3_600_000;
/** Payments driven on in one pass; the next pass takes the rest. */
const RESUME_MAX = 100;
/** Readings of one payment until none has overtaken ours; the next pass reads again. */
const READS_MAX = 3;

/** Drives a payment of which nothing is known yet (`fresh`), or whatever is known. Throws when its outcome is not known. */
export async function drive(
  ctx: DbCtx,
  processor: PaymentProcessor,
  asked: Intent,
  fresh: boolean,
): Promise<Payment> {
  let intent = asked;
  for (let reads = 1; ; reads++) {
    const payment = await ask(ctx, processor, intent, fresh && reads === 1);
    if ((await settlePayment(ctx, intent, payment)) || reads === READS_MAX) return payment;
    intent = (await selectIntent(ctx, intent.intentId)) ?? intent;
  }
}

async function ask(
  ctx: DbCtx,
  processor: PaymentProcessor,
  intent: Intent,
  fresh: boolean,
): Promise<Payment> {
  const { intentId: key, customerId, cardId, createdAt } = intent;
  const money = { currency: intent.currency, nanos: intent.amountNanos };
  const pay = () =>
    processor.pay(ctx, { key, customerId, cardId, money, offSession: intent.source === "auto" });
  if (intent.processorId !== null) {
    if (!processor.news) return pay();
    const known = await processor.news.payment(ctx, intent.processorId);
    if (known) return known;
  }
  // Looked up first: an answer that the processor remembers for the key may be its own failure of then.
  const found = fresh ? undefined : await processor.findPayment(ctx, { key, customerId, since: createdAt });
  if (found) return found;
  if (ctx.clock.now().getTime() - createdAt.getTime() > KEY_KNOWN_MS) return NEVER_MADE;
  return pay();
}

/** The processor has no such payment, and under a forgotten key it would make a second one. */
const NEVER_MADE: Payment = {
  processorId: "",
  clientSecret: "",
  outcome: {
    state: "failed",
    reason: "UNAVAILABLE",
    why: "The payment processor could not be reached in time. Nothing was taken. Pay again if it is still wanted.",
  },
};

/** Drives on payments whose end was lost with their caller or with an event. Returns how many. */
export async function resumePayments(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { now: Date },
): Promise<number> {
  const untouched = (state: "pending" | "requires_action", forMs: number) =>
    selectUntouchedIntents(ctx, {
      processor: processor.name,
      state,
      before: new Date(input.now.getTime() - forMs),
      limit: RESUME_MAX,
    });
  const pending = await untouched("pending", RESUME_AFTER_MS);
  const waiting = processor.news ? await untouched("requires_action", LOOK_AFTER_MS) : [];
  for (const intent of [...pending, ...waiting]) {
    await goOn(ctx, processor, intent, input.now).catch(async (error: unknown) => {
      ctx.log.warn({ err: error, paymentIntentId: intent.intentId }, "a payment could not be driven on");
      await touchIntent(ctx, intent.intentId, input.now);
    });
  }
  return pending.length + waiting.length;
}

async function goOn(ctx: DbCtx, processor: PaymentProcessor, intent: Intent, now: Date): Promise<void> {
  const { outcome, processorId } = await drive(ctx, processor, intent, false);
  const late = now.getTime() - intent.createdAt.getTime() > WAIT_MAX_MS;
  if (outcome.state !== "requires_action" || !late || !processor.news) return;
  // What became of it is read again by the next pass: it may have been confirmed this very moment.
  await processor.news.cancelPayment(ctx, processorId);
}
