-- Prices that end, where time was spent, and what it cost the operator.

-- A version that says: from here on there is no price. A region's own price that is removed gives way to its provider's.
alter table gpu_price add column removed boolean not null default false;
alter table gpu_price add constraint gpu_price_removed_is_none check (not removed or nanos_per_hour = 0);
alter table token_price add column removed boolean not null default false;
alter table token_price add constraint token_price_removed_is_none
  check (not removed or (input_nanos_per_million, cached_nanos_per_million, output_nanos_per_million) = (0, 0, 0));

-- Where the slot's replica is; null for what was held before this was known. A price may hold for a whole provider, so it does not tell.
alter table gpu_slot add column provider text, add column region text, add column gpu_type text;
alter table gpu_window add column provider text, add column region text, add column gpu_type text;
create index gpu_window_closed on gpu_window (closed_at) where state = 'captured';

-- What the operator pays a provider for an hour of one GPU, or of one replica on CPUs. Moves no money, so it may be told late:
-- the version with the latest valid_from holds, of two for one moment the one that came last.
create table provider_cost (
  id uuid primary key,
  provider text not null,
  -- '' = every region of the provider that has no cost of its own.
  region text not null,
  gpu_type text not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  nanos_per_hour bigint not null check (nanos_per_hour >= 0),
  note text not null,
  valid_from timestamptz not null,
  created_by uuid not null references users (id),
  created_at timestamptz not null
);
create index provider_cost_of on provider_cost (provider, gpu_type, region, valid_from desc, created_at desc);
create index provider_cost_newest on provider_cost (created_at desc, id desc);
create trigger insert_only before update or delete on provider_cost for each row execute function billing_refuse();
revoke update, delete, truncate on provider_cost from slipway_app;
