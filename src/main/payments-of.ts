import { type PaymentProcessor, stripePayments, testPayments } from "../billing/index.ts";
import type { Config } from "./config.ts";

/** Whoever takes payments by this configuration; undefined where nobody does. */
export async function paymentsOf(config: Config): Promise<PaymentProcessor | undefined> {
  if (config.SLIPWAY_PAYMENTS === "test") return testPayments();
  const secretKey = config.SLIPWAY_STRIPE_SECRET_KEY;
  if (secretKey === undefined) return undefined;
  const { SLIPWAY_STRIPE_WEBHOOK_SECRET: webhookSecret, SLIPWAY_STRIPE_URL: apiUrl } = config;
  return stripePayments({ secretKey, webhookSecret, apiUrl });
}
