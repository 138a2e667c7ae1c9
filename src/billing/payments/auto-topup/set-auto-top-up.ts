import type { Money } from "../../../base/money.ts";
import { type FieldViolation, invalidArgument } from "../../../base/status.ts";
import { type DbCtx, withTransaction } from "../../../db/db.ts";
import { readSettings } from "../../settings.ts";
import { amountViolation } from "../amount-rules.ts";
import { isExpired } from "../card-expiry.ts";
import { cardExpired, cardMissing, listCards } from "../cards.ts";
import { type AutoTopUp, selectAutoTopUp, upsertAutoTopUp, type Wanted } from "./store.ts";

export interface AutoTopUpInput {
  readonly userId: string;
  readonly enabled: boolean;
  /** Undefined: as it was. */
  readonly threshold: Money | undefined;
  readonly amount: Money | undefined;
  readonly dayMax: Money | undefined;
  readonly monthMax: Money | undefined;
}

/** Undefined where the user never set it. */
export function getAutoTopUp(ctx: DbCtx, userId: string): Promise<AutoTopUp | undefined> {
  return selectAutoTopUp(ctx, userId);
}

/**
 * Sets the automatic top-up. Throws AMOUNT_INVALID, CURRENCY_MISMATCH, INVALID_FIELD (a limit that lets no payment through), and,
 * when it is switched on, CARD_MISSING, CARD_EXPIRED.
 */
export function setAutoTopUp(ctx: DbCtx, input: AutoTopUpInput): Promise<AutoTopUp | undefined> {
  return withTransaction(ctx, async (tx) => {
    const { currency } = await readSettings(tx);
    const now = await selectAutoTopUp(tx, input.userId);
    if (!now && !input.enabled) return undefined;
    const before = now?.currency === currency ? now : undefined;
    const wanted: Wanted = {
      userId: input.userId,
      enabled: input.enabled,
      currency,
      thresholdNanos: input.threshold?.nanos ?? before?.thresholdNanos ?? 0n,
      amountNanos: input.amount?.nanos ?? before?.amountNanos ?? 0n,
      dayMaxNanos: input.dayMax?.nanos ?? before?.dayMaxNanos ?? 0n,
      monthMaxNanos: input.monthMax?.nanos ?? before?.monthMaxNanos ?? 0n,
    };
    requireSound(input, wanted);
    if (input.enabled) await requireCard(tx, input.userId);
    await upsertAutoTopUp(tx, wanted, tx.clock.now());
    return selectAutoTopUp(tx, input.userId);
  });
}

function requireSound(input: AutoTopUpInput, wanted: Wanted): void {
  const { currency, thresholdNanos, amountNanos, dayMaxNanos, monthMaxNanos } = wanted;
  const given = {
    threshold: input.threshold,
    amount: input.amount,
    day_max: input.dayMax,
    month_max: input.monthMax,
  };
  const violations: (FieldViolation | undefined)[] = Object.entries(given).map(([field, money]) =>
    money === undefined || money.currency === currency
      ? undefined
      : { field, description: `must be in ${currency}`, reason: "CURRENCY_MISMATCH" },
  );
  violations.push(amountViolation("amount", { currency, nanos: amountNanos }));
  if (thresholdNanos <= 0n) violations.push({ field: "threshold", description: "must be above zero" });
  if (dayMaxNanos < amountNanos)
    violations.push({
      field: "day_max",
      description: "must be at least the amount, or nothing is ever paid",
    });
  if (monthMaxNanos < dayMaxNanos)
    violations.push({ field: "month_max", description: "must be at least what a day may take" });
  const broken = violations.filter((violation) => violation !== undefined);
  if (broken.length > 0) throw invalidArgument(broken);
}

async function requireCard(ctx: DbCtx, userId: string): Promise<void> {
  const cards = await listCards(ctx, userId);
  const [first] = cards;
  if (!first) throw cardMissing();
  if (isExpired(first, ctx.clock.now())) throw cardExpired();
}
