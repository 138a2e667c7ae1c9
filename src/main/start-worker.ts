import { runPeriodicJobs } from "../jobs/index.ts";
import { type ModelsDeps, runReconciler } from "../models/index.ts";
import { runDeliveries } from "../webhooks/index.ts";
import type { MoreDeps, Payments } from "./domain-deps.ts";
import type { Installation } from "./installation.ts";
import { mailHookOf } from "./mail-hook.ts";
import { periodicJobs, SLOW_JOBS } from "./periodic-jobs.ts";

/** Starts the loops; the returned function stops them and waits until the running passes are over. */
export function startWorker(
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
