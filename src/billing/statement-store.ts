/** The statements that read what moved a user's money. */
import { type RawBuilder, sql } from "kysely";
import { isUuid } from "../base/id.ts";
import type { DbCtx } from "../db/db.ts";
import type { MovementCode } from "./ledger/index.ts";

export interface StatementLine {
  readonly id: string;
  readonly at: Date;
  readonly code: MovementCode;
  /** What the balance gained; negative where it lost. Of a line that has not succeeded: what was asked for. */
  readonly nanos: bigint;
  readonly currency: string;
  readonly state: "pending" | "succeeded" | "failed" | "requires_action";
  /** Why credit was granted, or why a payment failed; "" where nothing was said. */
  readonly note: string;
  readonly modelId: string | null;
  readonly cardId: string | null;
  readonly processorId: string | null;
  readonly gpu: GpuDetails | null;
  readonly tokens: TokenDetails | null;
}

export interface GpuDetails {
  readonly windowId: string;
  readonly slot: number;
  readonly gpuCount: number;
  readonly chargedMs: number;
  readonly priceVersionId: string;
}

export interface TokenDetails {
  /** "2026-03". */
  readonly month: string;
  readonly models: readonly TokenDetail[];
}

export interface TokenDetail {
  readonly model: string;
  readonly modelId: string;
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Nanos as text: they outgrow a double. */
  readonly chargeNanos: string;
  readonly savingNanos: string;
}

/** The last line of the page before. */
export interface LineCursor {
  readonly at: Date;
  readonly id: string;
}

export interface LinesInput {
  readonly userId: string;
  readonly currency: string;
  readonly codes: readonly MovementCode[] | undefined;
  readonly modelId: string | null;
  readonly after: LineCursor | undefined;
  readonly limit: number;
}

/** Three sources, each cut to the page by its own index, merged: transfers, months of tokens, payments without an end. */
export async function selectLines(ctx: DbCtx, input: LinesInput): Promise<readonly StatementLine[]> {
  const { rows } = await sql<StatementLine>`
    select * from (
      (${transfers(input)}) union all (${months(input)}) union all (${unpaid(input)})
    ) line order by at desc, id collate "C" desc limit ${input.limit}`.execute(ctx.db);
  return rows;
}

/** One line of the user's by its id, whose form tells where it is. */
export async function selectLine(
  ctx: DbCtx,
  input: Pick<LinesInput, "userId" | "currency"> & { readonly id: string },
): Promise<StatementLine | undefined> {
  const { id } = input;
  const all = { ...input, codes: undefined, modelId: null, after: undefined, limit: 1 };
  const query = /^\d{1,18}$/.test(id)
    ? transfers(all, sql`t.id = ${id}::bigint`)
    : /^tokens-\d{4}-\d\d$/.test(id)
      ? months(all, sql`to_char(month, 'YYYY-MM') = ${id.slice("tokens-".length)}`)
      : isUuid(id)
        ? unpaid(all, sql`id = ${id}::uuid`)
        : undefined;
  if (query === undefined) return undefined;
  const { rows } = await sql<StatementLine>`${query}`.execute(ctx.db);
  return rows[0];
}

/** After the cursor, newest first; ids compare as bytes, the same in every source. */
function following(input: LinesInput, at: string, id: string) {
  const { after } = input;
  if (!after) return sql`true`;
  return sql`${sql.raw(at)} <= ${after.at} and (${sql.raw(at)}, (${sql.raw(id)}) collate "C") < (${after.at}, ${after.id})`;
}

function wanted(input: LinesInput, code: string) {
  return input.codes ? sql`${sql.raw(code)} = any (${[...input.codes]})` : sql`true`;
}

const ANY = sql`true`;

