/** The statements that read what moved a user's money, as lines of an invoice. */
import { type RawBuilder, sql } from "kysely";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import type { InvoiceLine } from "./model.ts";

/** Movements of one code beyond these are one line: an invoice stays a document that somebody can read. */
const SINGLE_LINES_MAX = 200;

/** Of one statement of a closing: a month of somebody who calls each second is read for longer than a request may take. */
const CLOSING_STATEMENT_MAX_MS = 10 * 60_000;

/** Runs `work` with time for long statements. */
export function unhurried<T>(ctx: DbCtx, work: (tx: TxCtx) => Promise<T>): Promise<T> {
  return withTransaction(ctx, async (tx) => {
    await sql`select set_config('statement_timeout', ${String(CLOSING_STATEMENT_MAX_MS)}, true)`.execute(
      tx.db,
    );
    return work(tx);
  });
}

/** Which entries: those before `to` and up to a transfer, but for those that an earlier invoice has. */
export interface Scope {
  readonly userId: string;
  readonly currency: string;
  /** Null: nothing before it is on any invoice. */
  readonly covered: Covered | null;
  readonly to: Date;
  readonly uptoTransferId: bigint;
  /** Entries of the covered time that came later are looked for from here on: not after its end. */
  readonly lateFrom: Date;
}

/** Entries before this moment, up to this transfer, are on an invoice. */
export interface Covered {
  readonly to: Date;
  readonly uptoTransferId: bigint;
}

/** Every account that is the user's own money, paid in or given: what is spent from, not what is owed. */
function accounts(userId: string, currency: string): RawBuilder<unknown> {
  return sql`select id from ledger_account
    where owner_id = ${userId} and currency = ${currency} and kind in ('user', 'credit')`;
}

/**
 * Up to which transfer the user's entries are there for good, and what the balance is with them. An account's transfers get
 * their ids under its lock: with the lock taken, all before are committed and all later ones have higher ids.
 */
export async function selectCutoff(
  tx: TxCtx,
  userId: string,
  currency: string,
): Promise<{ readonly uptoTransferId: bigint; readonly balanceNanos: bigint }> {
  await sql`select from ledger_lock_balance(${userId}, ${currency})`.execute(tx.db);
  const { rows } = await sql<{ uptoTransferId: bigint; balanceNanos: bigint }>`
    select (select last_value from ledger_transfer_id_seq) as "uptoTransferId",
      (select coalesce(sum(balance), 0)::bigint from ledger_balance
        where account_id in (${accounts(userId, currency)})) as "balanceNanos"`.execute(tx.db);
  const [row] = rows;
  if (!row) throw new Error("invoices: no cutoff");
  return row;
}

/** What the user's balance gained from `from` on, up to a transfer. */
export async function sumSince(
  ctx: DbCtx,
  input: Pick<Scope, "userId" | "currency" | "uptoTransferId"> & { readonly from: Date },
): Promise<bigint> {
  const { rows } = await sql<{ total: bigint }>`
    select coalesce(sum(amount), 0)::bigint as total from ledger_entry
    where account_id in (${accounts(input.userId, input.currency)})
      and at >= ${input.from} and transfer_id <= ${input.uptoTransferId}`.execute(ctx.db);
  return rows[0]?.total ?? 0n;
}

/** Whether anything at all is in the scope. */
export async function hasMovement(ctx: DbCtx, scope: Scope): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from ledger_entry e where ${entries(scope)}) as found`.execute(ctx.db);
  return rows[0]?.found ?? false;
}

function entries({ userId, currency, covered, to, uptoTransferId, lateFrom }: Scope) {
  // The bound stands by itself, so that the index begins there and not at the account's first entry.
  const fresh = covered
    ? sql`e.at >= ${lateFrom} and (e.at >= ${covered.to} or e.transfer_id > ${covered.uptoTransferId})`
    : sql`true`;
  return sql`e.account_id in (${accounts(userId, currency)})
    and e.at < ${to} and e.transfer_id <= ${uptoTransferId} and ${fresh}`;
}

const TIME = sql.raw(`'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`);
const span = (at: string) =>
  sql`'from', to_char(min(${sql.raw(at)}) at time zone 'UTC', ${TIME}), 'to', to_char(max(${sql.raw(at)}) at time zone 'UTC', ${TIME})`;

/**
 * The lines: GPU time by model, place and price; tokens by model and price; all else movement by movement. What a charge's
 * details do not account for is a line of its own, so that the lines sum to what the ledger moved, whatever happens.
 */
