import type { DbCtx } from "../../db/db.ts";
import type { BudgetSubject, BudgetUse } from "./model.ts";
import { BUDGETS_MAX } from "./set-budget.ts";
import { selectBudgets, selectSubjects } from "./store.ts";

/** A user's budgets as they are now, or those of one kind or subject; those of what was deleted are gone with it. */
export function listBudgets(
  ctx: DbCtx,
  input: { readonly userId: string; readonly of?: Partial<BudgetSubject> },
): Promise<readonly BudgetUse[]> {
  return selectBudgets(ctx, { ...input, at: ctx.clock.now(), limit: BUDGETS_MAX });
}

/** What of a user's is bounded by budgets: what a gateway must know before it spends from a slice that no budget bounds. */
export function budgetSubjects(ctx: DbCtx, userId: string): Promise<readonly BudgetSubject[]> {
  return selectSubjects(ctx, userId);
}
