import { Counter, Gauge, type Registry } from "prom-client";
import type { DbCtx } from "../db/db.ts";
import { type AttemptOutcome, type QueueHealth, queueHealth } from "../webhooks/index.ts";

/** Adds the queue of deliveries, read at each scrape, and what this worker's attempts came to; returns who counts them. */
export function addWebhookMetrics(registry: Registry, ctx: DbCtx): (outcome: AttemptOutcome) => void {
  const attempts = new Counter({
    name: "slipway_webhook_attempts_total",
    help: "Attempts of this process to deliver, by what came of them; given_up: failed, and the last one.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  let reading: Promise<QueueHealth> | undefined;
  // The gauges of one scrape are one look.
  const look = () => {
    reading ??= queueHealth(ctx).finally(() => {
      reading = undefined;
    });
    return reading;
  };
  const gauge = (name: string, help: string, toNumber: (health: QueueHealth) => number) =>
    new Gauge({
      name: `slipway_webhook_${name}`,
      help,
      registers: [registry],
      async collect() {
        this.set(toNumber(await look()));
      },
    });
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
