/** Payments and refunds at Stripe. Each is made once for its key: by Stripe's idempotency, and by our key in its metadata. */
import type { Stripe } from "stripe";
import type { PayInput, Payment, PaymentProcessor, Refund, RefundInput } from "../processor.ts";
import { toStripe } from "./amounts.ts";
import { PAYMENT_KEY, paymentOf, REFUND_KEY, refundOf, secondsOf } from "./convert.ts";
import { asked, isRefusedRequest, isStripeFault, refusalOf, unclear } from "./faults.ts";

type Payments = Pick<PaymentProcessor, "pay" | "findPayment" | "refund" | "findRefund">;

/** Our clock and Stripe's may differ by so much when a payment is looked up by time. */
const CLOCK_SKEW_MS = 10 * 60_000;
/** Stripe's largest page. */
const PAGE = 100;
/** One customer's payments since one of them was asked for; more is no customer. */
const LOOKED_THROUGH_MAX = 1_000;

export function stripePaymentCalls(stripe: Stripe): Payments {
  return {
    pay: (_ctx, input) => pay(stripe, input),
    async findPayment(_ctx, { key, customerId, since }) {
      const created = { gte: secondsOf(new Date(since.getTime() - CLOCK_SKEW_MS)) };
      const list = stripe.paymentIntents.list({ customer: customerId, created, limit: PAGE });
      const match = await lookedUp(list, (intent) => intent.metadata[PAYMENT_KEY] === key);
      return match && paymentOf(match);
    },
    refund: (_ctx, input) => refund(stripe, input),
    async findRefund(_ctx, { key, paymentId }) {
      const list = stripe.refunds.list({ payment_intent: paymentId, limit: PAGE });
      const match = await lookedUp(list, (one) => one.metadata?.[REFUND_KEY] === key);
      return match && refundOf(match);
    },
  };
}

async function pay(stripe: Stripe, input: PayInput): Promise<Payment> {
  const amount = toStripe(input.money);
  if (amount === undefined)
    return never("AMOUNT_INVALID", "Cards can't be charged this amount exactly. Choose a rounder one.");
  try {
    const intent = await stripe.paymentIntents.create(
      {
        amount,
        currency: input.money.currency.toLowerCase(),
        customer: input.customerId,
        payment_method: input.cardId,
        allowed_payment_method_types: ["card"],
        confirm: true,
        ...(input.offSession && { off_session: true }),
        description: "Balance top-up",
        metadata: { [PAYMENT_KEY]: input.key },
      },
      { idempotencyKey: `payment-${input.key}` },
    );
    return paymentOf(intent);
  } catch (error) {
    return declined(error);
  }
}

/** A declined payment exists at Stripe, and its error carries it. */
function declined(error: unknown): Payment {
  const outcome = refusalOf(error);
  if (!outcome) throw unclear(error);
  const intent = isStripeFault(error) ? error.payment_intent : undefined;
  return { processorId: isIdentified(intent) ? intent.id : "", clientSecret: "", outcome };
}

function isIdentified(object: unknown): object is { readonly id: string } {
  return typeof object === "object" && object !== null && "id" in object && typeof object.id === "string";
}

function never(reason: "AMOUNT_INVALID", why: string): Payment {
  return { processorId: "", clientSecret: "", outcome: { state: "failed", reason, why } };
}

async function refund(stripe: Stripe, input: RefundInput): Promise<Refund> {
  const amount = toStripe(input.money);
  if (amount === undefined)
    return refused("Cards can't be refunded this amount exactly. Choose a rounder one.");
  try {
    const made = await stripe.refunds.create(
      { payment_intent: input.paymentId, amount, metadata: { [REFUND_KEY]: input.key } },
      { idempotencyKey: `refund-${input.key}` },
    );
    return refundOf(made);
  } catch (error) {
    if (!isRefusedRequest(error)) throw unclear(error);
    const twice = error.code === "charge_already_refunded";
    return refused(
      twice
        ? "The payment was refunded before, at the processor."
        : "The processor does not refund this amount of this payment.",
    );
  }
}

function refused(why: string): Refund {
  return { processorId: "", outcome: { state: "failed", why } };
}

/** The first of a list that fits. Throws when the list is longer than its bound: then it is not known. */
function lookedUp<T>(list: AsyncIterable<T>, fits: (one: T) => boolean): Promise<T | undefined> {
  return asked(async () => {
    let looked = 0;
    for await (const one of list) {
      if (fits(one)) return one;
      if (++looked >= LOOKED_THROUGH_MAX) throw new Error("stripe: the list is too long to look through");
    }
    return undefined;
  });
}
