-- Outgoing webhooks: endpoints, events, and their deliveries. A delivery's row is its own queue entry; it is written in the
-- transaction of the change that it tells of.

create table webhook_endpoint (
  id uuid primary key,
  user_id uuid not null references users (id),
  url text not null,
  description text not null,
  -- '*' is every type.
  event_types text[] not null check (cardinality(event_types) > 0),
  -- Sealed with the installation's key.
  secret_sealed bytea not null,
  -- Messages are signed with the former secret too until then.
  former_secret_sealed bytea,
  former_secret_ends_at timestamptz,
  disabled_reason text check (disabled_reason in ('ASKED', 'GONE', 'FAILING')),
  disabled_message text not null default '',
  disabled_at timestamptz,
  -- Since when every attempt has failed; null while deliveries arrive.
  failing_since timestamptz,
  last_delivered_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  check ((disabled_reason is null) = (disabled_at is null)),
  check ((former_secret_sealed is null) = (former_secret_ends_at is null))
) with (fillfactor = 80);
create index webhook_endpoint_user on webhook_endpoint (user_id, created_at, id);

-- The last number given to an event of a user. Its lock is held to the commit, so that numbers grow in the order of commits;
-- it is the last lock that a transaction takes.
create table webhook_sequence (
  user_id uuid primary key references users (id),
  last bigint not null
) with (fillfactor = 50);

create table webhook_event (
  id uuid primary key,
  user_id uuid not null references users (id),
  type text not null,
  sequence bigint not null,
  -- What is posted, byte for byte: a repeat is signed anew, never written anew.
  payload text not null,
  created_at timestamptz not null,
  unique (user_id, sequence)
);
create index webhook_event_age on webhook_event (created_at);

create table webhook_delivery (
  id uuid primary key,
  event_id uuid not null references webhook_event (id) on delete cascade,
  endpoint_id uuid not null references webhook_endpoint (id) on delete cascade,
  user_id uuid not null,
  status text not null check (status in ('PENDING', 'DELIVERED', 'FAILED', 'CANCELLED')),
  attempts_max int not null check (attempts_max > 0),
  -- Counted when an attempt begins, so that one that kills its worker counts too.
  attempt_count int not null default 0,
  -- Attempts whose end was written down: number, startedAt, durationMs, responseStatus, failure, responseExcerpt.
  attempts jsonb not null default '[]',
  next_attempt_at timestamptz,
  -- A worker holds it until then.
  claimed_until timestamptz,
  replay_of uuid,
  created_at timestamptz not null,
  ended_at timestamptz,
  check ((status = 'PENDING') = (ended_at is null)),
  check ((status = 'PENDING') = (next_attempt_at is not null))
) with (fillfactor = 70);
create index webhook_delivery_due on webhook_delivery (endpoint_id, next_attempt_at) where status = 'PENDING';
create index webhook_delivery_user on webhook_delivery (user_id, created_at desc, id desc);
create index webhook_delivery_endpoint on webhook_delivery (endpoint_id, created_at desc, id desc);
create index webhook_delivery_event on webhook_delivery (event_id);

-- What billing has to tell, until it is told: written by the transaction that moves the money or ends the payment.
create table billing_news (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('BALANCE_LOW', 'PAYMENT_FAILED', 'PAYMENT_SUCCEEDED')),
  user_id uuid not null,
  currency text not null,
  -- What is left, or what the payment was to bring.
  amount bigint not null,
  -- The mark that the balance fell below.
  mark bigint,
  -- The processor's id of the payment.
  payment_id text,
  -- Why it failed.
  failure text
);

-- Below it a user is told that the balance is low; 0 for never.
alter table billing_settings add column balance_low_mark bigint not null default 0 check (balance_low_mark >= 0);

-- Holds come and go and don't count: what falls below the mark is all that is there.
create function ledger_note_low() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  low_mark bigint;
begin
  select s.balance_low_mark into low_mark from billing_settings s;
  if old.balance >= low_mark and new.balance < low_mark then
    insert into billing_news (kind, user_id, currency, amount, mark)
      select 'BALANCE_LOW', a.owner_id, a.currency, new.balance, low_mark from ledger_account a where a.id = new.account_id;
  end if;
  return null;
end
$$;
create trigger low_noted after update on ledger_balance for each row
  when (new.balance < old.balance) execute function ledger_note_low();
revoke execute on function ledger_note_low from public;
