-- What an engine measured when it last started with some weights on some hardware: the next memory plan is shown beside it.
create table engine_measured (
  path text not null,
  revision text not null,
  engine text not null,
  gpu_type text not null,
  gpu_count integer not null check (gpu_count >= 0),
  weights_bytes bigint check (weights_bytes >= 0),
  kv_bytes bigint check (kv_bytes >= 0),
  kv_tokens bigint check (kv_tokens >= 0),
  measured_at timestamptz not null,
  primary key (path, revision, engine, gpu_type, gpu_count)
);
