import type { Registry } from "prom-client";
import type { DbCtx } from "../db/db.ts";
import { findLeaks, type ModelsDeps } from "../models/index.ts";
import { databaseGauges } from "./database-gauges.ts";

/** Adds how old the last sweep of the machines is, and what it left. */
export function addSweepMetrics(registry: Registry, ctx: DbCtx, models: ModelsDeps): void {
  const add = databaseGauges(registry, "slipway_machines", () => findLeaks(ctx, models));
  add(
    "swept_timestamp_seconds",
    "When the place that was swept longest ago was; 0 where one never was.",
    ({ sweptAt }) => (sweptAt?.getTime() ?? 0) / 1_000,
  );
  add("leaked", "Machines without an owner that should have been removed by now.", ({ leaks }) => leaks);
  add(
    "sweep_blocked",
    "Places where nothing is removed until an administrator has looked.",
    ({ blocked }) => blocked.length,
  );
}
