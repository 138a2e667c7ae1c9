import type { Registry } from "prom-client";
import { lastCheck, selectUnsealed } from "../billing/index.ts";
import type { DbCtx } from "../db/db.ts";
import { databaseGauges } from "./database-gauges.ts";

/** Adds how old the last check of the books is, what it found, and how far the seals are behind. */
export function addLedgerMetrics(registry: Registry, ctx: DbCtx): void {
  const ofCheck = databaseGauges(registry, "slipway_ledger", () => lastCheck(ctx));
  ofCheck(
    "checked_timestamp_seconds",
    "When the books were last checked; 0 before the first time.",
    ({ finishedAt }) => finishedAt.getTime() / 1_000,
  );
  ofCheck(
    "check_findings",
    "What the last check of the books found wrong.",
    ({ findings }) => findings.length,
  );
  const ofSeals = databaseGauges(registry, "slipway_ledger", () => selectUnsealed(ctx));
  ofSeals("unsealed_seconds", "How long the oldest transfer waits for its seal.", ({ oldestAt }) =>
    oldestAt === null ? 0 : (ctx.clock.now().getTime() - oldestAt.getTime()) / 1_000,
  );
}
