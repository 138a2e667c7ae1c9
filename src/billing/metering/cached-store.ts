/** Every statement on cache_served and cache_credited: cached tokens, counted by model and credited to the windows that served them. */
import { sql } from "kysely";
import type { TxCtx } from "../../db/db.ts";
import type { Slot } from "./slot.ts";

/** Counts what a batch found in the cache, in one order of models. */
export async function addCached(
  tx: TxCtx,
  records: readonly { readonly modelId: string; readonly cachedTokens: number }[],
): Promise<void> {
  const cached = records.filter((record) => record.cachedTokens > 0);
  if (cached.length === 0) return;
  await sql`
    insert into cache_served as c (model_id, cached_tokens)
    select model_id, sum(cached_tokens) from unnest(${cached.map((one) => one.modelId)}::uuid[],
      ${cached.map((one) => one.cachedTokens)}::bigint[]) as r(model_id, cached_tokens)
    group by 1 order by 1
    on conflict (model_id) do update set cached_tokens = c.cached_tokens + excluded.cached_tokens`.execute(
    tx.db,
  );
}

/**
 * What the slot's open window is credited with: of the model's cached tokens that no window has been credited with, its own part
 * by the time that it and the model's other open windows have served. Over all windows each token is credited at most once.
 */
export async function creditCached(tx: TxCtx, slot: Slot): Promise<bigint> {
  const { rows } = await sql<{ cached_tokens: bigint }>`
    with rest as (
      select greatest(s.cached_tokens - coalesce(c.cached_tokens, 0), 0) as tokens
      from cache_served s left join cache_credited c using (model_id) where s.model_id = ${slot.modelId}
    ), others as (${othersOpen(slot)}), part as (
      select (rest.tokens::numeric * ${slot.openMs} / (others.ms + ${slot.openMs}))::bigint as tokens from rest, others
    ), credited as (
      insert into cache_credited as c (model_id, cached_tokens) select ${slot.modelId}, tokens from part
      on conflict (model_id) do update set cached_tokens = c.cached_tokens + excluded.cached_tokens
    )
    select tokens as cached_tokens from part`.execute(tx.db);
  return rows[0]?.cached_tokens ?? 0n;
}

/** A window that begins while none of its model is open is not credited with what was found in the cache before it. */
export async function skipCached(tx: TxCtx, slot: Slot): Promise<void> {
  await sql`
    insert into cache_credited as c (model_id, cached_tokens)
    select s.model_id, s.cached_tokens from cache_served s, (${othersOpen(slot)}) others
    where s.model_id = ${slot.modelId} and others.windows = 0
    on conflict (model_id) do update set cached_tokens = greatest(c.cached_tokens, excluded.cached_tokens)`.execute(
    tx.db,
  );
}

const othersOpen = ({ deploymentId, slot }: Slot) => sql`
  select coalesce(sum(open_ms), 0) as ms, count(*) as windows from gpu_slot
  where deployment_id = ${deploymentId} and slot <> ${slot} and state = 'open'`;
