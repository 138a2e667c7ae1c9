-- The books: accounts, transfers of two or more entries that sum to zero, and holds that end once. Money is whole nanos.
-- Nothing here is ever changed or removed but a hold's end and a balance row, and those move only through the functions below,
-- which run as the tables' owner. The program's own role may read the tables and call the functions, and nothing else.

create table ledger_account_kind (
  kind text primary key,
  -- One account for each owner; else one for the installation.
  owned boolean not null,
  -- A locked balance row: the limit is checked where the money moves. Other kinds are summed on request, so that no charge
  -- of one customer waits for another's.
  balance_kept boolean not null
);
insert into ledger_account_kind values
  ('user', true, true),
  ('receivable', true, false),
  ('revenue.gpu', false, false),
  ('revenue.tokens', false, false),
  ('processor.clearing', false, false),
  ('credit.granted', false, false),
  ('refunds', false, false),
  ('writeoff.unfunded', false, false),
  ('writeoff.late_usage', false, false);

-- Every movement that exists, and between which kinds of account.
create table ledger_movement (
  code text primary key,
  from_kind text not null references ledger_account_kind,
  to_kind text not null references ledger_account_kind,
  check (from_kind <> to_kind)
);
insert into ledger_movement values
  ('topup.card', 'processor.clearing', 'user'),
  ('credit.grant', 'credit.granted', 'user'),
  ('charge.gpu', 'user', 'revenue.gpu'),
  ('charge.tokens', 'user', 'revenue.tokens'),
  ('refund.card', 'user', 'refunds'),
  ('dispute.card', 'user', 'processor.clearing'),
  ('dispute.receivable', 'receivable', 'processor.clearing'),
  ('settle.receivable', 'user', 'receivable'),
  ('writeoff.unfunded', 'writeoff.unfunded', 'revenue.gpu'),
  ('writeoff.late_usage', 'writeoff.late_usage', 'revenue.tokens');

create table ledger_account (
  id bigint generated always as identity primary key,
  kind text not null,
  -- A user's id; the nil UUID for the installation's own.
  owner_id uuid not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  created_at timestamptz not null,
  unique (owner_id, kind, currency)
);

create table ledger_transfer (
  id bigint generated always as identity primary key,
  -- What earned it: a repeat finds it here.
  key text not null unique,
  code text not null,
  currency text not null,
  amount bigint not null check (amount > 0),
  hold_id uuid,
  at timestamptz not null
);
create index ledger_transfer_hold on ledger_transfer (hold_id) where hold_id is not null;

-- No foreign keys here or from a transfer to its code: the check of one would lock the row of the revenue account, and every
-- charge would write there. Rows come only from ledger_write, which has read the accounts and makes transfer and entries at
-- once; none of them can be removed.
create table ledger_entry (
  transfer_id bigint not null,
  line smallint not null,
  account_id bigint not null,
  currency text not null,
  amount bigint not null check (amount <> 0),
  at timestamptz not null,
  primary key (transfer_id, line)
);
create index ledger_entry_account on ledger_entry (account_id, at desc, transfer_id desc);

-- A projection of entries (balance) and of holds (held).
create table ledger_balance (
  account_id bigint primary key references ledger_account (id),
  balance bigint not null default 0 constraint ledger_balance_not_negative check (balance >= 0),
  held bigint not null default 0 constraint ledger_held_not_negative check (held >= 0),
  constraint ledger_balance_available check (balance - held >= 0)
) with (fillfactor = 50);

create table ledger_hold (
  id uuid primary key,
  key text not null unique,
  account_id bigint not null references ledger_account (id),
  purpose text not null check (purpose in ('gpu.window', 'slice', 'refund')),
  amount bigint not null check (amount >= 0),
  -- What of it has been captured so far; a slice is captured bit by bit until it ends.
  captured bigint not null default 0 check (captured between 0 and amount),
  state text not null default 'placed' check (state in ('placed', 'captured', 'released', 'expired')),
  placed_at timestamptz not null,
  -- Null: it ends only by what it waits for, never by the clock.
  expires_at timestamptz,
  ended_at timestamptz,
  check ((state = 'placed') = (ended_at is null))
) with (fillfactor = 80);
create index ledger_hold_placed on ledger_hold (account_id) where state = 'placed';
create index ledger_hold_expires on ledger_hold (expires_at) where state = 'placed' and expires_at is not null;

create function ledger_refuse() returns trigger language plpgsql as $$
begin
  raise exception '% is insert-only', tg_table_name using errcode = 'restrict_violation';
