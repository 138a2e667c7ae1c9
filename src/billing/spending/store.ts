/** Every statement on spend_bucket and usage_day. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { BucketSum, DaySum } from "./roll-up.ts";
import type { Span } from "./spans.ts";

/** Adds to the sums, each table's rows in the order of its key, so that two batches don't lock each other out. */
export async function addSums(
  tx: TxCtx,
  sums: { readonly buckets: readonly BucketSum[]; readonly days: readonly DaySum[] },
): Promise<void> {
  await sql`
    with buckets as (
      insert into spend_bucket as b (user_id, currency, grain, starts_at, kind, charge_nanos, saving_nanos)
      select "userId", currency, grain, "startsAt", kind, "chargeNanos", "savingNanos"
      from jsonb_to_recordset(${json(sums.buckets)}::jsonb) as r(
        "userId" uuid, currency text, grain text, "startsAt" timestamptz, kind text, "chargeNanos" bigint, "savingNanos" bigint)
      order by 1, 2, 3, 4, 5
      on conflict (user_id, currency, grain, starts_at, kind) do update set
        charge_nanos = b.charge_nanos + excluded.charge_nanos, saving_nanos = b.saving_nanos + excluded.saving_nanos
    )
    insert into usage_day as d (user_id, day, model_id, served_name, kind, currency,
      requests, prompt_tokens, cached_tokens, completion_tokens, gpu_ms, charge_nanos, saving_nanos)
    select "userId", (at at time zone 'UTC')::date, "modelId", "servedName", kind, currency,
      requests, "promptTokens", "cachedTokens", "completionTokens", "gpuMs", "chargeNanos", "savingNanos"
    from jsonb_to_recordset(${json(sums.days)}::jsonb) as r(
      "userId" uuid, at timestamptz, "modelId" uuid, "servedName" text, kind text, currency text, requests bigint,
      "promptTokens" bigint, "cachedTokens" bigint, "completionTokens" bigint, "gpuMs" bigint, "chargeNanos" bigint, "savingNanos" bigint)
    order by 1, 2, 3, 4, 5, 6
    on conflict (user_id, day, model_id, served_name, kind, currency) do update set
      requests = d.requests + excluded.requests, prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
      cached_tokens = d.cached_tokens + excluded.cached_tokens,
      completion_tokens = d.completion_tokens + excluded.completion_tokens, gpu_ms = d.gpu_ms + excluded.gpu_ms,
      charge_nanos = d.charge_nanos + excluded.charge_nanos, saving_nanos = d.saving_nanos + excluded.saving_nanos`.execute(
    tx.db,
  );
}

function json(rows: readonly object[]): string {
  return JSON.stringify(rows, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
}

export interface SpanSum {
  readonly userId: string;
  readonly period: string;
  readonly nanos: bigint;
}

/** What each user spent in each period; its spans are summed one index range each. */
export async function selectSpans(
  ctx: DbCtx,
  input: { userIds: readonly string[]; currency: string; spans: readonly Span[] },
): Promise<readonly SpanSum[]> {
  const { rows } = await sql<SpanSum>`
    select u.user_id as "userId", s.period, sum(b.nanos)::bigint as nanos
    from unnest(${[...input.userIds]}::uuid[]) as u(user_id)
      cross join jsonb_to_recordset(${json(input.spans)}::jsonb) as s(period text, grain text, "from" timestamptz, "to" timestamptz)
      cross join lateral (
        select coalesce(sum(charge_nanos), 0) as nanos from spend_bucket
        where user_id = u.user_id and currency = ${input.currency} and grain = s.grain
          and starts_at >= s."from" and starts_at < coalesce(s."to", 'infinity')
      ) b
    group by 1, 2`.execute(ctx.db);
  return rows;
}

export interface DayMoney {
  readonly startsAt: Date;
  readonly chargeNanos: bigint;
  readonly savingNanos: bigint;
}

/** The days from `from` on, before `to`, in which something was charged or saved; oldest first. */
export async function selectDays(
  ctx: DbCtx,
  input: { userId: string; currency: string; from: Date; to: Date },
): Promise<readonly DayMoney[]> {
  const { userId, currency, from, to } = input;
  const { rows } = await sql<DayMoney>`
    select starts_at as "startsAt", sum(charge_nanos)::bigint as "chargeNanos", sum(saving_nanos)::bigint as "savingNanos"
    from spend_bucket
    where user_id = ${userId} and currency = ${currency} and grain = 'day' and starts_at >= ${from} and starts_at < ${to}
    group by 1 order by 1`.execute(ctx.db);
  return rows;
}

/** Deletes minutes and hours from before a moment, by the one routine that may; returns how many. */
export async function deleteFineBuckets(ctx: DbCtx, before: Date, limit: number): Promise<number> {
  const { rows } = await sql<{ gone: bigint }>`select spend_prune(${before}, ${limit}) as gone`.execute(
    ctx.db,
  );
  return Number(rows[0]?.gone ?? 0);
}
