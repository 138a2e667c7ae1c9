import { readFile } from "node:fs/promises";
import { createAuditNotes, runAuditNotes } from "../audit/index.ts";
import { createIdempotency } from "../idempotency/index.ts";
import { requireUsers } from "../identity/index.ts";
import type { ModelsDeps } from "../models/index.ts";
import { createRateLimit, runExchange } from "../rate-limit/index.ts";
import * as edge from "../rpc/index.ts";
import { apiRoutes } from "./api-routes.ts";
import { watchDatabase } from "./database-health.ts";
import { readDocsViewer } from "./docs-viewer.ts";
import type { MoreDeps, Payments } from "./domain-deps.ts";
import type { Installation } from "./installation.ts";
import { loginOf, METADATA_PATH } from "./login.ts";
import { OPENAPI } from "./paths.ts";
import { perMinute } from "./per-minute.ts";
import { addStripeWebhook } from "./stripe-webhook.ts";
import { urlOf } from "./url-of.ts";
import { VERSION } from "./version.ts";

/** Starts the control plane; returns its port and how to stop it. */
export async function startApi(
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
    requireUsers: (call, userIds) => requireUsers({ ...call, db }, userIds),
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