end
$$;
create trigger insert_only before update or delete on ledger_transfer for each row execute function ledger_refuse();
create trigger insert_only before update or delete on ledger_entry for each row execute function ledger_refuse();
create trigger insert_only before update or delete on ledger_account for each row execute function ledger_refuse();
create trigger kept before delete on ledger_hold for each row execute function ledger_refuse();
create trigger kept before delete on ledger_balance for each row execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_transfer execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_entry execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_account execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_hold execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_balance execute function ledger_refuse();

create function ledger_hold_once() returns trigger language plpgsql as $$
begin
  if old.state <> 'placed' then
    raise exception 'hold % has ended', old.id using errcode = 'restrict_violation';
  end if;
  if (new.id, new.key, new.account_id, new.purpose, new.amount, new.placed_at)
      is distinct from (old.id, old.key, old.account_id, old.purpose, old.amount, old.placed_at)
    or new.captured < old.captured then
    raise exception 'hold % can only be captured or ended', old.id using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;
create trigger once before update on ledger_hold for each row execute function ledger_hold_once();

create function ledger_transfer_balances() returns trigger language plpgsql as $$
begin
  if (select sum(amount) from ledger_entry where transfer_id = new.transfer_id and currency = new.currency) <> 0 then
    raise exception 'the entries of transfer % do not sum to zero', new.transfer_id using errcode = 'check_violation';
  end if;
  return null;
end
$$;
create constraint trigger balanced after insert on ledger_entry deferrable initially deferred
  for each row execute function ledger_transfer_balances();

-- The account of a kind and owner, made when it is missing.
create function ledger_account_of(p_kind text, p_owner uuid, p_currency text, p_at timestamptz) returns bigint
language plpgsql as $$
declare
  owner uuid := p_owner;
  kind_row ledger_account_kind;
  found_id bigint;
begin
  select * into strict kind_row from ledger_account_kind k where k.kind = p_kind;
  if not kind_row.owned then
    owner := '00000000-0000-0000-0000-000000000000';
  end if;
  select id into found_id from ledger_account a where a.owner_id = owner and a.kind = p_kind and a.currency = p_currency;
  if found_id is not null then
    return found_id;
  end if;
  insert into ledger_account (kind, owner_id, currency, created_at) values (p_kind, owner, p_currency, p_at)
    on conflict do nothing returning id into found_id;
  if found_id is null then
    select id into strict found_id from ledger_account a where a.owner_id = owner and a.kind = p_kind and a.currency = p_currency;
  elsif kind_row.balance_kept then
    insert into ledger_balance (account_id) values (found_id);
  end if;
  return found_id;
end
$$;

-- Writes a transfer and its entries; null when the key has been used. Touches no balance.
create function ledger_write(
  p_key text, p_code text, p_from bigint, p_to bigint, p_currency text, p_amount bigint, p_hold uuid, p_at timestamptz
) returns bigint language plpgsql as $$
declare
  made bigint;
begin
  with transfer as (
    insert into ledger_transfer (key, code, currency, amount, hold_id, at)
      values (p_key, p_code, p_currency, p_amount, p_hold, p_at)
      on conflict (key) do nothing returning id
  ), entries as (
    insert into ledger_entry (transfer_id, line, account_id, currency, amount, at)
      select id, 1, p_from, p_currency, -p_amount, p_at from transfer
      union all
      select id, 2, p_to, p_currency, p_amount, p_at from transfer
  )
  select id into made from transfer;
  return made;
end
$$;

-- The transfer that a key made before: 'repeated' when it says the same, 'conflict' when not; no row when there is none.
create function ledger_earlier(
  p_key text, p_code text, p_from bigint, p_to bigint, p_currency text, p_amount bigint, p_hold uuid
) returns table (outcome text, transfer_id bigint) language sql as $$
  select case when (t.code, t.currency, t.amount) = (p_code, p_currency, p_amount) and t.hold_id is not distinct from p_hold
      and (select array_agg(e.account_id order by e.line) from ledger_entry e where e.transfer_id = t.id) = array[p_from, p_to]
    then 'repeated' else 'conflict' end, t.id
  from ledger_transfer t where t.key = p_key
$$;

