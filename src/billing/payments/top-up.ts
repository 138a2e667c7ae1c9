/** Money from a card into the balance: written down first, asked of the processor, then posted once. */
import { formatMoney, type Money } from "../../base/money.ts";
import { invalidArgument, StatusError } from "../../base/status.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { postTransfer } from "../ledger/index.ts";
import { readSettings } from "../settings.ts";
import { cardExpired, cardMissing, cardUnknown, customerOf, isExpired } from "./cards.ts";
import type { Payment, PaymentProcessor } from "./processor.ts";
import {
  type Intent,
  insertIntent,
  lockIntent,
  selectCards,
  selectPendingIntents,
  updateIntent,
} from "./store.ts";

/** One payment takes at most this: a slipped digit should not empty a card. */
const TOPUP_MAX_NANOS = 100_000n * 1_000_000_000n;
/** A payment without an end for so long has lost its caller. */
const RESUME_AFTER_MS = 60_000;
/** Payments driven on in one pass; the next pass takes the rest. */
const RESUME_MAX = 100;

export interface TopUpInput {
  readonly userId: string;
  readonly money: Money;
  /** "" = the default card. */
  readonly cardId: string;
  /** Same key, same payment: money is taken once. */
  readonly key: string;
}

export interface TopUp {
  readonly processorId: string;
  readonly clientSecret: string;
}

/**
 * Takes money from a card; it is in the balance when this returns. Throws CARD_MISSING, CARD_EXPIRED, CARD_DECLINED,
 * CARD_NEEDS_ACTION, PAYMENT_METHOD_UNKNOWN, AMOUNT_INVALID, CURRENCY_MISMATCH, IDEMPOTENCY_KEY_REUSED.
 */
export async function topUp(ctx: DbCtx, processor: PaymentProcessor, input: TopUpInput): Promise<TopUp> {
  await requireMoney(ctx, input.money);
  const cardId = await chooseCard(ctx, input);
  const wanted = {
    intentId: ctx.random.uuid(),
    key: input.key,
    userId: input.userId,
    processor: processor.name,
    customerId: await customerOf(ctx, processor, input.userId),
    cardId,
    amountNanos: input.money.nanos,
    currency: input.money.currency,
  };
  const intent = await insertIntent(ctx, wanted, ctx.clock.now());
  if (intent.userId !== wanted.userId || intent.amountNanos !== wanted.amountNanos) throw keyReused();
  const payment = await drive(ctx, processor, intent);
  requirePaid(payment);
  return payment;
}

/** Drives on payments whose end was lost with their caller. Returns how many. */
export async function resumePayments(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { now: Date },
): Promise<number> {
  const before = new Date(input.now.getTime() - RESUME_AFTER_MS);
  const pending = await selectPendingIntents(ctx, { processor: processor.name, before, limit: RESUME_MAX });
  for (const intent of pending) {
    await drive(ctx, processor, intent).catch((error: unknown) =>
      ctx.log.warn({ err: error, paymentIntentId: intent.intentId }, "a payment could not be driven on"),
    );
  }
  return pending.length;
}

/** Asks the processor under the intent's own key and writes down what it says, once. */
async function drive(ctx: DbCtx, processor: PaymentProcessor, intent: Intent): Promise<Payment> {
  const money = { currency: intent.currency, nanos: intent.amountNanos };
  const { customerId, cardId, intentId } = intent;
  const payment = await processor.pay(ctx, { key: intentId, customerId, cardId, money });
  await withTransaction(ctx, async (tx) => {
    const now = await lockIntent(tx, intentId);
    if (now?.state !== "pending") return;
    const { outcome } = payment;
    const at = tx.clock.now();
    const key = `topup:${intentId}`;
    const posted =
      outcome.state === "succeeded"
        ? await postTransfer(tx, { key, code: "topup.card", ownerId: intent.userId, money, at })
        : undefined;
    await updateIntent(tx, intentId, {
      state: outcome.state,
      processorId: payment.processorId,
      failure: outcome.state === "failed" ? outcome.why : null,
      transferId: posted?.transferId ?? null,
      at,
    });
  });
  return payment;
}

function requirePaid(payment: Payment): void {
  const { outcome, processorId } = payment;
  if (outcome.state === "succeeded") return;
  const metadata = { paymentIntentId: processorId };
  if (outcome.state === "failed") {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CARD_DECLINED",
      message: outcome.why,
      metadata,
    });
  }
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CARD_NEEDS_ACTION",
    message:
      "The bank wants the cardholder to confirm this payment. Confirm it in a browser, or use another card.",
    metadata,
  });
}

async function chooseCard(ctx: DbCtx, input: TopUpInput): Promise<string> {
  const cards = await selectCards(ctx, input.userId);
  const [first] = cards;
  if (!first) throw cardMissing();
  const card = input.cardId === "" ? first : cards.find((one) => one.cardId === input.cardId);
  if (!card) throw cardUnknown();
  if (isExpired(card, ctx.clock.now())) throw cardExpired();
  return card.cardId;
}

async function requireMoney(ctx: DbCtx, money: Money): Promise<void> {
  const { currency } = await readSettings(ctx);
  if (money.currency !== currency) throw currencyMismatch(currency);
  const coin = smallestCoinNanos(currency);
  if (money.nanos > 0n && money.nanos <= TOPUP_MAX_NANOS && money.nanos % coin === 0n) return;
  throw invalidArgument([
    {
      field: "amount",
      description: `must be above zero, at most ${formatMoney({ currency, nanos: TOPUP_MAX_NANOS })}, and in whole steps of ${formatMoney({ currency, nanos: coin })}`,
      reason: "AMOUNT_INVALID",
    },
  ]);
}

export function currencyMismatch(currency: string): StatusError {
  return invalidArgument([
    { field: "amount", description: `must be in ${currency}`, reason: "CURRENCY_MISMATCH" },
  ]);
}

/** A cent where the currency has cents (ISO 4217's minor unit, as ECMA-402 knows it). */
function smallestCoinNanos(currency: string): bigint {
  const digits = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
  return 10n ** BigInt(9 - (digits.maximumFractionDigits ?? 2));
}

function keyReused(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "IDEMPOTENCY_KEY_REUSED",
    message: "This key was used before for another payment.",
  });
}
