import { Counter, type Registry } from "prom-client";
import type { DbCtx } from "../db/db.ts";
import { type AttemptOutcome, queueHealth } from "../webhooks/index.ts";
import { databaseGauges } from "./database-gauges.ts";

/** Adds the queue of deliveries, read at each scrape, and what this worker's attempts came to; returns who counts them. */
export function addWebhookMetrics(registry: Registry, ctx: DbCtx): (outcome: AttemptOutcome) => void {
  const attempts = new Counter({
    name: "slipway_webhook_attempts_total",
    help: "Attempts of this process to deliver, by what came of them; given_up: failed, and the last one.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  const gauge = databaseGauges(registry, "slipway_webhook", () => queueHealth(ctx));
  gauge("waiting", "Deliveries that have neither arrived nor been given up.", ({ waiting }) => waiting);
  gauge("lag_seconds", "How long the delivery that is due longest has been.", ({ lagMs }) => lagMs / 1_000);
  gauge(
    "failing_endpoints",
    "Endpoints that were disabled because nothing arrived there.",
    ({ failingEndpoints }) => failingEndpoints,
  );
  for (const outcome of ["delivered", "failed", "given_up"] as const) attempts.inc({ outcome }, 0);
  return (outcome) => attempts.inc({ outcome });
}
