/** A user's money, how long it lasts, and whether it suffices. */
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { type Balance, balanceTooLow, readBalance, readBalances } from "./ledger/index.ts";
import {
  accountRestricted,
  cardExpired,
  cardMissing,
  currencyMismatch,
  debtOf,
  hasTestMoney,
  isExpired,
  listCards,
} from "./payments/index.ts";
import { type Runway, runwayAt, runwayOf, selectMarks, shortest } from "./runway/index.ts";
import { type BillingSettings, readSettings } from "./settings.ts";

/** What the user has, in the installation's currency; zero before the first movement. */
export async function balanceOf(ctx: DbCtx, userId: string): Promise<Balance> {
  return readBalance(ctx, userId, (await readSettings(ctx)).currency);
}

/** Balances of several users, in the order asked for. */
export async function balancesOf(ctx: DbCtx, userIds: readonly string[]): Promise<readonly Balance[]> {
  return readBalances(ctx, userIds, (await readSettings(ctx)).currency);
}

export interface MoneyQuestion {
  readonly userId: string;
  /** What would be held. */
  readonly holdNanos: bigint;
  readonly currency: string;
  /** Test money pays for local places only. */
  readonly placeKind: "local" | "cloud";
  /** What running models would cost an hour more, for a model that scales up: refused where the runway becomes too short. */
  readonly scaleUpNanosPerHour?: bigint;
}

export interface MoneyVerdict extends Runway {
  readonly ok: boolean;
  readonly balance: Balance;
  /** "ok" also where the installation takes no payments: no card could be had. */
  readonly card: "ok" | "missing" | "expired";
  /** ACCOUNT_RESTRICTED, BALANCE_TOO_LOW, RUNWAY_SHORT, CARD_MISSING, CARD_EXPIRED, TEST_MONEY_REFUSED, CURRENCY_MISMATCH: all that apply. */
  readonly errors: readonly StatusError[];
}

/** Whether the user's money and cards suffice for something that holds `holdNanos`. Moves nothing. */
export async function moneyVerdict(ctx: DbCtx, question: MoneyQuestion): Promise<MoneyVerdict> {
  const settings = await readSettings(ctx);
  const balance = await readBalance(ctx, question.userId, settings.currency);
  const card = await cardState(ctx, question.userId, settings);
  const runway = await runwayOf(ctx, question.userId, balance);
  const debtNanos = await debtOf(ctx, question.userId, settings.currency);
  const errors = [
    ...(debtNanos > 0n ? [accountRestricted(debtNanos, settings.currency)] : []),
    ...moneyErrors(question, balance),
    ...(await runwayErrors(ctx, question, balance, runway)),
    ...(card === "missing" ? [cardMissing()] : card === "expired" ? [cardExpired()] : []),
    ...(question.placeKind === "cloud" && (await hasTestMoney(ctx, question.userId)) ? [testMoney()] : []),
  ];
  return {
    ok: errors.length === 0,
    balance,
    card,
    errors,
    ...runway,
  };
}

function moneyErrors(question: MoneyQuestion, balance: Balance): readonly StatusError[] {
  const { holdNanos: neededNanos, currency } = question;
  if (currency !== balance.currency) return [currencyMismatch(balance.currency)];
  const { availableNanos } = balance;
  return availableNanos < neededNanos ? [balanceTooLow({ neededNanos, availableNanos, currency })] : [];
}

/** Who has money for the shortest mark alone should not spend it faster. */
async function runwayErrors(
  ctx: DbCtx,
  question: MoneyQuestion,
  balance: Balance,
  burn: Runway,
): Promise<readonly StatusError[]> {
  const added = question.scaleUpNanosPerHour ?? 0n;
  if (added === 0n) return [];
  const mark = shortest(await selectMarks(ctx));
  const runwaySeconds = runwayAt({ ...burn, ...balance }, burn, ctx.clock.now(), added);
  return mark !== null && runwaySeconds !== null && runwaySeconds < mark
    ? [runwayShort(runwaySeconds, mark)]
    : [];
}

function runwayShort(runwaySeconds: number, markSeconds: number): StatusError {
  const minutes = (seconds: number) => `${Math.floor(seconds / 60)} min`;
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "RUNWAY_SHORT",
    message: `With more replicas the balance would last for ${minutes(runwaySeconds)}, and at least ${minutes(markSeconds)} are asked for. Top up the balance, or stop something that runs.`,
    metadata: { runwaySeconds: String(runwaySeconds), neededSeconds: String(markSeconds) },
  });
}

async function cardState(
  ctx: DbCtx,
  userId: string,
  settings: BillingSettings,
): Promise<MoneyVerdict["card"]> {
  if (settings.payments === "off") return "ok";
  const cards = await listCards(ctx, userId);
  if (cards.length === 0) return "missing";
  const now = ctx.clock.now();
  return cards.some((card) => !isExpired(card, now)) ? "ok" : "expired";
}

function testMoney(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TEST_MONEY_REFUSED",
    message: "Test money pays for places on this machine only. Choose a local region.",
  });
}
