-- What users spent and used, summed as it is charged: projections of usage_record and gpu_window, filled in the transaction
-- that charges, so that a summary reads as many rows after years as after a month. Times are UTC. `kind` keeps GPU time and
-- tokens in rows of their own: each kind has its own order of locks.

-- Money by the minute, the hour and the day; a rolling window is the few of each that tile it.
create table spend_bucket (
  user_id uuid not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  grain text not null check (grain in ('minute', 'hour', 'day')),
  starts_at timestamptz not null,
  kind text not null check (kind in ('gpu', 'tokens')),
  charge_nanos bigint not null check (charge_nanos >= 0),
  saving_nanos bigint not null check (saving_nanos >= 0),
  primary key (user_id, currency, grain, starts_at, kind)
) with (fillfactor = 70);

-- What each model did in a day. GPU time has no served name.
create table usage_day (
  user_id uuid not null,
  day date not null,
  model_id uuid not null,
  served_name text not null,
  kind text not null check (kind in ('gpu', 'tokens')),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  requests bigint not null check (requests >= 0),
  prompt_tokens bigint not null check (prompt_tokens >= 0),
  cached_tokens bigint not null check (cached_tokens between 0 and prompt_tokens),
  completion_tokens bigint not null check (completion_tokens >= 0),
  gpu_ms bigint not null check (gpu_ms >= 0),
  charge_nanos bigint not null check (charge_nanos >= 0),
  saving_nanos bigint not null check (saving_nanos >= 0),
  primary key (user_id, day, model_id, served_name, kind, currency)
) with (fillfactor = 70);

-- What was charged before these tables were.
insert into usage_day
select u.user_id, (u.ended_at at time zone 'UTC')::date, u.model_id, u.served_name, 'tokens', coalesce(p.currency, s.currency),
  count(*), sum(u.prompt_tokens), sum(u.cached_tokens), sum(u.completion_tokens), 0, sum(u.charge_nanos), sum(u.saving_nanos)
from usage_record u cross join billing_settings s left join token_price p on p.id = u.price_version_id
group by 1, 2, 3, 4, 6
union all
select user_id, (closed_at at time zone 'UTC')::date, model_id, '', 'gpu', currency,
  0, 0, 0, 0, sum(charged_ms), sum(charge_nanos), 0
from gpu_window where state = 'captured'
group by 1, 2, 3, 6;

insert into spend_bucket
select user_id, currency, grain, date_trunc(grain, at, 'UTC'), kind, sum(charge_nanos), sum(saving_nanos)
from (
  select u.user_id, coalesce(p.currency, s.currency) as currency, u.ended_at as at, 'tokens' as kind, u.charge_nanos, u.saving_nanos
  from usage_record u cross join billing_settings s left join token_price p on p.id = u.price_version_id
  union all
  select user_id, currency, closed_at, 'gpu', charge_nanos, 0 from gpu_window where state = 'captured'
) charge cross join (values ('minute'), ('hour'), ('day')) as grains (grain)
where charge_nanos > 0 or saving_nanos > 0
group by 1, 2, 3, 4, 5;

revoke delete on spend_bucket, usage_day from slipway_app;
