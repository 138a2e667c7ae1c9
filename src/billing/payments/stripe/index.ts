/** The processor of Stripe. */
import type { PaymentProcessor } from "../processor.ts";
import { stripeCards } from "./cards.ts";
import { type StripeSettings, stripeClient } from "./client.ts";
import { stripeNews } from "./news.ts";
import { stripePaymentCalls } from "./payments.ts";

export type { StripeSettings } from "./client.ts";

/** Keys of Stripe's test mode begin so; its money is play money. */
const TEST_KEY = /^[rs]k_test_/;

/** Which books these keys belong to: ids of the test mode mean nothing in the live one. */
export function stripeMode(secretKey: string): "stripe" | "stripe_test" {
  return TEST_KEY.test(secretKey) ? "stripe_test" : "stripe";
}

/** Loads Stripe's package, which installations without it should not wait for. */
export async function stripePayments(settings: StripeSettings): Promise<PaymentProcessor> {
  const stripe = stripeClient(await import("stripe"), settings);
  return {
    name: stripeMode(settings.secretKey),
    ...stripeCards(stripe),
    ...stripePaymentCalls(stripe),
    news: stripeNews(stripe, settings.webhookSecret),
  };
}
