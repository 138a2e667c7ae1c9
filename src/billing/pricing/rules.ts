/** What every new version of a price must keep. */
import { type FieldViolation, invalidArgument, StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { readSettings } from "../settings.ts";
import { PRICE_MAX_NANOS } from "./model.ts";

export interface PriceCheck {
  readonly currency: string;
  /** By request field. */
  readonly amounts: Readonly<Record<string, bigint>>;
  readonly validFrom: Date;
  /** When it is asked for: "from now on" must not become the past while we look. */
  readonly now: Date;
}

/** Throws INVALID_FIELD | AMOUNT_INVALID | CURRENCY_MISMATCH, all at once: the past is never rewritten. */
export async function requirePrice(ctx: DbCtx, price: PriceCheck): Promise<void> {
  const { currency } = await readSettings(ctx);
  const violations = [...amountViolations(currency, price), ...beginViolations(price.validFrom, price.now)];
  if (violations.length > 0) throw invalidArgument(violations);
}

/** What is wrong with amounts for a time or for tokens, in an installation of that currency. */
export function amountViolations(
  currency: string,
  price: Pick<PriceCheck, "currency" | "amounts">,
): readonly FieldViolation[] {
  const violations: FieldViolation[] = [];
  if (price.currency !== currency) {
    violations.push({
      field: Object.keys(price.amounts)[0] ?? "currency",
      description: `must be in ${currency}`,
      reason: "CURRENCY_MISMATCH",
    });
  }
  for (const [field, nanos] of Object.entries(price.amounts)) {
    if (nanos >= 0n && nanos <= PRICE_MAX_NANOS) continue;
    violations.push({ field, description: "must be from 0 to 1000000", reason: "AMOUNT_INVALID" });
  }
  return violations;
}

/** What is wrong with the moment at which a version begins. */
export function beginViolations(validFrom: Date, now: Date): readonly FieldViolation[] {
  if (validFrom >= now) return [];
  return [{ field: "valid_from", description: "must not be in the past; leave it out for now" }];
}

/** Two versions can't begin at one moment. */
export function priceConflict(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "PRICE_CONFLICT",
    message: "A version of this price begins at the same moment. Choose another validFrom.",
  });
}
