import { formatAmount, formatMoney } from "../../base/money.ts";
import { StatusError } from "../../base/status.ts";
import { type BudgetUse, budgetName, leftOf } from "./model.ts";

/** Money that requests under way keep comes back about so fast: their gateways were asked for it. */
const GIVEN_BACK_MS = 2_000;
/** Who waits longer than this for a period's turn should look at `resets_at` instead of a Retry-After. */
const TURN_NEAR_MS = 60 * 60_000;

/**
 * A budget has not enough left. Metadata: which one (`budget`, `subject`, `period`, `budget_id`), `resets_at` unless it never does,
 * and `needed`, `available`, `limit`, `spent`, `reserved` as decimal units of `currency`.
 */
export function budgetExceeded(use: BudgetUse, neededNanos: bigint, now: Date): StatusError {
  const { currency, resetsAt } = use;
  const retryAfterMs = retryAfter(use, neededNanos, now);
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "BUDGET_EXCEEDED",
    message: sentence(use, neededNanos),
    metadata: {
      budget: use.kind,
      subject: use.subject,
      period: use.period,
      budget_id: use.budgetId,
      needed: formatAmount(neededNanos),
      available: formatAmount(leftOf(use)),
      limit: formatAmount(use.limitNanos),
      spent: formatAmount(use.spentNanos),
      reserved: formatAmount(use.reservedNanos),
      currency,
      ...(resetsAt && { resets_at: resetsAt.toISOString() }),
    },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function sentence(use: BudgetUse, neededNanos: bigint): string {
  const { currency, resetsAt } = use;
  const money = (nanos: bigint) => formatMoney({ currency, nanos });
  const turn = resetsAt ? `It begins anew at ${resetsAt.toISOString()}; r` : "R";
  return `This needs ${money(neededNanos)}, and the ${budgetName(use)} has ${money(leftOf(use))} left of ${money(use.limitNanos)}. ${turn}aise or remove it to go on.`;
}

/** Only where waiting a little helps: what is in the way is reserved and not spent, or the period is about to turn. */
function retryAfter(use: BudgetUse, neededNanos: bigint, now: Date): number | undefined {
  if (use.spentNanos + neededNanos <= use.limitNanos) return GIVEN_BACK_MS;
  if (use.resetsAt === null || neededNanos > use.limitNanos) return undefined;
  const untilTurnMs = use.resetsAt.getTime() - now.getTime();
  return untilTurnMs <= TURN_NEAR_MS ? Math.max(untilTurnMs, 0) : undefined;
}

/** There is no such budget of the caller's. */
export function budgetNotFound(budgetId: string): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "BUDGET_NOT_FOUND",
    message: `There is no budget ${budgetId}. List the budgets with GET /v1/billing/budgets.`,
  });
}

export function tooManyBudgets(max: number): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOO_MANY_BUDGETS",
    message: `A user has at most ${max} budgets. Remove one that is no longer needed.`,
  });
}
