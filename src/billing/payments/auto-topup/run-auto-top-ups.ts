/** Pays for users who have less than they want to, within their limits, and stops where it does not work. */
import { formatMoney } from "../../../base/money.ts";
import { type Code, StatusError } from "../../../base/status.ts";
import type { DbCtx } from "../../../db/db.ts";
import { getUser } from "../../../identity/index.ts";
import { type Intent, selectIntentByKey } from "../intent-store.ts";
import type { PaymentProcessor } from "../processor.ts";
import { topUp } from "../top-up.ts";
import { type AutoTopUp, claimDue, endAttempt, sumTaken } from "./store.ts";

const MINUTE_MS = 60_000;
/** Longer than a payment takes. A worker that dies leaves the user to the next one, which asks for the same payment. */
const CLAIM_MS = 5 * MINUTE_MS;
/** Users of one pass; the next pass takes the rest. */
const DUE_MAX = 100;
/** In a row: banks count failed attempts against a card, and what failed thrice needs its holder. */
const FAILURES_MAX = 3;
/** A first failure may be a bank's bad moment, a second one a bad hour. */
const AGAIN_AFTER_MS: readonly number[] = [30 * MINUTE_MS, 4 * 60 * MINUTE_MS];
/** Between two payments for one user: what has just been paid must have been counted. */
const PAUSE_MS = MINUTE_MS;

/** One pass. Returns how many users it looked after. */
export async function runAutoTopUps(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { now: Date },
): Promise<number> {
  const claimUntil = new Date(input.now.getTime() + CLAIM_MS);
  const due = await claimDue(ctx, { now: input.now, claimUntil, limit: DUE_MAX });
  for (const one of due) {
    await payFor(ctx, processor, one, input.now).catch((error: unknown) =>
      ctx.log.warn({ err: error, userId: one.userId }, "an automatic top-up could not be looked after"),
    );
  }
  return due.length;
}

async function payFor(ctx: DbCtx, processor: PaymentProcessor, one: AutoTopUp, now: Date): Promise<void> {
  const key = `auto:${one.userId}:${one.attempt}`;
  const begun = await selectIntentByKey(ctx, key);
  if (begun) return follow(ctx, one, begun, now);
  const wait = await mustWait(ctx, one, now);
  if (wait) return end(ctx, one, now, wait);
  const { userId, currency, amountNanos: nanos } = one;
  const input = { userId, money: { currency, nanos }, cardId: "", key, source: "auto" } as const;
  const refused = await topUp(ctx, processor, input).then(
    () => undefined,
    (error: unknown) => StatusError.from(error),
  );
  const asked = await selectIntentByKey(ctx, key);
  if (asked) return follow(ctx, one, asked, now);
  // Refused before there was a payment: no card, an expired one, another currency by now.
  if (refused && !UNCLEAR.has(refused.code))
    await end(ctx, one, now, notPaid(one, now, refused.reason, refused.message));
  else if (refused) throw refused;
}

/** Says nothing of the card: the next pass tries again, and it counts for no failure. */
const UNCLEAR: ReadonlySet<Code> = new Set(["UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "ABORTED"]);

/** What became of a payment. One without an end is driven on with all others, and keeps its number until then. */
async function follow(ctx: DbCtx, one: AutoTopUp, intent: Intent, now: Date): Promise<void> {
  if (intent.state === "succeeded") await end(ctx, one, now, paid(one, now));
  if (intent.state !== "failed") return;
  await end(ctx, one, now, notPaid(one, now, intent.failureReason ?? "", intent.failure ?? ""));
}

type End = Omit<Parameters<typeof endAttempt>[1], "userId" | "attempt" | "at">;

function end(ctx: DbCtx, { userId, attempt }: AutoTopUp, at: Date, how: End): Promise<void> {
  return endAttempt(ctx, { userId, attempt, at, ...how });
}

/** What keeps the next payment from being begun: limits, or a user who is disabled. */
async function mustWait(ctx: DbCtx, one: AutoTopUp, now: Date): Promise<End | undefined> {
  const same = { nextAttempt: one.attempt, failures: one.failures, enabled: true };
  const { disabledAt } = await getUser(ctx, one.userId);
  if (disabledAt !== null) {
    return {
      ...same,
      enabled: false,
      failureReason: "USER_DISABLED",
      failure: "The account is disabled.",
      nextAt: now,
    };
  }
  const day = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
  const spans = [
    {
      name: "month",
      max: one.monthMaxNanos,
      since: Date.UTC(now.getUTCFullYear(), now.getUTCMonth()),
      next: Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1),
    },
    { name: "day", max: one.dayMaxNanos, since: day, next: day + 24 * 60 * MINUTE_MS },
  ];
  for (const { name, max, since, next } of spans) {
    const { userId, currency } = one;
    const taken = await sumTaken(ctx, { userId, currency, since: new Date(since) });
    if (taken + one.amountNanos <= max) continue;
    const failure = `The limit of ${formatMoney({ currency, nanos: max })} a ${name} is reached. Raise it, or top up by hand.`;
    return { ...same, failureReason: "LIMIT_REACHED", failure, nextAt: new Date(next) };
  }
  return undefined;
}

function paid(one: AutoTopUp, now: Date): End {
  const nextAt = new Date(now.getTime() + PAUSE_MS);
  return {
    nextAttempt: one.attempt + 1n,
    enabled: true,
    failures: 0,
    failureReason: null,
    failure: null,
    nextAt,
  };
}

function notPaid(one: AutoTopUp, now: Date, failureReason: string, why: string): End {
  // The processor's or our own trouble says nothing of the card.
  const failures = one.failures + (failureReason === "UNAVAILABLE" ? 0 : 1);
  const enabled = failures < FAILURES_MAX;
  const again = AGAIN_AFTER_MS[Math.max(0, failures - 1)] ?? 0;
  return {
    nextAttempt: one.attempt + 1n,
    enabled,
    failures,
    failureReason,
    failure: enabled ? why : `${why} It failed ${failures} times and is off now.`,
    nextAt: new Date(now.getTime() + again),
  };
}
