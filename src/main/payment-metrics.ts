import type { Registry } from "prom-client";
import { lastReconciliation } from "../billing/index.ts";
import type { DbCtx } from "../db/db.ts";
import { databaseGauges } from "./database-gauges.ts";

/** Adds what the last reconciliation found, read anew at each scrape; all are 0 before the first one. */
export function addPaymentMetrics(registry: Registry, ctx: DbCtx, processor: string): void {
  const gauge = databaseGauges(registry, "slipway_payments", () => lastReconciliation(ctx, processor));
  gauge(
    "reconciled_timestamp_seconds",
    "When ledger and processor were last compared.",
    ({ finishedAt }) => finishedAt.getTime() / 1_000,
  );
  gauge(
    "reconcile_open_findings",
    "Payments, refunds and disputes on which ledger and processor differ.",
    ({ openFindings }) => openFindings,
  );
  gauge(
    "reconcile_difference_nanos",
    "What the processor has beyond the ledger, in nanos.",
    ({ differenceNanos }) => Number(differenceNanos),
  );
  gauge(
    "reconcile_unexplained_nanos",
    "What of the ledger's total no payment, refund or dispute explains, in nanos.",
    ({ unexplainedNanos }) => Number(unexplainedNanos),
  );
}
