import type { FastifyInstance } from "fastify";
import { hearEvent, type PaymentProcessor } from "../billing/index.ts";
import type { DbCtx } from "../db/db.ts";

/** Where Stripe delivers its events. No token opens it: the signature over the very bytes of the body does. */
export const STRIPE_WEBHOOK_PATH = "/webhooks/stripe";

/** Adds the route where payments are by a processor that delivers events. */
export function addStripeWebhook(
  app: FastifyInstance,
  ctx: DbCtx,
  payments: PaymentProcessor | undefined,
): void {
  if (!payments?.news) return;
  app.post(STRIPE_WEBHOOK_PATH, async (request, reply) => {
    const signature = request.headers["stripe-signature"]?.toString() ?? "";
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const log = ctx.log.child({ requestId: request.id });
    await hearEvent({ ...ctx, log }, payments, { body, signature });
    return reply.send({ received: true });
  });
}
