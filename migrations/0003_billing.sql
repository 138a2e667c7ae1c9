-- What earns and pays: prices, GPU time, slices for tokens, usage, cards. Money itself moves only in the ledger.

-- One row: what this database's money is. Currency changes only while the books are empty.
create table billing_settings (
  only_row boolean primary key default true check (only_row),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  -- `test`: whatever is paid in is play money.
  payments text not null check (payments in ('off', 'test'))
);
insert into billing_settings (currency, payments) values ('USD', 'test');

create function billing_refuse() returns trigger language plpgsql as $$
begin
  raise exception '% is insert-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

-- Versions of prices. The one with the latest valid_from that has come is in force.
create table gpu_price (
  id uuid primary key,
  provider text not null,
  -- '' = every region of the provider that has no price of its own.
  region text not null,
  gpu_type text not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  -- One GPU, or one replica on CPUs.
  nanos_per_hour bigint not null check (nanos_per_hour >= 0),
  valid_from timestamptz not null,
  created_at timestamptz not null,
  constraint gpu_price_once unique (provider, gpu_type, region, valid_from)
);
create index gpu_price_newest on gpu_price (valid_from desc, id desc);
create trigger insert_only before update or delete on gpu_price for each row execute function billing_refuse();

create table token_price (
  id uuid primary key,
  served_name text not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  input_nanos_per_million bigint not null check (input_nanos_per_million >= 0),
  cached_nanos_per_million bigint not null check (cached_nanos_per_million >= 0),
  output_nanos_per_million bigint not null check (output_nanos_per_million >= 0),
  valid_from timestamptz not null,
  created_at timestamptz not null,
  constraint token_price_once unique (served_name, valid_from)
);
create index token_price_newest on token_price (valid_from desc, id desc);
create trigger insert_only before update or delete on token_price for each row execute function billing_refuse();

-- The clock of one replica slot of a deployment. What changes at each probe is here, in one narrow row without indexes on it.
create table gpu_slot (
  deployment_id uuid not null,
  slot int not null,
  model_id uuid not null,
  user_id uuid not null,
  state text not null check (state in ('none', 'held', 'open')),
  gpu_count int not null,
  currency text not null,
  -- Of the whole replica, in the current or the last window.
  nanos_per_hour bigint not null,
  window_ms bigint not null check (window_ms > 0),
  window_no int not null,
  window_id uuid,
  window_ends_at timestamptz,
  next_window_id uuid,
  -- Charged time of the open window so far.
  open_ms bigint not null,
  -- Charged time of all windows that have closed.
  closed_ms bigint not null,
  -- Of it, what was charged at the price of the current window: rounding is over this sum, not over each window.
  price_version_id uuid references gpu_price (id),
  price_ms bigint not null,
  -- Served time that no hold covered, and which is written off.
  unfunded_ms bigint not null,
  -- The last successful probe; null before the first and after the slot has ended.
  last_ok_at timestamptz,
  primary key (deployment_id, slot),
  check ((state = 'none') = (window_id is null)),
  check ((state = 'open') = (window_ends_at is not null)),
  check (state <> 'none' or next_window_id is null)
) with (fillfactor = 70);
create index gpu_slot_open on gpu_slot (user_id) where state = 'open';

create table gpu_window (
  id uuid primary key,
  deployment_id uuid not null,
  slot int not null,
  number int not null,
  model_id uuid not null,
  user_id uuid not null,
  price_version_id uuid not null references gpu_price (id),
  gpu_count int not null,
  currency text not null,
  nanos_per_hour bigint not null,
  hold_id uuid not null unique,
  state text not null check (state in ('held', 'open', 'captured', 'released')),
  held_at timestamptz not null,
  starts_at timestamptz,
  ends_at timestamptz,
  closed_at timestamptz,
  charged_ms bigint,
  charge_nanos bigint,
  transfer_id bigint,
  unique (deployment_id, slot, number)
) with (fillfactor = 80);
create index gpu_window_receipts on gpu_window (user_id, closed_at desc, id desc) where state = 'captured';
create index gpu_window_transfer on gpu_window (transfer_id) where transfer_id is not null;

