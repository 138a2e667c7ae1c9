import { recordAudit } from "../../audit/index.ts";
import { NO_SAVINGS, type SavingsPlan } from "../../base/gpu-savings.ts";
import { formatMoney } from "../../base/money.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { GpuPriceVersion, Provider } from "./model.ts";
import { priceConflict, requirePrice } from "./rules.ts";
import { insertGpuPrice } from "./store.ts";

/** Without a plan the savings are passed through, and none are estimated. */
export interface NewGpuPrice extends Partial<SavingsPlan> {
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
  const price = {
    ...NO_SAVINGS,
    ...input,
    versionId: ctx.random.uuid(),
    validFrom,
    active: validFrom <= now,
    removed: false,
  };
  return withTransaction(ctx, async (tx) => {
    if (!(await insertGpuPrice(tx, price, now))) throw priceConflict();
    await recordAudit(tx, {
      action: "price.set",
      resource: `gpu_price:${price.versionId}`,
      details: {
        provider: input.provider,
        region: input.region,
        gpuType: input.gpuType,
        hourly: formatMoney({ currency: input.currency, nanos: input.nanosPerHour }),
        validFrom: validFrom.toISOString(),
        share: `${price.sharePpm / 10_000n} %`,
      },
    });
    return price;
  });
}
