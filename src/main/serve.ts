/** Starts the roles that this process plays, in the order in which they need each other, and stops them in the reverse. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { collectDefaultMetrics, Registry } from "prom-client";
import { createAuditNotes, runAuditNotes } from "../audit/index.ts";
import { createGuardedClient } from "../base/guarded-client.ts";
import { NANOS_PER_UNIT } from "../base/money.ts";
import type { Steps } from "../base/steps.ts";
import * as billing from "../billing/index.ts";
import { createGateway, GATEWAY_LIMITS, type Gateway } from "../gateway/index.ts";
import { createIdempotency } from "../idempotency/index.ts";
import { getUser, type Terms } from "../identity/index.ts";
import { runPeriodicJobs } from "../jobs/index.ts";
import {
  httpCompletionProbe,
  installationId,
  LIMITS,
  type ModelsDeps,
  runReconciler,
} from "../models/index.ts";
import { createRateLimit, type RatePolicy, runExchange } from "../rate-limit/index.ts";
import * as edge from "../rpc/index.ts";
import { type StorageDeps, storagePartOf } from "../storage/index.ts";
import { runDeliveries, SEND_MS, type WebhooksDeps } from "../webhooks/index.ts";
import { apiRoutes } from "./api-routes.ts";
import { type Changes, hearChanges } from "./changes.ts";
import type { Config } from "./config.ts";
import { watchDatabase } from "./database-health.ts";
import { readDocsViewer } from "./docs-viewer.ts";
import { gatewayControl } from "./gateway-control.ts";
import type { Installation } from "./installation.ts";
import { stepsFrom } from "./kill-steps.ts";
import { addLedgerMetrics } from "./ledger-metrics.ts";
import { loginOf, METADATA_PATH } from "./login.ts";
import { type Machines, machinesOf } from "./machines.ts";
import { mailHookOf, sendsMail } from "./mail-hook.ts";
import { serveMetrics } from "./metrics-server.ts";
import { newsOf, storageFull } from "./news.ts";
import { OPENAPI } from "./paths.ts";
import { addPaymentMetrics } from "./payment-metrics.ts";
import { paymentsOf } from "./payments-of.ts";
import { periodicJobs, SLOW_JOBS } from "./periodic-jobs.ts";
import { providersOf } from "./providers-config.ts";
import type { RoleName } from "./roles.ts";
import { addStripeWebhook } from "./stripe-webhook.ts";
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
const MINUTE_MS = 60_000;

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
    const machines = machinesOf(config, await providersOf(config), VERSION, steps);
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

function gatewayRateLimit({ ctx, config }: Installation) {
  return createRateLimit(ctx.clock, {
    key: perMinute(config.SLIPWAY_KEY_REQUESTS_PER_MINUTE),
    "gateway-address": perMinute(config.SLIPWAY_GATEWAY_ADDRESS_REQUESTS_PER_MINUTE),
  });
}

function startGateway(
  installation: Installation,
  changes: Changes,
  steps: Steps,
  rateLimit: ReturnType<typeof gatewayRateLimit>,
): Gateway {
  const { ctx, box, config } = installation;
  const gatewayId = ctx.random.uuid();
  const control = gatewayControl({
    ctx,
    box,
    gatewayId,
    currency: config.SLIPWAY_CURRENCY,
    onChange: changes.onRoute,
  });
  return createGateway({
    clock: ctx.clock,
    random: ctx.random,
    log: ctx.log,
    steps,
    gatewayId,
    box,
    usageLogDir: join(config.SLIPWAY_HOME, "usage"),
    limits: GATEWAY_LIMITS,
    control,
    version: VERSION,
    pace: (kind, id) => rateLimit.take(kind === "key" ? "key" : "gateway-address", id),
    trustedProxies: config.SLIPWAY_TRUSTED_PROXIES,
  });
}

interface MoreDeps {
  readonly webhooks: WebhooksDeps;
  readonly storage: StorageDeps;
}

/** Undefined: no payments are taken. */
type Payments = billing.PaymentProcessor | undefined;

