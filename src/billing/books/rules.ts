/** The comparisons, one statement each: it selects the names of what is wrong. All of them are run over one snapshot. */
import { type RawBuilder, sql } from "kysely";
import type { CheckName } from "./model.ts";

export interface Rule {
  readonly check: CheckName;
  /** What it means that a row is found. */
  readonly what: string;
  /** Selects one column `name`, the id or key of what is wrong. */
  find(now: Date): RawBuilder<{ name: string }>;
}

/** The jobs that end overdue holds and expired credit run each minute; after this they are late. */
const HOLD_OVERDUE_SECONDS = 3_600;

const rule = (check: CheckName, what: string, find: Rule["find"]): Rule => ({ check, what, find });

export const RULES: readonly Rule[] = [
  rule(
    "transfers",
    "transfers without entries",
    () => sql`
    select t.id::text as name from ledger_transfer t
    where not exists (select from ledger_entry e where e.transfer_id = t.id)`,
  ),
  rule(
    "transfers",
    "entries without a transfer",
    () => sql`
    select e.transfer_id || '/' || e.line as name from ledger_entry e
    where not exists (select from ledger_transfer t where t.id = e.transfer_id)`,
  ),
  rule(
    "transfers",
    "transfers whose entries don't sum to zero",
    () => sql`
    select transfer_id::text as name from ledger_entry group by transfer_id, currency having sum(amount) <> 0`,
  ),
  rule(
    "transfers",
    "transfers whose entries are not those that their code and amount name",
    () => sql`
    select t.id::text as name
    from ledger_transfer t left join ledger_movement m on m.code = t.code
      left join ledger_entry f on f.transfer_id = t.id and f.line = 1 left join ledger_account fa on fa.id = f.account_id
      left join ledger_entry o on o.transfer_id = t.id and o.line = 2 left join ledger_account oa on oa.id = o.account_id
    where (fa.kind is distinct from m.from_kind and not (m.credit_first and fa.kind = 'credit'))
      or oa.kind is distinct from case when t.id <= m.changed_after then m.to_kind_before else m.to_kind end
      or o.amount is distinct from t.amount
      -- Further lines take from the same owner: pots of credit before card money.
      or f.amount is distinct from -t.amount - coalesce((
        select sum(x.amount) from ledger_entry x join ledger_account xa on xa.id = x.account_id
        where x.transfer_id = t.id and x.line > 2 and m.credit_first and xa.kind in ('user', 'credit')
          and (xa.owner_id, xa.currency) = (fa.owner_id, fa.currency) and x.amount < 0), 0)`,
  ),
  rule(
    "currencies",
    "entries in another currency than their transfer or account",
    () => sql`
    select e.transfer_id || '/' || e.line as name
    from ledger_entry e join ledger_transfer t on t.id = e.transfer_id join ledger_account a on a.id = e.account_id
    where e.currency <> t.currency or e.currency <> a.currency`,
  ),
  rule(
    "currencies",
    "transfers in another currency than the hold that they took from",
    () => sql`
    select t.id::text as name
    from ledger_transfer t join ledger_hold h on h.id = t.hold_id join ledger_account a on a.id = h.account_id
    where t.currency <> a.currency`,
  ),
  rule(
    "currencies",
    "GPU windows in another currency than their price or hold",
    () => sql`
    select w.id::text as name
    from gpu_window w join gpu_price p on p.id = w.price_version_id join ledger_hold h on h.id = w.hold_id
      join ledger_account a on a.id = h.account_id
    where w.currency <> p.currency or w.currency <> a.currency`,
  ),
  rule(
    "balances",
    "balances that are not what entries and holds say",
    () => sql`
    select coalesce(p.owner_id || ' ' || p.currency, b.account_id::text) as name
    from ledger_projection p full join ledger_balance b on b.account_id = p.account_id
    where (b.balance, b.held, b.credit, b.credit_held) is distinct from (p.balance, p.held, p.credit, p.credit_held)`,
  ),
  rule(
    "credit",
    "pots of credit that are not what entries and holds say",
    () => sql`
    select a.owner_id || ' ' || a.id as name
    from ledger_account a left join ledger_pot b on b.account_id = a.id left join ledger_pot_projection p on p.account_id = a.id
    where a.kind = 'credit' and ((p.balance, p.held) is distinct from (b.balance, b.held) or b.account_id is null)`,
  ),
  rule(
    "credit",
    "holds that have taken another sum of credit than their pots say",
    () => sql`
    select h.id::text as name
    from ledger_hold h left join (select hold_id, sum(amount) as amount, sum(captured) as captured from ledger_hold_credit group by 1) c
      on c.hold_id = h.id
    where h.credit <> coalesce(c.amount, 0) or coalesce(c.captured, 0) > h.captured`,
  ),
  rule(
    "credit",
    "holds of credit whose captures are not what was taken of its pot",
    () => sql`
    select c.hold_id || ' ' || c.account_id as name
    from ledger_hold_credit c left join (
      select t.hold_id, e.account_id, -sum(e.amount) as taken from ledger_transfer t join ledger_entry e on e.transfer_id = t.id
      where t.hold_id is not null group by 1, 2
    ) t on (t.hold_id, t.account_id) = (c.hold_id, c.account_id)
    where c.captured <> coalesce(t.taken, 0)`,
  ),
  rule(
    "credit",
    "holds that took credit after it had expired",
    () => sql`
    select c.hold_id || ' ' || c.account_id as name
    from ledger_hold_credit c join ledger_hold h on h.id = c.hold_id join ledger_pot p on p.account_id = c.account_id
    where h.placed_at >= p.expires_at`,
  ),
  rule(
    "credit",
    "credit that expired an hour ago and is still there",
    (now) => sql`
    select a.owner_id || ' ' || a.id as name
    from ledger_pot p join ledger_account a on a.id = p.account_id
    where p.balance > p.held and p.expires_at < ${now}::timestamptz - make_interval(secs => ${HOLD_OVERDUE_SECONDS})`,
  ),
  rule(
    "holds",
    "holds whose captures are not the transfers that took from them",
    () => sql`
    select h.id::text as name
    from ledger_hold h left join (select hold_id, sum(amount) as taken from ledger_transfer where hold_id is not null group by 1) t
      on t.hold_id = h.id
    where h.captured <> coalesce(t.taken, 0)`,
  ),
  rule(
    "holds",
    "holds that nothing waits for",
    () => sql`
    select h.purpose || ' ' || h.id as name from ledger_hold h
    where h.state = 'placed' and not case h.purpose
      when 'slice' then exists (select from token_slice s where s.id = h.id and s.closed_at is null)
      when 'gpu.window' then exists (select from gpu_window w where w.hold_id = h.id and w.state in ('held', 'open'))
      when 'refund' then exists (select from payment_refund r where r.hold_id = h.id and r.state = 'pending')
      else false end`,
  ),
  rule(
    "holds",
    "holds that should have ended an hour ago",
    (now) => sql`
    select h.purpose || ' ' || h.id as name from ledger_hold h
    where h.state = 'placed' and h.expires_at < ${now}::timestamptz - make_interval(secs => ${HOLD_OVERDUE_SECONDS})`,
  ),
  rule(
    "slices",
    "open slices without a placed hold of their amount",
    () => sql`
    select s.id::text as name from token_slice s left join ledger_hold h on h.id = s.id
    where s.closed_at is null and (h.state, h.amount) is distinct from ('placed', s.amount)`,
  ),
  rule(
    "budgets",
    "periods of budgets whose sums differ from their holds",
    () => sql`
    with summed as (
      select b.budget_id, b.starts_at, sum(h.captured) as spent,
        coalesce(sum(h.amount - h.captured) filter (where h.state = 'placed'), 0) as reserved
      from budget_hold b join ledger_hold h on h.id = b.hold_id group by 1, 2
    )
    select coalesce(u.budget_id, s.budget_id) || ' ' || (coalesce(u.starts_at, s.starts_at) at time zone 'UTC')::date as name
    from budget_use u full join summed s on (s.budget_id, s.starts_at) = (u.budget_id, u.starts_at)
    where (u.spent, u.reserved) is distinct from (s.spent, s.reserved)`,
  ),
  rule(
    "budgets",
    "holds that are marked as counted in budgets and are not, or the other way round",
    () => sql`
    select h.id::text as name from ledger_hold h
    where h.budgeted <> exists (select from budget_hold b where b.hold_id = h.id)`,
  ),
  rule(
    "budgets",
    "holds that count in another user's or currency's budget",
    () => sql`
    select b.hold_id::text as name
    from budget_hold b join ledger_hold h on h.id = b.hold_id join ledger_account a on a.id = h.account_id
      join budget l on l.id = b.budget_id
    where (a.owner_id, a.currency) <> (l.user_id, l.currency)`,
  ),
  rule(
    "windows",
    "held or open windows without a placed hold",
    () => sql`
    select w.id::text as name from gpu_window w left join ledger_hold h on h.id = w.hold_id
    where w.state in ('held', 'open') and h.state is distinct from 'placed'`,
  ),
  rule(
    "windows",
    "captured windows whose charge is not their transfer",
    () => sql`
    select w.id::text as name from gpu_window w left join ledger_transfer t on t.id = w.transfer_id
    where w.state = 'captured' and coalesce(w.charge_nanos, 0) <> coalesce(t.amount, 0)`,
  ),
  rule(
    "windows",
    "captured windows whose share of savings is not what their plan says",
    () => sql`
    select w.id::text as name from gpu_window w join gpu_price p on p.id = w.price_version_id
    where w.state = 'captured'
      and w.share_nanos <> trunc((w.charge_nanos - w.share_nanos)::numeric * w.estimate_ppm * p.share_ppm / 1000000000000)`,
  ),
  rule(
    "windows",
    "models whose windows were credited with more cached tokens than they served",
    () => sql`
    select model_id::text as name from cache_credited c left join cache_served s using (model_id)
    where c.cached_tokens > coalesce(s.cached_tokens, 0)`,
  ),
  rule(
    "windows",
    "captured windows whose charge is not what their time comes to",
    () => sql`
    select id::text as name from gpu_window
    where state = 'captured' and priced_ms_before is not null
      and charge_nanos - share_nanos <> div(nanos_per_hour::numeric * (priced_ms_before + charged_ms), 3600000)
        - div(nanos_per_hour::numeric * priced_ms_before, 3600000)`,
  ),
  rule(
    "windows",
    "transfers for GPU time without their window",
    () => sql`
    select t.id::text as name from ledger_transfer t
    where t.code = 'charge.gpu' and not exists (select from gpu_window w where w.transfer_id = t.id)`,
  ),
  rule(
    "refunds",
    "refunds on their way whose hold has ended",
    () => sql`
    select r.id::text as name from payment_refund r left join ledger_hold h on h.id = r.hold_id
    where r.state = 'pending' and r.hold_id is not null and h.state is distinct from 'placed'`,
  ),
  rule(
    "processor",
    "lines of the processor's balance whose movements are missing, changed, or too many",
    () => sql`
    with posted as (
      select split_part(t.key, ':', 2) as processor, split_part(t.key, ':', 3) as id, e.currency, -sum(e.amount) as nanos
      from ledger_transfer t join ledger_entry e on e.transfer_id = t.id join ledger_account a on a.id = e.account_id
      where t.key like 'processor:%' and a.kind = 'processor.clearing' group by 1, 2, 3
    ), said as (
      select processor, id, currency, sum(nanos) as nanos from (
        select processor, id, currency, net as nanos from processor_transaction
        union all
        select processor, id, elsewhere_currency, -elsewhere from processor_transaction where elsewhere is not null
      ) both_sides group by 1, 2, 3
    )
    select coalesce(s.processor, p.processor) || ' ' || coalesce(s.id, p.id) as name
    from said s full join posted p on (p.processor, p.id, p.currency) = (s.processor, s.id, s.currency)
    where coalesce(s.nanos, 0) <> coalesce(p.nanos, 0)`,
  ),
  rule(
    "usage",
    "charges of tokens whose receipts sum to something else",
    () => sql`
    with charged as (
      select 'tokens:' || charge_id as key, sum(charge_nanos) as nanos from usage_record
      where charge_id is not null group by charge_id having sum(charge_nanos) > 0
    )
    select coalesce(c.key, t.key) as name
    from charged c full join (select key, amount from ledger_transfer where code = 'charge.tokens') t on t.key = c.key
    where c.nanos is distinct from t.amount`,
  ),
  rule(
    "usage",
    "written-off tokens whose receipts sum to something else",
    () => sql`
    with lost as (
      select 'late:' || charge_id as key, sum(written_off_nanos) as nanos from usage_record
      where charge_id is not null group by charge_id having sum(written_off_nanos) > 0
    )
    select coalesce(l.key, t.key) as name
    from lost l full join (select key, amount from ledger_transfer where code = 'writeoff.late_usage') t on t.key = l.key
    where l.nanos is distinct from t.amount`,
  ),
  rule(
    "months",
    "months of a user's model that differ from their receipts",
    () => sql`
    with summed as (
      select user_id, date_trunc('month', ended_at at time zone 'UTC')::date as month, model_id, served_name, count(*) as requests,
        sum(prompt_tokens) as prompt, sum(cached_tokens) as cached, sum(completion_tokens) as completion,
        sum(charge_nanos) as charge, sum(saving_nanos) as saving
      from usage_record where slice_id is not null group by 1, 2, 3, 4
    )
    select coalesce(m.user_id, s.user_id) || ' ' || coalesce(m.month, s.month) || ' ' || coalesce(m.served_name, s.served_name) as name
    from token_month m full join summed s
      on (s.user_id, s.month, s.model_id, s.served_name) = (m.user_id, m.month, m.model_id, m.served_name)
    where (m.requests, m.prompt_tokens, m.cached_tokens, m.completion_tokens, m.charge_nanos, m.saving_nanos)
      is distinct from (s.requests, s.prompt, s.cached, s.completion, s.charge, s.saving)`,
  ),
  rule(
    "spending",
    "days of a user whose sums differ from receipts and windows",
    () => sql`
    with facts as (
      select user_id, (ended_at at time zone 'UTC')::date as day, 'tokens' as kind, count(*) as requests,
        sum(prompt_tokens) as prompt, sum(completion_tokens) as completion, 0 as gpu_ms, sum(charge_nanos) as charge, sum(saving_nanos) as saving
      from usage_record group by 1, 2
      union all
      select user_id, (closed_at at time zone 'UTC')::date, 'gpu', 0, 0, 0, sum(charged_ms), sum(charge_nanos), sum(saving_nanos)
      from gpu_window where state = 'captured' group by 1, 2
    ), days as (
      select user_id, day, kind, sum(requests) as requests, sum(prompt_tokens) as prompt, sum(completion_tokens) as completion,
        sum(gpu_ms) as gpu_ms, sum(charge_nanos) as charge, sum(saving_nanos) as saving
      from usage_day group by 1, 2, 3
    )
    select coalesce(f.user_id, d.user_id) || ' ' || coalesce(f.day, d.day) || ' ' || coalesce(f.kind, d.kind) as name
    from facts f full join days d on (d.user_id, d.day, d.kind) = (f.user_id, f.day, f.kind)
    where (coalesce(f.requests, 0), coalesce(f.prompt, 0), coalesce(f.completion, 0), coalesce(f.gpu_ms, 0), coalesce(f.charge, 0), coalesce(f.saving, 0))
      <> (coalesce(d.requests, 0), coalesce(d.prompt, 0), coalesce(d.completion, 0), coalesce(d.gpu_ms, 0), coalesce(d.charge, 0), coalesce(d.saving, 0))`,
  ),
  rule(
    "spending",
    "days whose money differs between the two kinds of daily sums",
    () => sql`
    select coalesce(b.user_id, d.user_id) || ' ' || coalesce(b.day, d.day) || ' ' || coalesce(b.kind, d.kind) as name
    from (
      select user_id, currency, (starts_at at time zone 'UTC')::date as day, kind, charge_nanos, saving_nanos
      from spend_bucket where grain = 'day'
    ) b full join (
      select user_id, currency, day, kind, sum(charge_nanos) as charge_nanos, sum(saving_nanos) as saving_nanos from usage_day group by 1, 2, 3, 4
    ) d on (d.user_id, d.currency, d.day, d.kind) = (b.user_id, b.currency, b.day, b.kind)
    where (coalesce(b.charge_nanos, 0), coalesce(b.saving_nanos, 0)) <> (coalesce(d.charge_nanos, 0), coalesce(d.saving_nanos, 0))`,
  ),
  rule(
    "usage",
    "charges of tokens whose details differ from their receipts",
    () => sql`
    with charged as (
      select charge_id, count(*) as requests, sum(prompt_tokens) as prompt, sum(cached_tokens) as cached,
        sum(completion_tokens) as completion, sum(charge_nanos) as charge
      from usage_record where charge_nanos > 0 and charge_id is not null group by 1
    ), told as (
      select charge_id, sum(requests) as requests, sum(prompt_tokens) as prompt, sum(cached_tokens) as cached,
        sum(completion_tokens) as completion, sum(charge_nanos) as charge
      from token_charge group by 1
    )
    select coalesce(c.charge_id, t.charge_id)::text as name from charged c full join told t on t.charge_id = c.charge_id
    where (c.requests, c.prompt, c.cached, c.completion, c.charge) is distinct from (t.requests, t.prompt, t.cached, t.completion, t.charge)`,
  ),
  rule(
    "invoices",
    "series of invoices with a number missing",
    () => sql`
    select series || '-' || year as name from invoice group by series, year having max(seq) <> count(*)`,
  ),
  rule(
    "invoices",
    "invoices whose lines are not what lies between their balances",
    () => sql`
    select coalesce(i.number, l.number) as name
    from invoice i full join (select number, sum(amount_nanos) as total from invoice_line group by 1) l on l.number = i.number
    where i.closing_nanos - i.opening_nanos is distinct from l.total`,
  ),
  rule(
    "invoices",
    "invoices that don't begin where the one before ended",
    () => sql`
    select number as name from (
      select number, opening_nanos,
        lag(closing_nanos, 1, 0::bigint) over (partition by user_id, currency order by month) as before_it from invoice
    ) i where opening_nanos <> before_it`,
  ),
  rule(
    "invoices",
    "invoices that differ from the ledger's entries of their time",
    () => sql`
    select i.number as name from invoice i left join (
      select first.number, sum(e.amount) as total
      from ledger_account a join ledger_entry e on e.account_id = a.id and a.kind in ('user', 'credit')
        cross join lateral (
          select i.number from invoice i
          where i.user_id = a.owner_id and i.currency = a.currency and i.month >= date_trunc('month', e.at at time zone 'UTC')::date
            and e.transfer_id <= i.upto_transfer_id
          order by i.month limit 1
        ) first
      group by 1
    ) l on l.number = i.number
    where i.closing_nanos - i.opening_nanos <> coalesce(l.total, 0)`,
  ),
];
