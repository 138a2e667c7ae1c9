/** Starts the roles that this process plays, in the order in which they need each other, and stops them in the reverse. */
import { collectDefaultMetrics, Registry } from "prom-client";
import { NANOS_PER_UNIT } from "../base/money.ts";
import * as billing from "../billing/index.ts";
import type { ModelsDeps } from "../models/index.ts";
import { runExchange } from "../rate-limit/index.ts";
import { storagePartOf } from "../storage/index.ts";
import { hearChanges } from "./changes.ts";
import { invoicesOf, modelsDeps, storageDeps, webhooksDeps } from "./domain-deps.ts";
import type { Installation } from "./installation.ts";
import { stepsFrom } from "./kill-steps.ts";
import { rentingOf } from "./launch-gate.ts";
import { addLedgerMetrics } from "./ledger-metrics.ts";
import { machinesOf } from "./machines.ts";
import { serveMetrics } from "./metrics-server.ts";
import { addPaymentMetrics } from "./payment-metrics.ts";
import { paymentsOf } from "./payments-of.ts";
import { providersOf } from "./providers-config.ts";
import type { RoleName } from "./roles.ts";
import { startApi } from "./start-api.ts";
import { gatewayRateLimit, startGateway } from "./start-gateway.ts";
import { startWorker } from "./start-worker.ts";
import { addSweepMetrics } from "./sweep-metrics.ts";
import { urlOf } from "./url-of.ts";
import { VERSION } from "./version.ts";
import { addWebhookMetrics } from "./webhook-metrics.ts";

export interface Serving {
  readonly apiUrl: string;
  readonly gatewayUrl: string;
  close(): Promise<void>;
}

export interface ServeOptions {
  /** For crash tests; see kill-steps.ts. */
  readonly killAt?: string | undefined;
}

/** How long stopping waits for answers that are under way. */
const CLOSE_DRAIN_MS = 20_000;

/** Starts the roles; when one can't start, those that did are stopped again. */
export async function serve(
  installation: Installation,
  roles: readonly RoleName[],
  options: ServeOptions = {},
): Promise<Serving> {
  const { config } = installation;
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const steps = stepsFrom(options.killAt);
    const payments = await paymentsOf(config);
    await billing.configureBilling(installation.ctx, {
      currency: config.SLIPWAY_CURRENCY,
      payments: payments?.name ?? "off",
      balanceLowNanos: nanosOf(config.SLIPWAY_BALANCE_LOW),
      adjustmentAloneMaxNanos: nanosOf(config.SLIPWAY_ADJUSTMENT_ALONE_MAX),
      invoices: invoicesOf(config),
      runwayMarks: config.SLIPWAY_RUNWAY_MARKS,
    });
    const stop = new AbortController();
    const changes = hearChanges(installation);
    undo.push(changes.close);
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    if (payments?.news) addPaymentMetrics(registry, installation.ctx, payments.name);
    const registries = [registry];
    let gatewayUrl = config.SLIPWAY_GATEWAY_URL ?? urlOf(config.SLIPWAY_BIND, config.SLIPWAY_GATEWAY_PORT);
    if (roles.includes("gateway")) {
      const rateLimit = gatewayRateLimit(installation);
      const exchanging = runExchange(installation.ctx, rateLimit, stop.signal);
      undo.push(() => exchanging);
      const gateway = startGateway(installation, changes, steps, rateLimit);
      undo.push(() => gateway.close({ drainMs: CLOSE_DRAIN_MS }));
      const { port } = await gateway.listen(config.SLIPWAY_GATEWAY_PORT, config.SLIPWAY_BIND);
      gatewayUrl = config.SLIPWAY_GATEWAY_URL ?? urlOf(config.SLIPWAY_BIND, port);
      registries.push(gateway.registry);
    }
    const machines = machinesOf(config, await providersOf(config), VERSION, steps, rentingOf(installation));
    undo.push(machines.close);
    const storage = storageDeps(config, machines);
    const models = {
      ...(await modelsDeps(installation, machines, changes, steps, gatewayUrl)),
      storage: { partOf: (ctx, model) => storagePartOf(ctx, storage, model) },
    } satisfies ModelsDeps;
    const webhooks = webhooksDeps(installation, steps);
    undo.push(webhooks.client.close);
    let apiUrl = urlOf(config.SLIPWAY_BIND, config.SLIPWAY_PORT);
    if (roles.includes("api")) {
      const rpc = await startApi(installation, models, payments, { webhooks, storage }, stop.signal);
      undo.push(rpc.close);
      apiUrl = urlOf(config.SLIPWAY_BIND, rpc.port);
    }
    if (roles.includes("worker")) {
      addLedgerMetrics(registry, installation.ctx);
      addSweepMetrics(registry, installation.ctx, models);
      const onAttempt = addWebhookMetrics(registry, installation.ctx);
      const counted = { webhooks: { ...webhooks, onAttempt }, storage };
      undo.push(startWorker(installation, models, payments, counted));
    }
    if (config.SLIPWAY_METRICS_PORT !== undefined) {
      undo.push(await serveMetrics(config.SLIPWAY_METRICS_PORT, registries));
    }
    undo.push(async () => stop.abort());
    return { apiUrl, gatewayUrl, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Settings are units with at most three decimals that count. */
function nanosOf(units: number): bigint {
  return BigInt(Math.round(units * 1_000)) * (NANOS_PER_UNIT / 1_000n);
}
