/** Every statement that writes usage_record, token_charge and token_month. */
import { sql } from "kysely";
import type { TxCtx } from "../../db/db.ts";
import type { PricedUsage } from "./usage.ts";

/** A priced record and the charge that its money moves by; null where none moves. */
export interface UsageRow extends PricedUsage {
  readonly chargeId: string | null;
}

export async function selectKnownRequests(
  tx: TxCtx,
  requestIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ request_id: string }>`
    select request_id from usage_record where request_id = any (${[...requestIds]})`.execute(tx.db);
  return new Set(rows.map((row) => row.request_id));
}

/** Adds what is not there yet; returns the request ids that were really added. */
export async function insertUsage(tx: TxCtx, rows: readonly UsageRow[]): Promise<ReadonlySet<string>> {
  const { rows: added } = await sql<{ request_id: string }>`
    insert into usage_record (request_id, gateway_id, model_id, served_name, user_id, key_id, slice_id, price_version_id,
      prompt_tokens, cached_tokens, completion_tokens, estimated, outcome, started_at, ended_at, ttft_ms,
      charge_nanos, written_off_nanos, saving_nanos, charge_id)
    select request_id, gateway_id, model_id, served_name, user_id, key_id, slice_id, price_version_id,
      prompt_tokens, cached_tokens, completion_tokens, estimated, outcome, started_at, ended_at, ttft_ms,
      charge_nanos, written_off_nanos, saving_nanos, charge_id
    from jsonb_to_recordset(${JSON.stringify(rows.map(jsonOf))}::jsonb) as r(
      request_id text, gateway_id text, model_id uuid, served_name text, user_id uuid, key_id text, slice_id uuid,
      price_version_id uuid, prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint, estimated boolean,
      outcome text, started_at timestamptz, ended_at timestamptz, ttft_ms int,
      charge_nanos bigint, written_off_nanos bigint, saving_nanos bigint, charge_id uuid)
    order by request_id
    on conflict (request_id) do nothing
    returning request_id`.execute(tx.db);
  return new Set(added.map((row) => row.request_id));
}

function jsonOf(row: UsageRow): Readonly<Record<string, string | number | boolean | null>> {
  const { record } = row;
  return {
    request_id: record.requestId,
    gateway_id: record.gatewayId,
    model_id: record.modelId,
    served_name: record.servedName,
    user_id: record.userId,
    key_id: record.keyId,
    slice_id: record.sliceId,
    price_version_id: record.priceVersionId,
    prompt_tokens: record.promptTokens,
    cached_tokens: record.cachedTokens,
    completion_tokens: record.completionTokens,
    estimated: record.estimated,
    outcome: record.outcome,
    started_at: record.startedAt.toISOString(),
    ended_at: record.endedAt.toISOString(),
    ttft_ms: record.ttftMs === null ? null : Math.trunc(record.ttftMs),
    charge_nanos: row.chargeNanos.toString(),
    written_off_nanos: row.writtenOffNanos.toString(),
    saving_nanos: row.savingNanos.toString(),
    charge_id: row.chargeId,
  };
}

/** Adds charged requests to their users' months (UTC), in one order, so that two batches don't lock each other out. */
export async function addToMonths(tx: TxCtx, rows: readonly UsageRow[]): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    insert into token_month as m (user_id, month, model_id, served_name, first_at, last_at, requests,
      prompt_tokens, cached_tokens, completion_tokens, charge_nanos, saving_nanos)
    select user_id, date_trunc('month', ended_at at time zone 'UTC')::date, model_id, served_name,
      min(ended_at), max(ended_at), count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens),
      sum(charge_nanos), sum(saving_nanos)
    from jsonb_to_recordset(${JSON.stringify(rows.map(jsonOf))}::jsonb) as r(
      user_id uuid, model_id uuid, served_name text, ended_at timestamptz, prompt_tokens bigint, cached_tokens bigint,
      completion_tokens bigint, charge_nanos bigint, saving_nanos bigint)
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (user_id, month, model_id, served_name) do update set
      last_at = greatest(m.last_at, excluded.last_at), requests = m.requests + excluded.requests,
      prompt_tokens = m.prompt_tokens + excluded.prompt_tokens, cached_tokens = m.cached_tokens + excluded.cached_tokens,
      completion_tokens = m.completion_tokens + excluded.completion_tokens,
      charge_nanos = m.charge_nanos + excluded.charge_nanos, saving_nanos = m.saving_nanos + excluded.saving_nanos`.execute(
    tx.db,
  );
}

/** What each charge is for, once a charge and model; rows that nobody was charged for have none. */
export async function insertCharges(tx: TxCtx, rows: readonly UsageRow[]): Promise<void> {
  const charged = rows.filter((row) => row.chargeNanos > 0n);
  if (charged.length === 0) return;
  await sql`
    insert into token_charge (charge_id, model_id, served_name, price_version_id, requests, prompt_tokens, cached_tokens,
      completion_tokens, charge_nanos)
    select charge_id, model_id, served_name, (array_agg(price_version_id))[1], count(*), sum(prompt_tokens), sum(cached_tokens),
      sum(completion_tokens), sum(charge_nanos)
    from jsonb_to_recordset(${JSON.stringify(charged.map(jsonOf))}::jsonb) as r(
      charge_id uuid, model_id uuid, served_name text, price_version_id uuid, prompt_tokens bigint, cached_tokens bigint,
      completion_tokens bigint, charge_nanos bigint)
    group by 1, 2, 3`.execute(tx.db);
}