export async function selectLines(ctx: DbCtx, scope: Scope): Promise<readonly InvoiceLine[]> {
  const { rows } = await sql<InvoiceLine>`
    with moved as materialized (
      select t.id as transfer_id, min(e.at) as at, sum(e.amount)::bigint as amount, t.code, t.key
      from ledger_entry e join ledger_transfer t on t.id = e.transfer_id
      where ${entries(scope)} group by t.id having sum(e.amount) <> 0
    ), gpu as (${gpuLines}), tokens as (${tokenLines}), detailed as (
      select * from gpu union all select * from tokens
    ), rest as (
      select m.code, sum(m.amount) - coalesce((select sum(d.amount) from detailed d where d.code = m.code), 0) as amount,
        min(m.at) as first_at, max(m.at) as last_at, count(*) as movements
      from moved m where m.code in ('charge.gpu', 'charge.tokens') group by m.code
    )
    select kind, code, amount::bigint as "amountNanos", jsonb_strip_nulls(details) as details from (
      select * from detailed
      union all ${singleLines}
      union all
      select 'OTHER', code, amount, jsonb_build_object('from', to_char(first_at at time zone 'UTC', ${TIME}),
        'to', to_char(last_at at time zone 'UTC', ${TIME}), 'movements', movements::text)
      from rest where amount <> 0
    ) line
    order by array_position(array['PAYMENT', 'CREDIT', 'REFUND', 'DISPUTE', 'ADJUSTMENT', 'GPU_TIME', 'TOKENS', 'OTHER'], kind),
      details ->> 'from', code collate "C", details::text collate "C"`.execute(ctx.db);
  return rows;
}

const gpuLines = sql`
  select 'GPU_TIME' as kind, 'charge.gpu' as code, -sum(w.charge_nanos) as amount, jsonb_build_object(${span("m.at")},
    'movements', count(*)::text, 'modelId', w.model_id, 'priceVersionId', w.price_version_id, 'provider', coalesce(w.provider, p.provider),
    'region', coalesce(w.region, nullif(p.region, '')), 'gpuType', coalesce(w.gpu_type, p.gpu_type), 'gpuCount', w.gpu_count,
    'chargedMs', sum(w.charged_ms)::text, 'nanosPerHour', w.nanos_per_hour::text,
    'shareNanos', nullif(sum(w.share_nanos), 0)::text) as details
  from moved m join gpu_window w on w.transfer_id = m.transfer_id join gpu_price p on p.id = w.price_version_id
  where m.code = 'charge.gpu'
  group by w.model_id, w.price_version_id, coalesce(w.provider, p.provider), coalesce(w.region, nullif(p.region, '')),
    coalesce(w.gpu_type, p.gpu_type), w.gpu_count, w.nanos_per_hour`;

/** Keys are `tokens:<uuid>`; a regular expression for each would be most of the work of a busy month. */
const CHARGE_ID_AT = "tokens:".length + 1;
const UUID_LENGTH = 36;

/** A charge may be paid by several transfers; its tokens count once. */
const tokenLines = sql`
  select 'TOKENS' as kind, 'charge.tokens' as code, -sum(c.charge_nanos) as amount, jsonb_build_object(${span("m.at")},
    'movements', count(*)::text, 'modelId', c.model_id, 'servedName', c.served_name, 'priceVersionId', c.price_version_id,
    'requests', sum(c.requests)::text, 'promptTokens', sum(c.prompt_tokens)::text, 'cachedTokens', sum(c.cached_tokens)::text,
    'completionTokens', sum(c.completion_tokens)::text, 'inputNanosPerMillion', p.input_nanos_per_million::text,
    'cachedNanosPerMillion', p.cached_nanos_per_million::text, 'outputNanosPerMillion', p.output_nanos_per_million::text) as details
  from (
      select substr(key, ${CHARGE_ID_AT}::int, ${UUID_LENGTH}::int)::uuid as charge_id, min(at) as at from moved
      where code = 'charge.tokens' and key like 'tokens:%' group by 1
    ) m join token_charge c on c.charge_id = m.charge_id left join token_price p on p.id = c.price_version_id
  group by c.model_id, c.served_name, c.price_version_id, p.id`;

const singleLines = sql`
  select case split_part(code, '.', 1) when 'topup' then 'PAYMENT' when 'credit' then 'CREDIT' when 'refund' then 'REFUND'
      when 'dispute' then 'DISPUTE' when 'settle' then 'DISPUTE' when 'adjustment' then 'ADJUSTMENT' else 'OTHER' end, code,
    sum(amount), jsonb_build_object(${span("at")}, 'movements', count(*)::text,
      'note', case when count(*) = 1 then min(note) end, 'processorId', case when count(*) = 1 then min(processor_id) end)
  from (
    select m.code, m.amount, m.at, coalesce(c.reason, x.reason) as note, i.processor_id,
      case when row_number() over (partition by m.code order by m.at, m.transfer_id) <= ${SINGLE_LINES_MAX} then m.transfer_id end as own
    from moved m left join credit_grant c on c.transfer_id = m.transfer_id
      left join balance_adjustment x on x.transfer_id = m.transfer_id
      left join payment_intent i on i.transfer_id = m.transfer_id
    where m.code not in ('charge.gpu', 'charge.tokens')
  ) single group by code, own`;
