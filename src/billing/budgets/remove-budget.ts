import { type DbCtx, notify, withTransaction } from "../../db/db.ts";
import { budgetNotFound } from "./errors.ts";
import type { Budget } from "./model.ts";
import { lockBudget, updateRemoved } from "./store.ts";

export interface BudgetInput {
  readonly budgetId: string;
  /** Whether the caller may see and change this user's: another's budget is not there. */
  mayReach(userId: string): boolean;
}

/**
 * Removes a budget: nothing is bounded by it from now on, and one that is set anew counts from zero. A repeat changes nothing.
 * Throws BUDGET_NOT_FOUND.
 */
export function removeBudget(ctx: DbCtx, input: BudgetInput): Promise<Budget> {
  return withTransaction(ctx, async (tx) => {
    const found = await lockBudget(tx, input.budgetId);
    if (!found || !input.mayReach(found.userId)) throw budgetNotFound(input.budgetId);
    await updateRemoved(tx, found.budgetId, tx.clock.now());
    await notify(tx, "slipway_routes", `user:${found.userId}`);
    return found;
  });
}
