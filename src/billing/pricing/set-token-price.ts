import type { DbCtx } from "../../db/db.ts";
import type { TokenPriceVersion } from "./model.ts";
import { priceConflict, requirePrice } from "./rules.ts";
import { insertTokenPrice } from "./store.ts";

export interface NewTokenPrice {
  readonly servedName: string;
  readonly currency: string;
  readonly inputNanosPerMillion: bigint;
  readonly cachedNanosPerMillion: bigint;
  readonly outputNanosPerMillion: bigint;
  /** Null: from now on. */
  readonly validFrom: Date | null;
}

/** Adds a version. Throws PRICE_CONFLICT, CURRENCY_MISMATCH, AMOUNT_INVALID, INVALID_FIELD (a validFrom in the past). */
export async function setTokenPrice(ctx: DbCtx, input: NewTokenPrice): Promise<TokenPriceVersion> {
  const now = ctx.clock.now();
  const validFrom = input.validFrom ?? now;
  await requirePrice(ctx, {
    currency: input.currency,
    amounts: {
      input_price_per_million: input.inputNanosPerMillion,
      cached_price_per_million: input.cachedNanosPerMillion,
      output_price_per_million: input.outputNanosPerMillion,
    },
    validFrom,
    now,
  });
  const price = { ...input, versionId: ctx.random.uuid(), validFrom, active: validFrom <= now };
  if (!(await insertTokenPrice(ctx, price, now))) throw priceConflict();
  return price;
}
