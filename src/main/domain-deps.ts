/** What the domains are given of this installation, whichever roles it plays. */
import { createGuardedClient } from "../base/guarded-client.ts";
import type { Steps } from "../base/steps.ts";
import * as billing from "../billing/index.ts";
import type { Terms } from "../identity/index.ts";
import { httpCompletionProbe, installationId, LIMITS, type ModelsDeps } from "../models/index.ts";
import type { StorageDeps } from "../storage/index.ts";
import { SEND_MS, type WebhooksDeps } from "../webhooks/index.ts";
import type { Changes } from "./changes.ts";
import type { Config } from "./config.ts";
import type { Installation } from "./installation.ts";
import type { Machines } from "./machines.ts";
import { sendsMail } from "./mail-hook.ts";
import { newsOf, storageFull } from "./news.ts";
import { VERSION } from "./version.ts";

export interface MoreDeps {
  readonly webhooks: WebhooksDeps;
  readonly storage: StorageDeps;
}

/** Undefined: no payments are taken. */
export type Payments = billing.PaymentProcessor | undefined;

export async function modelsDeps(
  installation: Installation,
  machines: Machines,
  changes: Changes,
  steps: Steps,
  gatewayUrl: string,
): Promise<ModelsDeps> {
  const { config, ctx, box } = installation;
  return {
    drivers: machines.drivers,
    engines: machines.engines,
    weights: machines.weights,
    box,
    installationId: await installationId(ctx),
    gatewayUrl: () => gatewayUrl,
    limits: {
      ...LIMITS,
      windowMs: config.SLIPWAY_GPU_WINDOW_SECONDS * 1_000,
      drainMaxMs: config.SLIPWAY_DRAIN_MAX_SECONDS * 1_000,
      leaseMs: config.SLIPWAY_WORKER_LEASE_SECONDS * 1_000,
      // A third is kept for the call that is under way when the worker stops acting.
      leaseMarginMs: (config.SLIPWAY_WORKER_LEASE_SECONDS * 1_000) / 3,
    },
    steps,
    probe: httpCompletionProbe(),
    billing,
    changes: changes.models,
    layout: config.SLIPWAY_REPLICA_LAYOUT,
    terms: termsOf(config),
    news: newsOf({ mail: sendsMail(config) }).models,
  };
}

/** Receivers must be public unless the operator lists their host. */
export function webhooksDeps({ box, config }: Installation, steps: Steps): WebhooksDeps {
  const allowed = config.SLIPWAY_WEBHOOK_HOSTS;
  return {
    box,
    steps,
    sendMs: SEND_MS,
    client: createGuardedClient({ allowed, userAgent: `slipway/${VERSION}` }),
  };
}

export function storageDeps(config: Config, machines: Machines): StorageDeps {
  const bytes = (gib: number) => Math.floor(gib * 2 ** 30);
  return {
    tiers: {
      BRONZE: bytes(config.SLIPWAY_STORAGE_BRONZE_GIB),
      SILVER: bytes(config.SLIPWAY_STORAGE_SILVER_GIB),
      GOLD: bytes(config.SLIPWAY_STORAGE_GOLD_GIB),
    },
    drivers: [machines.local],
    full: storageFull,
  };
}

/** Null where the operator names no seller: no invoices are issued then. */
export function invoicesOf(config: Config): billing.InvoiceSettings | null {
  const name = config.SLIPWAY_INVOICE_SELLER_NAME;
  if (name === undefined) return null;
  const lines = (text = "") =>
    text
      .split("|")
      .map((line) => line.trim())
      .join("\n");
  return {
    name,
    series: config.SLIPWAY_INVOICE_SERIES,
    address: lines(config.SLIPWAY_INVOICE_SELLER_ADDRESS),
    taxId: config.SLIPWAY_INVOICE_SELLER_TAX_ID ?? "",
    note: lines(config.SLIPWAY_INVOICE_NOTE),
  };
}

function termsOf(config: Config): Terms | undefined {
  const version = config.SLIPWAY_TERMS_VERSION;
  return version === undefined ? undefined : { version, url: config.SLIPWAY_TERMS_URL ?? "" };
}
