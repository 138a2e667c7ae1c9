import { recordAudit } from "../../audit/index.ts";
import { formatMoney } from "../../base/money.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
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
  const price = {
    ...input,
    versionId: ctx.random.uuid(),
    validFrom,
    active: validFrom <= now,
    removed: false,
  };
  const perMillion = (nanos: bigint) => formatMoney({ currency: input.currency, nanos });
  return withTransaction(ctx, async (tx) => {
    if (!(await insertTokenPrice(tx, price, now))) throw priceConflict();
    await recordAudit(tx, {
      action: "price.set",
      resource: `serverless_price:${price.versionId}`,
      details: {
        model: input.servedName,
        input: perMillion(input.inputNanosPerMillion),
        cached: perMillion(input.cachedNanosPerMillion),
        output: perMillion(input.outputNanosPerMillion),
        validFrom: validFrom.toISOString(),
      },
    });
    return price;
  });
}
