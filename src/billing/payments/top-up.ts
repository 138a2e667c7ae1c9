/** Money from a card into the balance: written down first, asked of the processor, then posted once. */
import type { Money } from "../../base/money.ts";
import { invalidArgument, StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { readSettings } from "../settings.ts";
import { amountViolation } from "./amount-rules.ts";
import { isExpired } from "./card-expiry.ts";
import { cardExpired, cardMissing, cardUnknown, customerOf } from "./cards.ts";
import { drive } from "./drive-payment.ts";
import { insertIntent } from "./intent-store.ts";
import type { Payment, PaymentProcessor } from "./processor.ts";
import { selectCards } from "./store.ts";

export interface TopUpInput {
  readonly userId: string;
  readonly money: Money;
  /** "" = the default card. */
  readonly cardId: string;
  /** Same key, same payment: money is taken once. */
  readonly key: string;
  /** `auto`: nobody is there to confirm anything. Default `user`. */
  readonly source?: "user" | "auto";
}

export interface TopUp {
  readonly processorId: string;
  readonly clientSecret: string;
  /** `requires_action`: the cardholder confirms it in a browser with the secret; `pending`: the processor is at it. */
  readonly state: "succeeded" | "requires_action" | "pending";
}

/**
 * Takes money from a card; where it succeeded, it is in the balance when this returns. Throws CARD_MISSING, CARD_EXPIRED, CARD_DECLINED,
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
    source: input.source ?? "user",
    createdAt: ctx.clock.now(),
  };
  const { intent, created } = await insertIntent(ctx, wanted);
  if (intent.userId !== wanted.userId || intent.amountNanos !== wanted.amountNanos) throw keyReused();
  return requireUnderWay(await drive(ctx, processor, intent, created));
}

function requireUnderWay(payment: Payment): TopUp {
  const { outcome, processorId, clientSecret } = payment;
  if (outcome.state !== "failed") return { processorId, clientSecret, state: outcome.state };
  throw new StatusError({
    code: outcome.reason === "UNAVAILABLE" ? "UNAVAILABLE" : "FAILED_PRECONDITION",
    reason: outcome.reason,
    message: outcome.why,
    ...(processorId !== "" && { metadata: { paymentIntentId: processorId } }),
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
  const wrong = amountViolation("amount", money);
  if (wrong) throw invalidArgument([wrong]);
}

export function currencyMismatch(currency: string): StatusError {
  return invalidArgument([
    { field: "amount", description: `must be in ${currency}`, reason: "CURRENCY_MISMATCH" },
  ]);
}

function keyReused(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "IDEMPOTENCY_KEY_REUSED",
    message: "This key was used before for another payment.",
  });
}
