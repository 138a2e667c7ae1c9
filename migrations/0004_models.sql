-- This database and everything that works on it. The id is in the name of every machine that is made at a provider.
create table installation (
  only_row boolean primary key default true check (only_row),
  id uuid not null,
  created_at timestamptz not null
);

-- A model and its deployment. The row is its own queue entry: a worker that takes it raises claim_epoch and holds it until
-- claimed_until; every write of that worker asks for the same epoch. `version` grows with every wish of the owner, so that a
-- worker never writes what it concluded from an older wish.
create table model (
  id uuid primary key,
  deployment_id uuid not null unique,
  user_id uuid not null references users (id),
  name text not null,
  description text not null,
  path text not null,
  served_name text not null unique,
  -- What the request left open or fixed, and what was chosen.
  wanted jsonb not null,
  driver text not null,
  provider text not null,
  region text not null,
  gpu_type text not null,
  gpu_count int not null check (gpu_count >= 0),
  node_id text not null,
  -- What is served and how.
  spec jsonb not null,
  kv_cache boolean not null,
  cpu_offloading boolean not null,
  weights jsonb not null,
  hardware jsonb not null,
  plan jsonb not null,
  context_tokens int not null,
  -- Sealed with the installation's key; the hash is what the gateway compares.
  api_key_sealed bytea not null,
  api_key_hash bytea not null check (octet_length(api_key_hash) = 32),
  hf_token_sealed bytea,
  -- What is wished for.
  desired text not null check (desired in ('RUNNING', 'PAUSED', 'DELETED')),
  desired_reason text not null,
  desired_at timestamptz not null,
  replicas int not null check (replicas between 1 and 64),
  generation int not null,
  start_number int not null,
  version bigint not null,
  -- What was concluded, and why.
  status text not null,
  status_since timestamptz not null,
  reason text not null,
  message text not null,
  next_step text not null,
  reason_since timestamptz not null,
  deadline timestamptz,
  gave_up_reason text,
  gave_up_message text,
  waiting_since timestamptz,
  ready_replicas int not null,
  progress jsonb,
  -- The queue.
  next_check_at timestamptz,
  claim_epoch bigint not null,
  claimed_until timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  deleted_at timestamptz
) with (fillfactor = 80);
-- The name is free once deleting begins.
create unique index model_name_once on model (user_id, name) where desired <> 'DELETED';
create index model_due on model (next_check_at) where next_check_at is not null;
create index model_user_created on model (user_id, created_at desc, id desc) where status <> 'DELETED';
create index model_user_updated on model (user_id, updated_at desc, id desc) where status <> 'DELETED';
create index model_user_name on model (user_id, name, id) where status <> 'DELETED';
create index model_created on model (created_at desc, id desc) where status <> 'DELETED';
create index model_updated on model (updated_at desc, id desc) where status <> 'DELETED';

-- One try at having one replica. The row is committed before the provider is asked for anything, under the claim of that time.
create table model_attempt (
  name text primary key,
  model_id uuid not null references model (id),
  slot int not null,
  number int not null,
  generation int not null,
  start_number int not null,
  claim_epoch bigint not null,
  driver text not null,
  provider text not null,
  region text not null,
  path text not null,
  created_at timestamptz not null,
  engine_key_sealed bytea not null,
  -- What is known of the last create call: still out, answered, its answer lost, or refused.
  apply_state text not null check (apply_state in ('calling', 'clear', 'unclear', 'refused')),
  applied_at timestamptz not null,
  -- Until then a create call of a worker that lost its claim may still come through.
  stranded_until timestamptz,
  seen boolean not null,
  absent_since timestamptz,
  phase text not null check (phase in ('none', 'provisioning', 'loading', 'up')),
  phase_since timestamptz not null,
  detail text not null,
  progress_done bigint not null,
  progress_total bigint not null,
  host text,
  port int,
  certificate_sha256 text,
  ready_at timestamptz,
  routed boolean not null,
  window_ends_at timestamptz,
  next_held boolean not null,
  probe_failures int not null,
  probe_failed_since timestamptz,
  stopped_at timestamptz,
  grace_ms int not null,
  unrouted_at timestamptz,
  remove_asked_at timestamptz,
  failure_reason text,
  failure_message text,
  failure_retryable boolean,
  -- Failures in a row that count, this one included.
  failures int not null,
  closed_at timestamptz,
  -- False once it is closed and a later attempt at the slot exists: history that no worker needs.
  live boolean not null,
  unique (model_id, slot, number)
) with (fillfactor = 80);
create index model_attempt_live on model_attempt (model_id) where live;
create index model_attempt_history on model_attempt (path, provider, region, ready_at desc) where ready_at is not null;

create table model_event (
  id bigint generated always as identity primary key,
  model_id uuid not null references model (id),
  created_at timestamptz not null,
  type text not null,
  log text not null,
  status text not null,
  reason text not null
);
create index model_event_newest on model_event (model_id, id desc);

-- Machines that the sweeper saw without an owner. Only what is seen so twice is removed.
create table unowned_machine (
  driver text not null,
  name text not null,
  first_seen_at timestamptz not null,
  primary key (driver, name)
);