function transfers(input: LinesInput, only: RawBuilder<unknown> = ANY) {
  return sql`
    select t.id::text as id, e.at, t.code, e.nanos, t.currency, 'succeeded' as state,
      coalesce(c.reason, x.reason, '') as note, w.model_id as "modelId", p.card_id as "cardId", p.processor_id as "processorId",
      case when w.id is not null then jsonb_build_object('windowId', w.id, 'slot', w.slot, 'gpuCount', w.gpu_count,
        'chargedMs', w.charged_ms, 'priceVersionId', w.price_version_id) end as gpu,
      null::jsonb as tokens
    from (${moved(input, only)}) e join ledger_transfer t on t.id = e.transfer_id
      left join gpu_window w on w.transfer_id = t.id
      left join payment_intent p on p.transfer_id = t.id
      left join credit_grant c on c.transfer_id = t.id
      left join balance_adjustment x on x.transfer_id = t.id
    order by e.at desc, t.id::text collate "C" desc limit ${input.limit}`;
}

/**
 * What transfers moved in or out of all that is the user's: card money and pots of credit. Each account is read along its index
 * up to the page's size: whichever of its transfers are on the page are among those. What only went from one to the other is no line.
 */
function moved(input: LinesInput, only: RawBuilder<unknown>) {
  return sql`
    select own.transfer_id, own.at, sum(own.amount)::bigint as nanos
    from ledger_account a cross join lateral (
      select e.transfer_id, e.at, e.amount
      from ledger_entry e join ledger_transfer t on t.id = e.transfer_id left join gpu_window w on w.transfer_id = t.id
      where e.account_id = a.id and ${only} and t.code not in ('charge.tokens', 'credit.split') and ${wanted(input, "t.code")}
        and (${input.modelId}::uuid is null or w.model_id = ${input.modelId}::uuid)
        and ${following(input, "e.at", "t.id::text")}
      order by e.at desc, t.id::text collate "C" desc limit ${input.limit}
    ) own
    where a.owner_id = ${input.userId} and a.kind in ('user', 'credit') and a.currency = ${input.currency}
    group by own.transfer_id, own.at`;
}

function months(input: LinesInput, only: RawBuilder<unknown> = ANY) {
  return sql`
    select id, at, 'charge.tokens' as code, nanos, ${input.currency} as currency, 'succeeded' as state, '' as note,
      case when models = 1 then "modelId" end as "modelId", null as "cardId", null as "processorId", null::jsonb as gpu, tokens
    from (
      select 'tokens-' || to_char(month, 'YYYY-MM') as id, min(first_at) as at, -sum(charge_nanos)::bigint as nanos,
        count(distinct model_id) as models, (array_agg(model_id))[1] as "modelId",
        jsonb_build_object('month', to_char(month, 'YYYY-MM'), 'models', jsonb_agg(jsonb_build_object(
          'model', served_name, 'modelId', model_id, 'requests', requests, 'promptTokens', prompt_tokens,
          'cachedTokens', cached_tokens, 'completionTokens', completion_tokens,
          'chargeNanos', charge_nanos::text, 'savingNanos', saving_nanos::text) order by served_name)) as tokens
      from token_month
      where user_id = ${input.userId} and ${only} and (${input.modelId}::uuid is null or model_id = ${input.modelId}::uuid)
      group by month
    ) m
    where ${wanted(input, "'charge.tokens'")} and ${following(input, "at", "id")}
    order by at desc, id collate "C" desc limit ${input.limit}`;
}

function unpaid(input: LinesInput, only: RawBuilder<unknown> = ANY) {
  return sql`
    select id::text as id, created_at as at, 'topup.card' as code, amount as nanos, currency, state, coalesce(failure, '') as note,
      null::uuid as "modelId", card_id as "cardId", processor_id as "processorId", null::jsonb as gpu, null::jsonb as tokens
    from payment_intent
    where user_id = ${input.userId} and currency = ${input.currency} and state <> 'succeeded' and ${input.modelId}::uuid is null
      and ${only} and ${wanted(input, "'topup.card'")} and ${following(input, "created_at", "id::text")}
    order by created_at desc, id::text collate "C" desc limit ${input.limit}`;
}
