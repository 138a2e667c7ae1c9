/** Every statement on served_sum and latency_sum. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../db/db.ts";
import type { Grain, ServedSum } from "./served.ts";

/** Adds to the sums, each table's rows in the order of its key, so that two batches don't lock each other out. */
export async function addSums(tx: TxCtx, sums: readonly ServedSum[]): Promise<void> {
  const rows = sums.map(({ ttft, itl, ...row }) => row);
  const latencies = sums.flatMap(({ modelId, grain, startsAt, ttft, itl }) =>
    Object.entries({ ttft, itl }).flatMap(([what, counts]) =>
      [...counts].map(([bucket, requests]) => ({ modelId, grain, startsAt, what, bucket, requests })),
    ),
  );
  await sql`
    with served as (
      insert into served_sum as s (model_id, grain, starts_at, requests, failed, prompt_tokens, cached_tokens, completion_tokens)
      select "modelId", grain, "startsAt", requests, failed, "promptTokens", "cachedTokens", "completionTokens"
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r("modelId" uuid, grain text, "startsAt" timestamptz,
        requests bigint, failed bigint, "promptTokens" bigint, "cachedTokens" bigint, "completionTokens" bigint)
      order by 1, 2, 3
      on conflict (model_id, grain, starts_at) do update set
        requests = s.requests + excluded.requests, failed = s.failed + excluded.failed,
        prompt_tokens = s.prompt_tokens + excluded.prompt_tokens, cached_tokens = s.cached_tokens + excluded.cached_tokens,
        completion_tokens = s.completion_tokens + excluded.completion_tokens
    )
    insert into latency_sum as l (model_id, grain, starts_at, what, bucket, requests)
    select "modelId", grain, "startsAt", what, bucket, requests
    from jsonb_to_recordset(${JSON.stringify(latencies)}::jsonb) as r("modelId" uuid, grain text, "startsAt" timestamptz,
      what text, bucket smallint, requests bigint)
    order by 1, 2, 3, 4, 5
    on conflict (model_id, grain, starts_at, what, bucket) do update set requests = l.requests + excluded.requests`.execute(
    tx.db,
  );
}

interface Row {
  readonly starts_at: Date;
  readonly requests: bigint;
  readonly failed: bigint;
  readonly prompt_tokens: bigint;
  readonly cached_tokens: bigint;
  readonly completion_tokens: bigint;
  /** What, bucket, requests. */
  readonly latencies: readonly (readonly ["ttft" | "itl", number, number])[];
}

/** A model's rows of one grain from a moment on: at most as many as the range has minutes or hours. */
export async function selectSums(
  ctx: DbCtx,
  query: { readonly modelId: string; readonly grain: Grain; readonly since: Date },
): Promise<readonly ServedSum[]> {
  const { modelId, grain, since } = query;
  const { rows } = await sql<Row>`
    select s.starts_at, s.requests, s.failed, s.prompt_tokens, s.cached_tokens, s.completion_tokens,
      coalesce(l.counts, '[]') as latencies
    from served_sum s left join (
      select starts_at, jsonb_agg(jsonb_build_array(what, bucket, requests)) as counts
      from latency_sum where model_id = ${modelId} and grain = ${grain} and starts_at >= ${since}
      group by starts_at
    ) l on l.starts_at = s.starts_at
    where s.model_id = ${modelId} and s.grain = ${grain} and s.starts_at >= ${since}
    order by s.starts_at`.execute(ctx.db);
  return rows.map((row) => ({
    modelId,
    grain,
    startsAt: row.starts_at,
    requests: Number(row.requests),
    failed: Number(row.failed),
    promptTokens: Number(row.prompt_tokens),
    cachedTokens: Number(row.cached_tokens),
    completionTokens: Number(row.completion_tokens),
    ttft: countsOf(row, "ttft"),
    itl: countsOf(row, "itl"),
  }));
}

function countsOf({ latencies }: Row, what: "ttft" | "itl"): ReadonlyMap<number, number> {
  return new Map(
    latencies.filter(([name]) => name === what).map(([, bucket, requests]) => [bucket, requests]),
  );
}

/** Deletes rows of a grain from before a moment; returns how many of the two tables together. */
export async function deleteBefore(
  ctx: DbCtx,
  input: { readonly grain: Grain; readonly before: Date; readonly limit: number },
): Promise<number> {
  const { grain, before, limit } = input;
  const { rows } = await sql<{ count: bigint }>`
    with served as (
      delete from served_sum where ctid = any(array(
        select ctid from served_sum where grain = ${grain} and starts_at < ${before} limit ${limit})) returning 1
    ), latency as (
      delete from latency_sum where ctid = any(array(
        select ctid from latency_sum where grain = ${grain} and starts_at < ${before} limit ${limit})) returning 1
    )
    select (select count(*) from served) + (select count(*) from latency) as count`.execute(ctx.db);
  return Number(rows[0]?.count ?? 0);
}
