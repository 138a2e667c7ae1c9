-- Price plans of GPU time: what the cache saved is estimated, told, and, where the plan says so, shared.

-- Millionths of the estimated savings that the user pays beside the time: 0 passes all of them through.
alter table gpu_price add column share_ppm bigint not null default 0 check (share_ppm between 0 and 1000000);
-- Prompt tokens that one GPU (or one replica on CPUs) takes in a second: 0 estimates nothing.
alter table gpu_price add column prefill_tokens_per_second bigint not null default 0 check (prefill_tokens_per_second >= 0);
alter table gpu_price add constraint gpu_price_share_is_estimated check (share_ppm = 0 or prefill_tokens_per_second > 0);

-- What a closed window's estimate came from and to. The charge holds the shared part; the saving is what is left of it to the user.
alter table gpu_window add column cached_tokens bigint not null default 0 check (cached_tokens >= 0);
alter table gpu_window add column estimate_ppm bigint not null default 0 check (estimate_ppm >= 0);
alter table gpu_window add column share_nanos bigint not null default 0 check (share_nanos between 0 and charge_nanos);
alter table gpu_window add column saving_nanos bigint not null default 0 check (saving_nanos >= 0);

-- Cached tokens that a model's replicas have served, and how many of them windows have been credited with. Two tables, because
-- usage adds to one and windows to the other, each in its own order of locks.
create table cache_served (
  model_id uuid primary key,
  cached_tokens bigint not null check (cached_tokens >= 0)
) with (fillfactor = 70);
create table cache_credited (
  model_id uuid primary key,
  cached_tokens bigint not null check (cached_tokens >= 0)
) with (fillfactor = 70);
revoke delete on cache_served, cache_credited from slipway_app;
