/** What workers do now and then: drive on, settle, tell, sweep and forget. */
import { purgeAudit } from "../audit/index.ts";
import * as billing from "../billing/index.ts";
import { purgeIdempotency } from "../idempotency/index.ts";
import { purgeLogins } from "../identity/index.ts";
import type { PeriodicJob } from "../jobs/index.ts";
import { deliverMail, type Mailer, purgeMail } from "../mail/index.ts";
import { type ModelsDeps, resumePaid, sweep, tellLeaks } from "../models/index.ts";
import { pruneServed } from "../observability/index.ts";
import { purgeLoginState } from "../openid-provider/index.ts";
import { type StorageDeps, sweepStorage } from "../storage/index.ts";
import { purgeWebhooks } from "../webhooks/index.ts";
import type { Config } from "./config.ts";
import { sendsMail } from "./mail-hook.ts";
import { newsOf } from "./news.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Each night looks back a week: late refunds and disputes are listed by the day on which they began. */
const RECONCILED_DAYS = 7;
/** How long what may not stay in external storage is still there. */
const STORAGE_MS = 30_000;
/** How late a payment or a low balance is told. */
const NEWS_MS = 2_000;
const MAIL_MS = 5_000;
/** How long a committed transfer may stand unsealed. */
const SEAL_MS = 1_000;
/** How long a model that stood still for want of money does so after the money came. */
const RESUME_MS = 5_000;

/** Those that read all there is: they run beside the others, which wait for nobody's minutes. */
export const SLOW_JOBS: readonly PeriodicJob[] = [
  {
    name: "close-invoices",
    everyMs: 60 * MINUTE_MS,
    run: async (ctx) => void (await billing.closeMonths(ctx)),
  },
  {
    name: "check-ledger",
    everyMs: DAY_MS,
    run: async (ctx) => void (await billing.checkBooks(ctx, { now: ctx.clock.now() })),
  },
];

/** All others; each runs in one worker at a time. */
export function periodicJobs(
  config: Config,
  models: ModelsDeps,
  payments: billing.PaymentProcessor | undefined,
  more: { readonly storage: StorageDeps; readonly mailer: Mailer | undefined },
): readonly PeriodicJob[] {
  const { storage, mailer } = more;
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
          {
            name: "warn-of-card-expiry",
            everyMs: 60 * MINUTE_MS,
            run: async (ctx) => void (await billing.warnOfExpiry(ctx, { now: ctx.clock.now() })),
          },
          {
            name: "book-processor-lines",
            everyMs: 5 * MINUTE_MS,
            run: async (ctx) =>
              void (await billing.bookProcessorLines(ctx, payments, { now: ctx.clock.now() })),
          },
        ];
  const news = newsOf({ mail: sendsMail(config) }).billing;
  const handOnMail: PeriodicJob[] =
    mailer === undefined
      ? []
      : [
          {
            name: "deliver-mail",
            everyMs: MAIL_MS,
            run: async (ctx) => void (await deliverMail(ctx, mailer)),
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
    ...handOnMail,
    {
      name: "watch-runways",
      everyMs: MINUTE_MS,
      run: async (ctx) => void (await billing.watchRunways(ctx)),
    },
    {
      name: "resume-paid-models",
      everyMs: RESUME_MS,
      run: async (ctx) => void (await resumePaid(ctx, models)),
    },
    {
      name: "seal-ledger",
      everyMs: SEAL_MS,
      run: async (ctx) => void (await billing.sealTransfers(ctx)),
    },
    {
      name: "expire-credit",
      everyMs: MINUTE_MS,
      run: async (ctx) => {
        await billing.warnExpiry(ctx);
        await billing.expireCredit(ctx);
      },
    },
    {
      name: "expire-adjustments",
      everyMs: 60 * MINUTE_MS,
      run: async (ctx) => void (await billing.expireAdjustments(ctx)),
    },
    {
      name: "purge-mail",
      everyMs: 60 * MINUTE_MS,
      run: async (ctx) => void (await purgeMail(ctx)),
    },
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
      name: "tell-leaks",
      everyMs: DAY_MS,
      run: async (ctx) => void (await tellLeaks(ctx, models)),
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
      run: async (ctx) => void (await billing.tellNews(ctx, news)),
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
