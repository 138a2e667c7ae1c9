/** What workers do now and then: drive on, settle, tell, sweep and forget. */
import { purgeAudit } from "../audit/index.ts";
import * as billing from "../billing/index.ts";
import { purgeIdempotency } from "../idempotency/index.ts";
import { purgeLogins } from "../identity/index.ts";
import type { PeriodicJob } from "../jobs/index.ts";
import { type ModelsDeps, sweep } from "../models/index.ts";
import { pruneServed } from "../observability/index.ts";
import { purgeLoginState } from "../openid-provider/index.ts";
import { type StorageDeps, sweepStorage } from "../storage/index.ts";
import { purgeWebhooks } from "../webhooks/index.ts";
import type { Config } from "./config.ts";
import { billingNews } from "./news.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Each night looks back a week: late refunds and disputes are listed by the day on which they began. */
const RECONCILED_DAYS = 7;
/** How long what may not stay in external storage is still there. */
const STORAGE_MS = 30_000;
/** How late a payment or a low balance is told. */
const NEWS_MS = 2_000;

/** All of them; each runs in one worker at a time. */
export function periodicJobs(
  config: Config,
  models: ModelsDeps,
  payments: billing.PaymentProcessor | undefined,
  storage: StorageDeps,
): readonly PeriodicJob[] {
  const resumePayments: PeriodicJob[] =
    payments === undefined
      ? []
      : [
          {
            name: "resume-payments",
            everyMs: MINUTE_MS,
            run: async (ctx) => void (await billing.resumePayments(ctx, payments, { now: ctx.clock.now() })),
          },
          {
            name: "resume-refunds",
            everyMs: MINUTE_MS,
            run: async (ctx) => void (await billing.resumeRefunds(ctx, payments, { now: ctx.clock.now() })),
          },
          {
            name: "auto-top-up",
            everyMs: MINUTE_MS,
            run: async (ctx) => void (await billing.runAutoTopUps(ctx, payments, { now: ctx.clock.now() })),
          },
          {
            name: "reconcile-payments",
            everyMs: DAY_MS,
            run: async (ctx) =>
              void (await billing.reconcile(ctx, payments, { now: ctx.clock.now(), days: RECONCILED_DAYS })),
          },
          {
            name: "poll-payment-events",
            everyMs: MINUTE_MS,
            run: async (ctx) => void (await billing.pollEvents(ctx, payments, { now: ctx.clock.now() })),
          },
        ];
  const keepDays = config.SLIPWAY_AUDIT_RETENTION_DAYS;
  const purgeOldAudit: PeriodicJob[] =
    keepDays === 0
      ? []
      : [
          {
            name: "purge-audit",
            everyMs: 60 * MINUTE_MS,
            run: async (ctx) => void (await purgeAudit(ctx, { keepDays })),
          },
        ];
  return [
    ...resumePayments,
    ...purgeOldAudit,
    {
      name: "settle-slices",
      everyMs: MINUTE_MS,
      run: async (ctx) => void (await billing.settleSlices(ctx, { now: ctx.clock.now() })),
    },
    {
      name: "sweep-machines",
      everyMs: 5 * MINUTE_MS,
      run: async (ctx) => void (await sweep(ctx, models, { now: ctx.clock.now() })),
    },
    {
      name: "sweep-storage",
      everyMs: STORAGE_MS,
      run: (ctx) => sweepStorage(ctx, storage),
    },
    {
      name: "purge-idempotency",
      everyMs: 60 * MINUTE_MS,
      run: async (ctx) => void (await purgeIdempotency(ctx)),
    },
    {
      name: "prune-spending",
      everyMs: 60 * MINUTE_MS,
      run: async (ctx) => void (await billing.pruneSpending(ctx)),
    },
    {
      name: "prune-metrics",
      everyMs: 60 * MINUTE_MS,
      run: async (ctx) => void (await pruneServed(ctx)),
    },
    {
      name: "tell-billing-news",
      everyMs: NEWS_MS,
      run: async (ctx) => void (await billing.tellNews(ctx, billingNews)),
    },
    {
      name: "purge-webhooks",
      everyMs: 60 * MINUTE_MS,
      run: async (ctx) => void (await purgeWebhooks(ctx)),
    },
    {
      name: "purge-logins",
      everyMs: 10 * MINUTE_MS,
      run: async (ctx) => {
        await purgeLoginState(ctx);
        await purgeLogins(ctx);
      },
    },
  ];
}
