/** What happens at Stripe by itself: events, delivered or listed, and the objects that they are about. */
import type { Stripe } from "stripe";
import type { BaseCtx } from "../../../base/ctx.ts";
import { StatusError } from "../../../base/status.ts";
import type { EventSubject, ProcessorEvent, ProcessorNews } from "../processor-news.ts";
import { stripeBalance } from "./balance.ts";
import { cardOf, dateOf, disputeOf, idOf, paymentOf, refundOf } from "./convert.ts";
import { asked, found } from "./faults.ts";
import { createdIn, listed, PAGE } from "./lists.ts";

/** The endpoint at Stripe should be set to send these; others are taken and change nothing. */
export const EVENT_TYPES = [
  "payment_intent.succeeded",
  "payment_intent.payment_failed",
  "payment_intent.canceled",
  "payment_intent.processing",
  "payment_intent.requires_action",
  "refund.created",
  "refund.updated",
  "refund.failed",
  "charge.dispute.created",
  "charge.dispute.updated",
  "charge.dispute.closed",
  "charge.dispute.funds_withdrawn",
  "charge.dispute.funds_reinstated",
  "payment_method.attached",
  "payment_method.detached",
  "payment_method.updated",
  "payment_method.automatically_updated",
  "payout.created",
  "payout.paid",
  "payout.failed",
  "payout.canceled",
] as const;

/** How old a signature may be: Stripe's own default. A delivery that is repeated is signed anew. */
const TOLERANCE_S = 300;
export function stripeNews(stripe: Stripe, webhookSecret: string | undefined): ProcessorNews {
  return {
    ...(webhookSecret !== undefined && {
      readEvent: (ctx, delivery) => readEvent(stripe, webhookSecret, ctx, delivery),
    }),
    async listEvents(_ctx, span) {
      const types = [...EVENT_TYPES];
      const list = stripe.events.list({ created: createdIn(span), types, limit: PAGE });
      const { rows, whole } = await listed(list, eventOf);
      return { rows: rows.toReversed(), whole };
    },
    async payment(_ctx, id) {
      const intent = await found(() => stripe.paymentIntents.retrieve(id));
      return intent && paymentOf(intent);
    },
    cancelPayment: async (_ctx, id) => paymentOf(await asked(() => stripe.paymentIntents.cancel(id))),
    async refund(_ctx, id) {
      const refund = await found(() => stripe.refunds.retrieve(id));
      return refund && refundOf(refund);
    },
    async dispute(_ctx, id) {
      const dispute = await found(() => stripe.disputes.retrieve(id));
      return dispute && disputeOf(dispute);
    },
    async card(_ctx, id) {
      const method = await found(() => stripe.paymentMethods.retrieve(id));
      const card = method && cardOf(method);
      const customerId = idOf(method?.customer);
      return card && customerId !== undefined ? { card, customerId } : undefined;
    },
    listPayments: (_ctx, span) =>
      listed(stripe.paymentIntents.list({ created: createdIn(span), limit: PAGE }), paymentOf),
    listRefunds: (_ctx, span) =>
      listed(stripe.refunds.list({ created: createdIn(span), limit: PAGE }), refundOf),
    listDisputes: (_ctx, span) =>
      listed(stripe.disputes.list({ created: createdIn(span), limit: PAGE }), disputeOf),
    ...stripeBalance(stripe),
  };
}

function readEvent(
  stripe: Stripe,
  secret: string,
  ctx: BaseCtx,
  { body, signature }: { body: Buffer; signature: string },
): ProcessorEvent {
  try {
    const now = ctx.clock.now().getTime();
    return eventOf(stripe.webhooks.constructEvent(body, signature, secret, TOLERANCE_S, undefined, now));
  } catch {
    // The library's words quote the body; whoever sent it may be anybody.
    throw new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "WEBHOOK_REFUSED",
      message:
        "The signature does not fit the body, or is too old. Check the endpoint's signing secret and both clocks.",
    });
  }
}

function eventOf(event: Stripe.Event): ProcessorEvent {
  return {
    eventId: event.id,
    type: event.type,
    at: dateOf(event.created),
    subject: subjectOf(event.data.object),
  };
}

const KINDS: Readonly<Record<string, EventSubject["kind"]>> = {
  payment_intent: "payment",
  refund: "refund",
  dispute: "dispute",
  payment_method: "card",
  payout: "payout",
};

function subjectOf(object: object): EventSubject {
  const { object: name, id } = object as { readonly object?: unknown; readonly id?: unknown };
  const kind = typeof name === "string" && Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  return { kind: kind ?? "other", id: typeof id === "string" ? id : "" };
}
