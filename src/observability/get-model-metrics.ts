import type { DbCtx } from "../db/db.ts";
import type { Principal } from "../identity/index.ts";
import { findVisible } from "../models/index.ts";
import { type Point, pointsOf, RANGES, type Sum, startOfRange, total } from "./served.ts";
import { selectSums } from "./store.ts";

export type RangeName = keyof typeof RANGES;

export interface ModelMetrics {
  readonly modelId: string;
  readonly startsAt: Date;
  readonly endsAt: Date;
  readonly stepMs: number;
  readonly total: Sum;
  readonly points: readonly Point[];
}

/** How a model served, for its owner and for administrators. Throws MODEL_NOT_FOUND. */
export async function getModelMetrics(
  ctx: DbCtx,
  input: { readonly principal: Principal; readonly modelId: string; readonly range: RangeName },
): Promise<ModelMetrics> {
  const { modelId } = await findVisible(ctx, input);
  const range = RANGES[input.range];
  const now = ctx.clock.now();
  const startsAt = startOfRange(range, now);
  const rows = await selectSums(ctx, { modelId, grain: range.grain, since: startsAt });
  return {
    modelId,
    startsAt,
    endsAt: new Date(startsAt.getTime() + range.steps * range.stepMs),
    stepMs: range.stepMs,
    total: total(rows),
    points: pointsOf(range, now, rows),
  };
}
