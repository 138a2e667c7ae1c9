import { cutPage, type Page, timeAndId } from "../../base/page.ts";
import type { DbCtx } from "../../db/db.ts";
import { adjustmentNotFound } from "./decide-adjustment.ts";
import type { Adjustment, AdjustmentState } from "./model.ts";
import { selectAdjustment, selectAdjustments } from "./store.ts";

export interface AdjustmentsQuery {
  /** "" = of every user. */
  readonly userId: string;
  /** Undefined: in any state. */
  readonly state: AdjustmentState | undefined;
}

/** What a page token of this list is bound to. */
export function adjustmentsQuery({ userId, state }: AdjustmentsQuery): string {
  return `adjustments ${userId} ${state ?? ""}`;
}

/** One page, newest first. */
export async function listAdjustments(ctx: DbCtx, query: AdjustmentsQuery, page: Page) {
  const rows = await selectAdjustments(ctx, { ...query, after: timeAndId(page), limit: page.size + 1 });
  return cutPage(rows, page, adjustmentsQuery(query), (one) => [
    one.proposedAt.toISOString(),
    one.adjustmentId,
  ]);
}

/** Throws ADJUSTMENT_NOT_FOUND. */
export async function getAdjustment(ctx: DbCtx, adjustmentId: string): Promise<Adjustment> {
  const found = await selectAdjustment(ctx, adjustmentId);
  if (found) return found;
  throw adjustmentNotFound();
}
