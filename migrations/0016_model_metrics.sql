-- How models serve, summed as usage is counted: by the minute for a day's charts, by the hour for longer ones. Times are UTC.
create table served_sum (
  model_id uuid not null,
  grain text not null check (grain in ('minute', 'hour')),
  starts_at timestamptz not null,
  requests bigint not null check (requests >= 0),
  failed bigint not null check (failed between 0 and requests),
  prompt_tokens bigint not null check (prompt_tokens >= 0),
  cached_tokens bigint not null check (cached_tokens between 0 and prompt_tokens),
  completion_tokens bigint not null check (completion_tokens >= 0),
  primary key (model_id, grain, starts_at)
) with (fillfactor = 70);
create index served_sum_age on served_sum (grain, starts_at);

-- Latencies as counts by bucket; the bounds are the program's (src/observability/buckets.ts).
create table latency_sum (
  model_id uuid not null,
  grain text not null check (grain in ('minute', 'hour')),
  starts_at timestamptz not null,
  what text not null check (what in ('ttft', 'itl')),
  bucket smallint not null check (bucket >= 0),
  requests bigint not null check (requests > 0),
  primary key (model_id, grain, starts_at, what, bucket)
) with (fillfactor = 70);
create index latency_sum_age on latency_sum (grain, starts_at);
