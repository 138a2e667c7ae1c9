/** A user, a database that takes payments by Stripe, and the stand-in that they meet. */
import {
  attachCard,
  balanceOf,
  configureBilling,
  hearEvent,
  listCards,
  type PaymentProcessor,
  stripePayments,
  topUp,
} from "../../../src/billing/index.ts";
import { CURRENCY, type Fixture, fixture, units } from "../billing.ts";
import type { Cleanup } from "../cleanup.ts";
import { type FakeEvent, signed } from "./books.ts";
import { type FakeStripe, fakeStripe } from "./fake-stripe.ts";

export const SECRET_KEY = "sk_test_51SlipwayTests";
export const WEBHOOK_SECRET = "whsec_SlipwayTests";

export interface StripeWorld {
  readonly f: Fixture;
  readonly fake: FakeStripe;
  readonly stripe: PaymentProcessor;
  /** Puts a test card on file and returns the id that it got. */
  attach(cardId?: string): Promise<string>;
  /** Delivers an event as Stripe does: signed, with the endpoint's secret. */
  hear(event: FakeEvent, secret?: string, at?: Date): Promise<void>;
  /** The newest event of a type that the stand-in has made. */
  newest(type: string): FakeEvent;
  /** What the user has in all. */
  total(): Promise<bigint>;
  pay(change?: { nanos?: bigint; cardId?: string; key?: string }): ReturnType<typeof topUp>;
}

export async function stripeWorld(
  t: Cleanup,
  options: { connectionsMax?: number } = {},
): Promise<StripeWorld> {
  const f = await fixture(t, options);
  const fake = await fakeStripe(t, f.now);
  const stripe = await stripePayments({
    secretKey: SECRET_KEY,
    webhookSecret: WEBHOOK_SECRET,
    apiUrl: fake.url,
  });
  await configureBilling(f.ctx, { currency: CURRENCY, payments: stripe.name });
  return {
    f,
    fake,
    stripe,
    attach: async (cardId = "pm_card_visa") => {
      const before = new Set((await listCards(f.ctx, f.userId)).map((card) => card.cardId));
      await attachCard(f.ctx, stripe, { userId: f.userId, cardId });
      const cards = await listCards(f.ctx, f.userId);
      return cards.find((card) => !before.has(card.cardId))?.cardId ?? "";
    },
    hear: (event, secret = WEBHOOK_SECRET, at = f.now()) => {
      const { body, signature } = signed(event, secret, at);
      return hearEvent(f.ctx, stripe, { body: Buffer.from(body), signature });
    },
    newest: (type) => {
      const event = fake.books.events.findLast((one) => one.type === type);
      if (!event) throw new Error(`there was no ${type}`);
      return event;
    },
    total: async () => (await balanceOf(f.ctx, f.userId)).totalNanos,
    pay: (change = {}) =>
      topUp(f.ctx, stripe, {
        userId: f.userId,
        money: { currency: CURRENCY, nanos: change.nanos ?? units(5) },
        cardId: change.cardId ?? "",
        key: change.key ?? f.ctx.random.uuid(),
      }),
  };
}
