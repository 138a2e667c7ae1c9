import { recordAudit } from "../../audit/index.ts";
import { formatMoney } from "../../base/money.ts";
import { invalidArgument } from "../../base/status.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { amountViolations } from "../pricing/index.ts";
import { readSettings } from "../settings.ts";
import type { ProviderCost } from "./model.ts";
import { insertCost } from "./store.ts";

export interface NewProviderCost extends Omit<ProviderCost, "costId" | "createdAt" | "validFrom"> {
  /** Null: from now on. */
  readonly validFrom: Date | null;
  /** The administrator who tells it. */
  readonly operatorId: string;
}

/** Adds a version of what a provider costs. Throws CURRENCY_MISMATCH, AMOUNT_INVALID. */
export function setProviderCost(ctx: DbCtx, input: NewProviderCost): Promise<ProviderCost> {
  return withTransaction(ctx, async (tx) => {
    const { currency } = await readSettings(tx);
    const amounts = { hourly_cost: input.nanosPerHour };
    const violations = amountViolations(currency, { currency: input.currency, amounts });
    if (violations.length > 0) throw invalidArgument(violations);
    const { operatorId, validFrom, ...facts } = input;
    const createdAt = tx.clock.now();
    const cost = { ...facts, costId: tx.random.uuid(), validFrom: validFrom ?? createdAt, createdAt };
    await insertCost(tx, cost, operatorId);
    await recordAudit(tx, {
      action: "provider_cost.set",
      resource: `provider_cost:${cost.costId}`,
      details: {
        ...{ provider: cost.provider, region: cost.region, gpuType: cost.gpuType },
        hourly: formatMoney({ currency, nanos: cost.nanosPerHour }),
        validFrom: cost.validFrom.toISOString(),
      },
    });
    return cost;
  });
}