async function startApi(
  installation: Installation,
  models: ModelsDeps,
  payments: Payments,
  { webhooks, storage }: MoreDeps,
  stop: AbortSignal,
) {
  const { ctx, box, config } = installation;
  const { db } = ctx;
  const idempotency = createIdempotency({ box });
  const rateLimit = createRateLimit(ctx.clock, {
    token: perMinute(config.SLIPWAY_TOKEN_REQUESTS_PER_MINUTE),
    address: perMinute(config.SLIPWAY_ADDRESS_REQUESTS_PER_MINUTE),
  });
  const login = loginOf(installation);
  const auditNotes = createAuditNotes(ctx);
  const rpc = edge.createRpcServer({
    ctx,
    routes: apiRoutes({ db, models, payments, webhooks, storage, passwordPage: login.passwordPage }),
    authenticate: (call, bearer) => login.authenticate({ ...call, db }, bearer),
    requireUser: async (call, userId) => void (await getUser({ ...call, db }, userId)),
    idempotency: { begin: (call, input) => idempotency.begin({ ...call, db }, input) },
    pace: rateLimit.take,
    noteAudit: auditNotes.note,
    trustedProxies: config.SLIPWAY_TRUSTED_PROXIES,
    openApi: await readFile(OPENAPI, "utf8"),
    ...(await readDocsViewer()),
    version: VERSION,
    documents: { [METADATA_PATH]: login.metadata },
    mounts: login.mounts,
    health: watchDatabase(ctx, stop),
  });
  addStripeWebhook(rpc.app, ctx, payments);
  const grpcPort = config.SLIPWAY_GRPC_PORT;
  const { port } = await rpc.listen({
    host: config.SLIPWAY_BIND,
    port: config.SLIPWAY_PORT,
    ...(grpcPort === undefined ? {} : { grpcPort }),
  });
  login.listening(urlOf(config.SLIPWAY_BIND, port));
  const ended = new AbortController();
  const loops = [runExchange(ctx, rateLimit, ended.signal), runAuditNotes(ctx, auditNotes, ended.signal)];
  return {
    port,
    async close() {
      await rpc.close();
      await login.close();
      ended.abort();
      await Promise.all(loops);
    },
  };
}

function perMinute(requestsMax: number): RatePolicy | undefined {
  return requestsMax === 0 ? undefined : { requestsMax, windowMs: MINUTE_MS };
}

/** Starts the loops; the returned function stops them and waits until the running passes are over. */
function startWorker(
  installation: Installation,
  models: ModelsDeps,
  payments: Payments,
  { webhooks, storage }: MoreDeps,
): () => Promise<void> {
  const { ctx, config } = installation;
  const stop = new AbortController();
  const mail = mailHookOf(config);
  const loops = [
    runReconciler(ctx, models, stop.signal),
    runDeliveries(ctx, webhooks, stop.signal),
    runPeriodicJobs(
      ctx,
      periodicJobs(config, models, payments, { storage, mailer: mail?.mailer }),
      stop.signal,
    ),
    runPeriodicJobs(ctx, SLOW_JOBS, stop.signal),
  ];
  return async () => {
    stop.abort();
    await Promise.all(loops);
    await mail?.close();
  };
}

async function modelsDeps(
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
    terms: termsOf(config),
    news: newsOf({ mail: sendsMail(config) }).models,
  };
}

/** Receivers must be public unless the operator lists their host. */
function webhooksDeps({ box, config }: Installation, steps: Steps): WebhooksDeps {
  const allowed = config.SLIPWAY_WEBHOOK_HOSTS;
  return {
    box,
    steps,
    sendMs: SEND_MS,
    client: createGuardedClient({ allowed, userAgent: `slipway/${VERSION}` }),
  };
}

function storageDeps(config: Config, machines: Machines): StorageDeps {
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

function termsOf(config: Config): Terms | undefined {
  const version = config.SLIPWAY_TERMS_VERSION;
  return version === undefined ? undefined : { version, url: config.SLIPWAY_TERMS_URL ?? "" };
}

function urlOf(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
