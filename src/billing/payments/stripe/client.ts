/** Stripe's own client, set up: pinned version, deadlines, no telemetry. */
import type { Stripe } from "stripe";

/**
 * What we were written against. The package's types allow its own version alone, so an update of the package does not compile
 * until this line, and what changed (https://docs.stripe.com/changelog), have been looked at.
 */
const API_VERSION = "2026-10-28.endive";
/** An attempt's deadline: a charge that asks the card's bank takes seconds. */
const TIMEOUT_MS = 12_000;
/** Under the same idempotency key. Two attempts fit into the deadline of a call of ours; the payments job goes on after it. */
const RETRIES_MAX = 1;

export interface StripeSettings {
  /** `sk_…` or, with fewer rights, `rk_…`. */
  readonly secretKey: string;
  /** `whsec_…` of the webhook's endpoint; undefined: events are only polled. */
  readonly webhookSecret: string | undefined;
  /** Where the API is: https://api.stripe.com, or a stand-in of tests. */
  readonly apiUrl: string;
}

/** Stripe's package, as `import("stripe")` gives it: it is loaded only where it is used. */
export type StripePackage = Pick<typeof import("stripe"), "Stripe">;

export function stripeClient(loaded: StripePackage, settings: StripeSettings): Stripe {
  const { protocol, hostname, port } = new URL(settings.apiUrl);
  return new loaded.Stripe(settings.secretKey, {
    apiVersion: API_VERSION,
    protocol: protocol === "http:" ? "http" : "https",
    host: hostname,
    ...(port !== "" && { port }),
    timeout: TIMEOUT_MS,
    maxNetworkRetries: RETRIES_MAX,
    telemetry: false,
    appInfo: { name: "slipway" },
  });
}