-- Moves money that no hold covers, between the two accounts that the code names for this owner.
-- outcome: posted | repeated (the first result) | conflict (the key said something else) | short (available tells what is there).
create function ledger_post(
  p_key text, p_code text, p_owner uuid, p_currency text, p_amount bigint, p_at timestamptz
) returns table (outcome text, transfer_id bigint, available bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  movement ledger_movement;
  from_account bigint;
  to_account bigint;
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  kept_account bigint;
  change bigint;
  made bigint;
begin
  select m.* into strict movement from ledger_movement m where m.code = p_code;
  -- Kinds with owners have no account of nobody's, and the others no account of somebody's.
  select max(a.id) filter (where a.kind = movement.from_kind), max(a.id) filter (where a.kind = movement.to_kind)
    into from_account, to_account
    from ledger_account a
    where a.owner_id in (p_owner, nobody) and a.kind in (movement.from_kind, movement.to_kind) and a.currency = p_currency;
  if from_account is null or to_account is null then
    from_account := ledger_account_of(movement.from_kind, p_owner, p_currency, p_at);
    to_account := ledger_account_of(movement.to_kind, p_owner, p_currency, p_at);
  end if;
  if movement.from_kind = 'user' then
    kept_account := from_account;
    change := -p_amount;
  elsif movement.to_kind = 'user' then
    kept_account := to_account;
    change := p_amount;
  end if;
  if kept_account is not null then
    update ledger_balance b set balance = b.balance + change
      where b.account_id = kept_account and b.balance - b.held + change >= 0;
    if not found then
      return query select e.outcome, e.transfer_id, 0::bigint
        from ledger_earlier(p_key, p_code, from_account, to_account, p_currency, p_amount, null) e;
      if not found then
        return query select 'short', null::bigint, b.balance - b.held from ledger_balance b where b.account_id = kept_account;
      end if;
      return;
    end if;
  end if;
  made := ledger_write(p_key, p_code, from_account, to_account, p_currency, p_amount, null, p_at);
  if made is null then
    if kept_account is not null then
      update ledger_balance b set balance = b.balance - change where b.account_id = kept_account;
    end if;
    return query select e.outcome, e.transfer_id, 0::bigint
      from ledger_earlier(p_key, p_code, from_account, to_account, p_currency, p_amount, null) e;
    return;
  end if;
  return query select 'posted', made, 0::bigint;
end
$$;

-- Locks the balance of a user until the transaction ends and returns it; no row when there is no account.
create function ledger_lock_balance(p_owner uuid, p_currency text) returns table (balance bigint, held bigint)
language sql security definer set search_path = public, pg_temp as $$
  select b.balance, b.held from ledger_balance b
  where b.account_id = (select a.id from ledger_account a where a.owner_id = p_owner and a.kind = 'user' and a.currency = p_currency)
  for update
$$;

-- Locks the balances behind these holds, in one order, and returns what is left of each.
create function ledger_lock_holds(p_holds uuid[]) returns table (hold_id uuid, account_id bigint, rest bigint, state text)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
begin
  perform from ledger_balance b
    where b.account_id in (select h.account_id from ledger_hold h where h.id = any (p_holds))
    order by b.account_id for update;
  return query select h.id, h.account_id, h.amount - h.captured, h.state
    from ledger_hold h where h.id = any (p_holds) order by h.id for update;
end
$$;

-- Reserves money. outcome: placed | repeated | conflict | short.
create function ledger_place_hold(
  p_id uuid, p_key text, p_purpose text, p_owner uuid, p_currency text, p_amount bigint, p_at timestamptz, p_expires_at timestamptz
) returns table (outcome text, hold_id uuid, available bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  account bigint := ledger_account_of('user', p_owner, p_currency, p_at);
  taken boolean;
begin
  update ledger_balance b set held = b.held + p_amount where b.account_id = account and b.balance - b.held >= p_amount;
  taken := found;
  if taken then
    insert into ledger_hold (id, key, account_id, purpose, amount, placed_at, expires_at)
      values (p_id, p_key, account, p_purpose, p_amount, p_at, p_expires_at) on conflict (key) do nothing;
    if found then
      return query select 'placed', p_id, 0::bigint;
      return;
    end if;
    update ledger_balance b set held = b.held - p_amount where b.account_id = account;
  end if;
  return query select
    case when (h.account_id, h.purpose, h.amount) = (account, p_purpose, p_amount) then 'repeated' else 'conflict' end, h.id, 0::bigint
    from ledger_hold h where h.key = p_key;
  if not found then
    return query select 'short', null::uuid, b.balance - b.held from ledger_balance b where b.account_id = account;
  end if;
end
$$;

-- Takes p_amount of a hold by the movement p_code and, with p_ends, gives back the rest.
-- outcome: posted | repeated | conflict | ended (before, by something else) | exceeds (more than is left) | unknown.
create function ledger_capture(
  p_hold uuid, p_key text, p_code text, p_amount bigint, p_ends boolean, p_at timestamptz
) returns table (outcome text, transfer_id bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  hold ledger_hold;
  account ledger_account;
  to_account bigint;
  to_kind text;
  made bigint;
begin
  select a.* into account from ledger_account a where a.id = (select h.account_id from ledger_hold h where h.id = p_hold);
  if account.id is null then
    return query select 'unknown', null::bigint;
    return;
  end if;
  select m.to_kind into strict to_kind from ledger_movement m where m.code = p_code and m.from_kind = account.kind;
  to_account := ledger_account_of(to_kind, account.owner_id, account.currency, p_at);
  perform from ledger_balance b where b.account_id = account.id for update;
  select h.* into hold from ledger_hold h where h.id = p_hold for update;
  if hold.state <> 'placed' then
    return query select e.outcome, e.transfer_id
      from ledger_earlier(p_key, p_code, account.id, to_account, account.currency, p_amount, p_hold) e;
    if not found then
      return query select 'ended', null::bigint;
    end if;
    return;
  end if;
  if p_amount > hold.amount - hold.captured then
    return query select 'exceeds', null::bigint;
    return;
  end if;
  if p_amount > 0 then
    made := ledger_write(p_key, p_code, account.id, to_account, account.currency, p_amount, p_hold, p_at);
    if made is null then
      return query select e.outcome, e.transfer_id
        from ledger_earlier(p_key, p_code, account.id, to_account, account.currency, p_amount, p_hold) e;
      return;
    end if;
  end if;
  update ledger_hold h set
      captured = h.captured + p_amount,
      state = case when not p_ends then 'placed' when h.captured + p_amount > 0 then 'captured' else 'released' end,
      ended_at = case when p_ends then p_at end
    where h.id = p_hold;
  update ledger_balance b set
      balance = b.balance - p_amount,
      held = b.held - case when p_ends then hold.amount - hold.captured else p_amount end
    where b.account_id = account.id;
  return query select 'posted', made;
end
$$;

-- Ends a hold and gives back what was not captured. False when it had ended before.
create function ledger_end_hold(p_hold uuid, p_state text, p_at timestamptz) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  hold ledger_hold;
begin
  perform from ledger_balance b where b.account_id = (select h.account_id from ledger_hold h where h.id = p_hold) for update;
  select h.* into hold from ledger_hold h where h.id = p_hold for update;
  if hold.id is null or hold.state <> 'placed' then
    return false;
  end if;
  update ledger_hold h set state = case when h.captured > 0 then 'captured' else p_state end, ended_at = p_at where h.id = p_hold;
  update ledger_balance b set held = b.held - (hold.amount - hold.captured) where b.account_id = hold.account_id;
  return true;
end
$$;

-- What entries and holds say of each kept account.
create view ledger_projection as
  select a.id as account_id, a.owner_id, a.currency,
    coalesce((select sum(e.amount) from ledger_entry e where e.account_id = a.id), 0)::bigint as balance,
    coalesce((select sum(h.amount - h.captured) from ledger_hold h where h.account_id = a.id and h.state = 'placed'), 0)::bigint as held
  from ledger_account a join ledger_account_kind k on k.kind = a.kind where k.balance_kept;

-- Writes every balance anew from entries and holds; returns how many were wrong.
create function ledger_rebuild_balances() returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  wrong bigint;
begin
  perform from ledger_balance order by account_id for update;
  update ledger_balance b set balance = p.balance, held = p.held from ledger_projection p
    where p.account_id = b.account_id and (b.balance, b.held) <> (p.balance, p.held);
  get diagnostics wrong = row_count;
  return wrong;
end
$$;

revoke insert, update, delete, truncate on ledger_account_kind, ledger_movement, ledger_account, ledger_transfer, ledger_entry,
  ledger_balance, ledger_hold, ledger_projection from slipway_app;
grant select on ledger_account_kind, ledger_movement, ledger_account, ledger_transfer, ledger_entry, ledger_balance, ledger_hold,
  ledger_projection to slipway_app;
revoke execute on function ledger_account_of, ledger_write, ledger_earlier, ledger_post, ledger_lock_balance, ledger_lock_holds,
  ledger_place_hold, ledger_capture, ledger_end_hold, ledger_rebuild_balances from public;
grant execute on function ledger_post, ledger_lock_balance, ledger_lock_holds, ledger_place_hold, ledger_capture, ledger_end_hold,
  ledger_rebuild_balances to slipway_app;
