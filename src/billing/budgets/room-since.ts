import type { DbCtx } from "../../db/db.ts";
import { type BudgetUse, leftOf } from "./model.ts";
import { selectModelBudgets, selectRemovals } from "./store.ts";

/** Clocks of workers may differ, and a change's transaction may take so long that it was not seen by who paused. */
const SKEW_MS = 60_000;
/** Budgets of one page of models: three each. */
const ROWS_MAX = 3_000;

/**
 * Whether there is a reason to try again a model that its budget has paused, in the order asked for: each of its budgets has
 * something left, and one of them was changed or removed, or began a new period, since its moment. What an ending hold gave back is none.
 */
export async function budgetRoomSince(
  ctx: DbCtx,
  asked: readonly { readonly modelId: string; readonly since: Date }[],
): Promise<readonly boolean[]> {
  const modelIds = asked.map(({ modelId }) => modelId);
  const uses = await selectModelBudgets(ctx, { modelIds, at: ctx.clock.now(), limit: ROWS_MAX });
  const removals = await selectRemovals(ctx, modelIds);
  const byModel = Map.groupBy(uses, (use) => use.subject);
  return asked.map(({ modelId, since }) => {
    const own = byModel.get(modelId) ?? [];
    const early = new Date(since.getTime() - SKEW_MS);
    const removedAt = removals.get(modelId);
    const news = own.some((use) => isNewSince(use, early, since)) || (removedAt && removedAt > early);
    return own.length === 0 || (own.every((use) => leftOf(use) > 0n) && news === true);
  });
}

function isNewSince({ changedAt, startsAt }: BudgetUse, early: Date, since: Date): boolean {
  return changedAt > early || startsAt > since;
}
