/** Customers and cards at Stripe. */
import type { Stripe } from "stripe";
import type { BaseCtx } from "../../../base/ctx.ts";
import { StatusError } from "../../../base/status.ts";
import { cardUnknown } from "../cards.ts";
import type { Card, PaymentProcessor } from "../processor.ts";
import { cardOf, idOf, USER_KEY } from "./convert.ts";
import { asked, found, isRefusedRequest, isStripeFault, refusalOf } from "./faults.ts";

type Cards = Pick<
  PaymentProcessor,
  "createCustomer" | "createSetupIntent" | "attachCard" | "detachCard" | "makeDefault"
>;

export function stripeCards(stripe: Stripe): Cards {
  return {
    async createCustomer(_ctx, { userId }) {
      const customer = await asked(() =>
        stripe.customers.create(
          { metadata: { [USER_KEY]: userId } },
          { idempotencyKey: `customer-${userId}` },
        ),
      );
      return { customerId: customer.id };
    },
    async createSetupIntent(_ctx, { key, customerId }) {
      const intent = await asked(() =>
        stripe.setupIntents.create(
          // Charged later without its holder, so the bank is asked now.
          { customer: customerId, allowed_payment_method_types: ["card"], usage: "off_session" },
          { idempotencyKey: `setup-${key}` },
        ),
      );
      return { setupIntentId: intent.id, clientSecret: intent.client_secret ?? "" };
    },
    attachCard: (ctx, input) => attach(stripe, ctx, input),
    async detachCard(_ctx, { customerId, cardId }) {
      const method = await found(() => stripe.paymentMethods.retrieve(cardId));
      // Whose it is decides: anybody may name any id.
      if (method && idOf(method.customer) === customerId)
        await asked(() => stripe.paymentMethods.detach(cardId));
    },
    async makeDefault(_ctx, { customerId, cardId }) {
      await asked(() =>
        stripe.customers.update(customerId, { invoice_settings: { default_payment_method: cardId } }),
      );
    },
  };
}

async function attach(
  stripe: Stripe,
  ctx: BaseCtx,
  { customerId, cardId }: { customerId: string; cardId: string },
): Promise<Card> {
  // A key of this call alone: what was attached once and taken off since must not be answered from memory.
  const idempotencyKey = `attach-${ctx.random.uuid()}`;
  const method = await asked(() =>
    stripe.paymentMethods
      .attach(cardId, { customer: customerId }, { idempotencyKey })
      .catch((error: unknown) => attachedBefore(stripe, { customerId, cardId }, error)),
  );
  const card = cardOf(method);
  if (card) return card;
  await asked(() => stripe.paymentMethods.detach(method.id));
  throw cardUnknown();
}

/** Stripe refuses to attach twice; a card that is the customer's already is what was wanted. */
async function attachedBefore(
  stripe: Stripe,
  { customerId, cardId }: { customerId: string; cardId: string },
  error: unknown,
): Promise<Stripe.PaymentMethod> {
  if (isRefusedRequest(error)) {
    const method = await found(() => stripe.paymentMethods.retrieve(cardId));
    if (method && idOf(method.customer) === customerId) return method;
    throw cardUnknown();
  }
  const refusal = isStripeFault(error) ? refusalOf(error) : undefined;
  if (!refusal) throw error;
  throw new StatusError({ code: "FAILED_PRECONDITION", reason: refusal.reason, message: refusal.why });
}
