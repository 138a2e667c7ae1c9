/** What models used over some days: in all, and day by day. */
import { isUuid } from "../../base/id.ts";
import { cutPage, foreignToken, type Page, type PageCursor } from "../../base/page.ts";
import type { DbCtx } from "../../db/db.ts";
import { readSettings } from "../settings.ts";
import { type DayRange, dayRange } from "./day-range.ts";
import {
  type DailyUsageSum,
  type DayCursor,
  type ModelCursor,
  type ModelUsageSum,
  selectDailyUsage,
  selectModels,
  selectTotal,
  type UsageInput,
  type UsageSum,
} from "./usage-store.ts";

export interface UsageQuery {
  readonly userId: string;
  /** "" = all. */
  readonly modelId: string;
  /** Null: the default, see dayRange. */
  readonly startTime: Date | null;
  readonly endTime: Date | null;
}

const NOTHING: UsageSum = {
  ...{ requests: 0n, promptTokens: 0n, cachedTokens: 0n, completionTokens: 0n },
  ...{ gpuMs: 0n, chargeNanos: 0n, savingNanos: 0n },
};

/** What a page token of these lists is bound to. */
export function usageQuery(list: "models" | "days", query: UsageQuery): string {
  const { userId, modelId, startTime, endTime } = query;
  return `usage ${list} ${userId} ${modelId} ${startTime?.getTime() ?? ""} ${endTime?.getTime() ?? ""}`;
}

/** One page of the models that used something in the days, by name; and all of them together. Throws INVALID_FIELD. */
export async function listModelUsage(
  ctx: DbCtx,
  query: UsageQuery,
  page: Page,
): Promise<{
  readonly rows: readonly ModelUsageSum[];
  readonly nextPageToken: string;
  readonly total: UsageSum;
  readonly range: DayRange;
  readonly currency: string;
}> {
  const input = await inputOf(ctx, query);
  const after = page.after && modelCursor(page.after);
  const found = await selectModels(ctx, { ...input, after, limit: page.size + 1 });
  const total = (await selectTotal(ctx, input)) ?? NOTHING;
  const cut = cutPage(found, page, usageQuery("models", query), (row) => [row.servedName, row.modelId]);
  return { ...cut, total, range: { from: input.from, to: input.to }, currency: input.currency };
}

/** One page of what models used in each of the days, the newest day first. Throws INVALID_FIELD. */
export async function listUsageHistory(
  ctx: DbCtx,
  query: UsageQuery,
  page: Page,
): Promise<{
  readonly rows: readonly DailyUsageSum[];
  readonly nextPageToken: string;
  readonly currency: string;
}> {
  const input = await inputOf(ctx, query);
  const after = page.after && dayCursor(page.after);
  const found = await selectDailyUsage(ctx, { ...input, after, limit: page.size + 1 });
  const cut = cutPage(found, page, usageQuery("days", query), (row) => [
    row.day,
    row.servedName,
    row.modelId,
  ]);
  return { ...cut, currency: input.currency };
}

async function inputOf(ctx: DbCtx, query: UsageQuery): Promise<UsageInput> {
  const { from, to } = dayRange(query, ctx.clock.now());
  const { currency } = await readSettings(ctx);
  return { from, to, currency, userId: query.userId, modelId: query.modelId === "" ? null : query.modelId };
}

function modelCursor([servedName = "", modelId = ""]: PageCursor): ModelCursor {
  if (isUuid(modelId)) return { servedName, modelId };
  throw foreignToken();
}

function dayCursor([day = "", ...rest]: PageCursor): DayCursor {
  if (/^\d{4}-\d\d-\d\d$/.test(day) && !Number.isNaN(Date.parse(day))) return { day, ...modelCursor(rest) };
  throw foreignToken();
}
