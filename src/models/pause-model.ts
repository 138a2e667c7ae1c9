import type { DbCtx } from "../db/db.ts";
import type { ModelView } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import { isMoneyReason } from "./reasons.ts";
import { stopSlots, type WishInput, wish } from "./wish.ts";

/**
 * Stops a model and keeps everything: out of routing and off the clock in this transaction; its machines finish what they
 * stream and are removed after it. Pausing what is paused changes nothing; what was paused for money stays so when money comes.
 * Throws MODEL_NOT_FOUND.
 */
export function pauseModel(ctx: DbCtx, deps: ModelsDeps, input: WishInput): Promise<ModelView> {
  return wish(ctx, deps, input, async (tx, found) => {
    const { desired, desiredReason } = found.model;
    const byMoney = desired === "PAUSED" && isMoneyReason(desiredReason);
    if (desired === "PAUSED" && !byMoney) return undefined;
    const byOwner = input.principal.userId === found.model.userId;
    const model = {
      ...found.model,
      desired: "PAUSED",
      desiredReason: byOwner ? "PAUSED_BY_OWNER" : "PAUSED_BY_ADMIN",
      desiredAt: tx.clock.now(),
      gaveUp: null,
    } as const;
    const attempts = byMoney ? [] : await stopSlots(tx, deps, found, () => true);
    const log = byOwner ? "Its owner paused it." : "An administrator paused it.";
    return { model, attempts, event: { type: "UPDATED", log } };
  });
}
