import type { DbCtx } from "../../db/db.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { GpuPriceVersion, Provider } from "./model.ts";
import { priceConflict, requirePrice } from "./rules.ts";
import { insertGpuPrice } from "./store.ts";

export interface NewGpuPrice {
  readonly provider: Provider;
  /** "" = every region of the provider that has no price of its own. */
  readonly region: string;
  readonly gpuType: GpuType;
  readonly currency: string;
  readonly nanosPerHour: bigint;
  /** Null: from now on. */
  readonly validFrom: Date | null;
}

/** Adds a version. Throws PRICE_CONFLICT, CURRENCY_MISMATCH, AMOUNT_INVALID, INVALID_FIELD (a validFrom in the past). */
export async function setGpuPrice(ctx: DbCtx, input: NewGpuPrice): Promise<GpuPriceVersion> {
  const now = ctx.clock.now();
  const validFrom = input.validFrom ?? now;
  await requirePrice(ctx, {
    currency: input.currency,
    amounts: { hourly_rate: input.nanosPerHour },
    validFrom,
    now,
  });
  const price = { ...input, versionId: ctx.random.uuid(), validFrom, active: validFrom <= now };
  if (!(await insertGpuPrice(ctx, price, now))) throw priceConflict();
  return price;
}
