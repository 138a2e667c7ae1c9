/** The statements that read usage_day. Rows of GPU time and of tokens meet here. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import type { DayRange } from "./day-range.ts";

export interface UsageSum {
  readonly requests: bigint;
  readonly promptTokens: bigint;
  readonly cachedTokens: bigint;
  readonly completionTokens: bigint;
  readonly gpuMs: bigint;
  readonly chargeNanos: bigint;
  readonly savingNanos: bigint;
}

export interface ModelUsageSum extends UsageSum {
  readonly modelId: string;
  /** "" for GPU time. */
  readonly servedName: string;
}

export interface DailyUsageSum extends ModelUsageSum {
  /** "2026-03-01". */
  readonly day: string;
}

export interface UsageInput extends DayRange {
  readonly userId: string;
  readonly currency: string;
  /** Null: all. */
  readonly modelId: string | null;
}

/** The last row of the page before. */
export interface ModelCursor {
  readonly servedName: string;
  readonly modelId: string;
}
export interface DayCursor extends ModelCursor {
  readonly day: string;
}

const sums = sql`
  coalesce(sum(requests), 0)::bigint as requests, coalesce(sum(prompt_tokens), 0)::bigint as "promptTokens",
  coalesce(sum(cached_tokens), 0)::bigint as "cachedTokens", coalesce(sum(completion_tokens), 0)::bigint as "completionTokens",
  coalesce(sum(gpu_ms), 0)::bigint as "gpuMs", coalesce(sum(charge_nanos), 0)::bigint as "chargeNanos",
  coalesce(sum(saving_nanos), 0)::bigint as "savingNanos"`;

function wanted({ userId, currency, modelId, from, to }: UsageInput) {
  return sql`user_id = ${userId} and currency = ${currency} and day >= ${dayOf(from)}::date and day < ${dayOf(to)}::date
    and (${modelId}::uuid is null or model_id = ${modelId}::uuid)`;
}

function dayOf(at: Date): string {
  return at.toISOString().slice(0, 10);
}

export async function selectTotal(ctx: DbCtx, input: UsageInput): Promise<UsageSum | undefined> {
  const { rows } = await sql<UsageSum>`select ${sums} from usage_day where ${wanted(input)}`.execute(ctx.db);
  return rows[0];
}

/** One row a model and name, by both. */
export async function selectModels(
  ctx: DbCtx,
  input: UsageInput & { after: ModelCursor | undefined; limit: number },
): Promise<readonly ModelUsageSum[]> {
  const { after, limit } = input;
  const { rows } = await sql<ModelUsageSum>`
    select model_id as "modelId", served_name as "servedName", ${sums} from usage_day
    where ${wanted(input)} and ${after ? following(after) : sql`true`}
    group by 1, 2 order by served_name collate "C", model_id limit ${limit}`.execute(ctx.db);
  return rows;
}

/** One row a day, model and name; the newest day first. */
export async function selectDailyUsage(
  ctx: DbCtx,
  input: UsageInput & { after: DayCursor | undefined; limit: number },
): Promise<readonly DailyUsageSum[]> {
  const { after, limit } = input;
  const rest = after
    ? sql`(day < ${after.day}::date or (day = ${after.day}::date and ${following(after)}))`
    : sql`true`;
  const { rows } = await sql<DailyUsageSum>`
    select to_char(day, 'YYYY-MM-DD') as day, model_id as "modelId", served_name as "servedName", ${sums} from usage_day
    where ${wanted(input)} and ${rest}
    group by usage_day.day, 2, 3 order by usage_day.day desc, served_name collate "C", model_id limit ${limit}`.execute(
    ctx.db,
  );
  return rows;
}

function following(after: ModelCursor) {
  return sql`(served_name collate "C", model_id) > (${after.servedName}, ${after.modelId}::uuid)`;
}
