import { AMOUNT_MAX_NANOS, formatMoney, type Money } from "../../base/money.ts";
import { type FieldViolation, invalidArgument } from "../../base/status.ts";
import { type DbCtx, notify, withTransaction } from "../../db/db.ts";
import { readLockedBalance } from "../ledger/index.ts";
import { readSettings } from "../settings.ts";
import { tooManyBudgets } from "./errors.ts";
import type { BudgetPeriod, BudgetSubject, BudgetUse } from "./model.ts";
import { callBackSlices, countBudgetsLocked, selectBudgets, upsertBudget } from "./store.ts";

/** Budgets of one user: three for each of as many keys as a user may hold, and a few models. One list shows them all. */
export const BUDGETS_MAX = 4_000;

export interface NewBudget extends BudgetSubject {
  /** Whose money it bounds: the owner of the key or the model, or whoever asks by the name. */
  readonly userId: string;
  readonly period: BudgetPeriod;
  readonly limit: Money;
  /** What the request calls the limit, where that is something else. */
  readonly field?: string;
}

/**
 * Sets a budget, or the limit of the one that there is; what was spent and reserved under it stays counted. A new one counts from
 * now on. It holds at once for whatever is set aside next: slices that are out are called back. Throws AMOUNT_INVALID,
 * CURRENCY_MISMATCH, TOO_MANY_BUDGETS.
 */
export async function setBudget(ctx: DbCtx, input: NewBudget): Promise<BudgetUse> {
  const use = await withTransaction(ctx, async (tx) => {
    const { currency } = await readSettings(tx);
    requireSound(input.limit, currency, input.field ?? "limit");
    const at = tx.clock.now();
    const { userId, kind, subject, period } = input;
    // Whoever sets money aside at this moment has done so before, or sees the new limit.
    await readLockedBalance(tx, userId, currency);
    const before = await selectBudgets(tx, { userId, of: { kind, subject }, at, limit: BUDGETS_MAX });
    const known = before.some((one) => one.period === period);
    if (!known && (await countBudgetsLocked(tx, userId)) >= BUDGETS_MAX) throw tooManyBudgets(BUDGETS_MAX);
    const times = { createdAt: at, changedAt: at };
    const limitNanos = input.limit.nanos;
    const made = { budgetId: tx.random.uuid(), userId, kind, subject, period, currency, limitNanos };
    const budgetId = await upsertBudget(tx, { ...made, ...times });
    // Gateways read anew what is bounded of this user's.
    await notify(tx, "slipway_routes", `user:${userId}`);
    const uses = await selectBudgets(tx, { userId, of: { kind, subject }, at, limit: BUDGETS_MAX });
    return uses.find((one) => one.budgetId === budgetId);
  });
  await callBackSlices(ctx, { userId: input.userId });
  if (use) return use;
  throw new Error("a budget that was just set is not there");
}

function requireSound({ currency, nanos }: Money, ours: string, field: string): void {
  const violations: FieldViolation[] = [];
  if (currency !== ours)
    violations.push({ field, description: `must be in ${ours}`, reason: "CURRENCY_MISMATCH" });
  if (nanos <= 0n || nanos > AMOUNT_MAX_NANOS) {
    const most = formatMoney({ currency: ours, nanos: AMOUNT_MAX_NANOS });
    const description = `must be above zero and at most ${most}; remove a budget to be without one`;
    violations.push({ field, description, reason: "AMOUNT_INVALID" });
  }
  if (violations.length > 0) throw invalidArgument(violations);
}
