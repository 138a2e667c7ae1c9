/** Holds that budgets bound: what is left is looked at and taken under the user's balance lock. */
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { budgetExceeded } from "./errors.ts";
import { type BudgetUse, leftOf, type Purpose, tightestOf } from "./model.ts";
import { callBackSlices, reserveInBudgets, selectApplying } from "./store.ts";

/** The budgets that bound a purpose, with what is left of them. The caller holds the user's balance lock. */
export function readBudgets(tx: TxCtx, purpose: Purpose): Promise<readonly BudgetUse[]> {
  return selectApplying(tx, purpose);
}

/**
 * Counts a hold that was just placed in the budgets of its purpose. The caller's transaction holds the user's balance lock, as
 * placing a hold does. Throws BUDGET_EXCEEDED: the transaction must not commit then.
 */
export async function holdUnderBudgets(
  tx: TxCtx,
  purpose: Purpose,
  hold: { readonly holdId: string; readonly nanos: bigint },
): Promise<void> {
  const uses = await readBudgets(tx, purpose);
  const tightest = tightestOf(uses);
  if (!tightest) return;
  if (leftOf(tightest) < hold.nanos) throw budgetExceeded(tightest, hold.nanos, tx.clock.now());
  await reserveInBudgets(tx, hold.holdId, uses);
}

/** Asks the gateways for what their slices keep of the budget that fell short. */
export async function recallBudget(ctx: DbCtx, use: BudgetUse): Promise<void> {
  if (use.reservedNanos > 0n) await callBackSlices(ctx, { userId: use.userId, of: use });
}