-- Money that a gateway may spend for one user; the hold of the same id is what it is.
create table token_slice (
  id uuid primary key,
  gateway_id text not null,
  user_id uuid not null,
  amount bigint not null,
  leased_at timestamptz not null,
  spend_until timestamptz not null,
  settle_by timestamptz not null,
  closed_at timestamptz
);
create index token_slice_open on token_slice (settle_by) where closed_at is null;
create index token_slice_user_open on token_slice (user_id) where closed_at is null;

-- One request, counted and priced: its own receipt.
create table usage_record (
  request_id text primary key,
  gateway_id text not null,
  model_id uuid not null,
  served_name text not null,
  user_id uuid not null,
  key_id text,
  slice_id uuid,
  price_version_id uuid,
  prompt_tokens bigint not null check (prompt_tokens >= 0),
  cached_tokens bigint not null check (cached_tokens between 0 and prompt_tokens),
  completion_tokens bigint not null check (completion_tokens >= 0),
  estimated boolean not null,
  outcome text not null,
  started_at timestamptz not null,
  ended_at timestamptz not null,
  ttft_ms int,
  -- What the user paid, what nobody paid, and what the cache saved.
  charge_nanos bigint not null check (charge_nanos >= 0),
  written_off_nanos bigint not null check (written_off_nanos >= 0),
  saving_nanos bigint not null check (saving_nanos >= 0),
  -- The transfer that moved the money has the key `tokens:<charge_id>`; null when nothing was charged.
  charge_id uuid
);
create index usage_record_user on usage_record (user_id, ended_at desc, request_id collate "C" desc);
create index usage_record_model on usage_record (user_id, model_id, ended_at desc, request_id collate "C" desc);
create trigger insert_only before update or delete on usage_record for each row execute function billing_refuse();

-- The growing line of the statement: a projection of usage_record.
create table token_month (
  user_id uuid not null,
  month date not null,
  model_id uuid not null,
  served_name text not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  requests bigint not null,
  prompt_tokens bigint not null,
  cached_tokens bigint not null,
  completion_tokens bigint not null,
  charge_nanos bigint not null,
  saving_nanos bigint not null,
  primary key (user_id, month, model_id, served_name)
) with (fillfactor = 70);

create table credit_grant (
  id uuid primary key,
  key text not null unique,
  user_id uuid not null references users (id),
  operator_id uuid not null,
  reason text not null,
  -- Given while the installation took play money: it is play money too.
  test_money boolean not null,
  transfer_id bigint not null unique,
  created_at timestamptz not null
);

create index credit_grant_test on credit_grant (user_id) where test_money;

create table payment_customer (
  user_id uuid not null references users (id),
  processor text not null,
  customer_id text not null,
  created_at timestamptz not null,
  primary key (user_id, processor),
  unique (processor, customer_id)
);

-- Cards on file, as the processor described them; no number is ever here.
create table payment_card (
  user_id uuid not null references users (id),
  processor text not null,
  card_id text not null,
  brand text not null,
  last4 text not null,
  exp_month int not null check (exp_month between 1 and 12),
  exp_year int not null,
  is_default boolean not null,
  attached_at timestamptz not null,
  primary key (user_id, processor, card_id)
);
create unique index payment_card_default_once on payment_card (user_id, processor) where is_default;

-- Written before the processor is asked, so that a payment whose answer got lost is asked for again under the same key.
create table payment_intent (
  id uuid primary key,
  key text not null unique,
  user_id uuid not null references users (id),
  processor text not null,
  customer_id text not null,
  card_id text not null,
  amount bigint not null check (amount > 0),
  currency text not null,
  state text not null check (state in ('pending', 'succeeded', 'failed', 'requires_action')),
  processor_id text,
  -- A public sentence.
  failure text,
  transfer_id bigint unique,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index payment_intent_user on payment_intent (user_id, created_at desc, id desc);
create index payment_intent_pending on payment_intent (updated_at) where state = 'pending';

revoke update, delete on gpu_price, token_price, usage_record, credit_grant from slipway_app;
revoke delete on gpu_slot, gpu_window, token_slice, payment_intent, billing_settings from slipway_app;
