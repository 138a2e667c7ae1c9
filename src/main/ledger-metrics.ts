import { Gauge, type Registry } from "prom-client";
import { type BookCheck, lastCheck, selectUnsealed } from "../billing/index.ts";
import type { DbCtx } from "../db/db.ts";

/** Adds how old the last check of the books is, what it found, and how far the seals are behind, read anew at each scrape. */
export function addLedgerMetrics(registry: Registry, ctx: DbCtx): void {
  const gauge = (name: string, help: string, read: () => Promise<number | undefined>) =>
    new Gauge({
      name: `slipway_ledger_${name}`,
      help,
      registers: [registry],
      async collect() {
        const value = await read();
        if (value !== undefined) this.set(value);
      },
    });
  const ofLast = (toNumber: (last: BookCheck) => number) => async () => {
    const last = await lastCheck(ctx);
    return last && toNumber(last);
  };
  gauge(
    "checked_timestamp_seconds",
    "When the books were last checked; 0 before the first time.",
    ofLast(({ finishedAt }) => finishedAt.getTime() / 1_000),
  );
  gauge(
    "check_findings",
    "What the last check of the books found wrong.",
    ofLast(({ findings }) => findings.length),
  );
  gauge("unsealed_seconds", "How long the oldest transfer waits for its seal.", async () => {
    const { oldestAt } = await selectUnsealed(ctx);
    return oldestAt === null ? 0 : (ctx.clock.now().getTime() - oldestAt.getTime()) / 1_000;
  });
}
