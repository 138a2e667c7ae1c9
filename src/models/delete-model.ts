import type { DbCtx } from "../db/db.ts";
import type { ModelView } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import { stopSlots, type WishInput, wish } from "./wish.ts";

/**
 * Deletes a model. Answers at once: its name is free, it is out of routing and off the clock; its machines are removed after it,
 * and it stays DELETING until they are seen to be gone. Throws MODEL_NOT_FOUND, also for one that is being deleted.
 */
export function deleteModel(ctx: DbCtx, deps: ModelsDeps, input: WishInput): Promise<ModelView> {
  return wish(ctx, deps, input, async (tx, found) => {
    const model = {
      ...found.model,
      desired: "DELETED",
      desiredReason: "REMOVED",
      desiredAt: tx.clock.now(),
      gaveUp: null,
    } as const;
    const attempts = await stopSlots(tx, deps, found, () => true);
    return { model, attempts, event: { type: "DELETED", log: "Deleted; its machines are being removed." } };
  });
}
