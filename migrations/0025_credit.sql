-- Credit beside card money: what administrators give lies in pots of its own, one for each grant that expires and one for all
-- that does not, and is spent before card money, the soonest expiring first.
--
-- A user's balance stays one locked row: `balance` is everything, `credit` what of it lies in pots. Whoever has no credit is
-- served by the same statements as before. Every change of a pot is made under the lock of its owner's balance row.
lock table ledger_balance in access exclusive mode;

insert into ledger_account_kind (kind, owned, balance_kept) values ('credit', true, false);

alter table ledger_account
  -- The grant that a pot of credit is of; the nil UUID for every other account, and for the pot of what never expires.
  add column pot uuid not null default '00000000-0000-0000-0000-000000000000',
  drop constraint ledger_account_owner_id_kind_currency_key,
  add constraint ledger_account_once unique (owner_id, kind, currency, pot);

alter table ledger_movement
  -- What the user has of credit is taken before anything is taken from from_kind.
  add column credit_first boolean not null default false,
  -- Transfers up to the id went to that kind.
  add column to_kind_before text references ledger_account_kind,
  add column changed_after bigint;
update ledger_movement set credit_first = true where code in ('charge.gpu', 'charge.tokens', 'adjustment.debit');
update ledger_movement set to_kind = 'credit', to_kind_before = to_kind, changed_after = (select coalesce(max(id), 0) from ledger_transfer)
  where code in ('credit.grant', 'adjustment.credit');
insert into ledger_movement (code, from_kind, to_kind) values
  -- What nobody spent in time goes back to where it was granted from.
  ('credit.expire', 'credit', 'credit.granted'),
  -- What was credit before there were pots.
  ('credit.split', 'user', 'credit');

alter table ledger_balance
  add column credit bigint not null default 0,
  add column credit_held bigint not null default 0,
  add constraint ledger_balance_credit check (credit between 0 and balance and credit_held between 0 and credit),
  -- Holds of card money are covered by card money.
  add constraint ledger_balance_card check (held - credit_held between 0 and balance - credit);

create table ledger_pot (
  account_id bigint primary key references ledger_account (id),
  -- The account of its owner's card money, whose balance row is its lock.
  purse_id bigint not null references ledger_account (id),
  -- From then on no hold takes of it; null: it does not expire.
  expires_at timestamptz,
  -- Projections of entries, and of what holds have taken of it.
  balance bigint not null default 0 check (balance >= 0),
  held bigint not null default 0 check (held between 0 and balance),
  -- How often it expired: what a hold gave back after the end expires, too.
  expirations int not null default 0
) with (fillfactor = 70);
create index ledger_pot_live on ledger_pot (purse_id, expires_at, account_id) where balance > 0;
create index ledger_pot_due on ledger_pot (expires_at, account_id) where expires_at is not null and balance > held;

create function ledger_pot_same() returns trigger language plpgsql as $$
begin
  if (new.account_id, new.purse_id, new.expires_at) is distinct from (old.account_id, old.purse_id, old.expires_at) then
    raise exception 'pot % keeps its owner and its end', old.account_id using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;
create trigger same before update on ledger_pot for each row execute function ledger_pot_same();
create trigger kept before delete on ledger_pot for each row execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_pot execute function ledger_refuse();

-- What a hold has taken of credit; the rest of the hold is card money.
create table ledger_hold_credit (
  hold_id uuid not null references ledger_hold (id),
  account_id bigint not null references ledger_pot (account_id),
  amount bigint not null check (amount > 0),
  captured bigint not null default 0 check (captured between 0 and amount),
  primary key (hold_id, account_id)
) with (fillfactor = 70);
create index ledger_hold_credit_pot on ledger_hold_credit (account_id);
create trigger kept before delete on ledger_hold_credit for each row execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_hold_credit execute function ledger_refuse();

-- The sum of its rows in ledger_hold_credit: 0 for most, which then need no look there.
alter table ledger_hold add column credit bigint not null default 0 check (credit between 0 and amount);

-- The pot of a grant, made when it is missing; the nil UUID is the pot of what never expires.
create function ledger_pot_of(p_owner uuid, p_currency text, p_pot uuid, p_expires_at timestamptz, p_at timestamptz) returns bigint
language plpgsql as $$
declare
  found_id bigint;
begin
  select id into found_id from ledger_account a
    where a.owner_id = p_owner and a.kind = 'credit' and a.currency = p_currency and a.pot = p_pot;
  if found_id is not null then
    return found_id;
  end if;
  insert into ledger_account (kind, owner_id, currency, pot, created_at) values ('credit', p_owner, p_currency, p_pot, p_at)
    on conflict do nothing returning id into found_id;
  if found_id is null then
    select id into strict found_id from ledger_account a
      where a.owner_id = p_owner and a.kind = 'credit' and a.currency = p_currency and a.pot = p_pot;
  else
    insert into ledger_pot (account_id, purse_id, expires_at)
      values (found_id, ledger_account_of('user', p_owner, p_currency, p_at), p_expires_at);
  end if;
  return found_id;
end
$$;

create or replace function ledger_account_of(p_kind text, p_owner uuid, p_currency text, p_at timestamptz) returns bigint
language plpgsql as $$
declare
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  owner uuid := p_owner;
  kind_row ledger_account_kind;
  found_id bigint;
begin
  if p_kind = 'credit' then
    return ledger_pot_of(p_owner, p_currency, nobody, null, p_at);
  end if;
  select * into strict kind_row from ledger_account_kind k where k.kind = p_kind;
  if not kind_row.owned then
    owner := nobody;
  end if;
  select id into found_id from ledger_account a
    where a.owner_id = owner and a.kind = p_kind and a.currency = p_currency and a.pot = nobody;
  if found_id is not null then
    return found_id;
  end if;
  insert into ledger_account (kind, owner_id, currency, created_at) values (p_kind, owner, p_currency, p_at)
    on conflict do nothing returning id into found_id;
  if found_id is null then
    select id into strict found_id from ledger_account a
      where a.owner_id = owner and a.kind = p_kind and a.currency = p_currency and a.pot = nobody;
  elsif kind_row.balance_kept then
    insert into ledger_balance (account_id) values (found_id);
  end if;
  return found_id;
end
$$;

-- As ledger_write, from several accounts: lines 1, 3, 4 … are where it comes from, line 2 where it goes.
create function ledger_write_drawn(
  p_key text, p_code text, p_from bigint[], p_amounts bigint[], p_to bigint, p_currency text, p_amount bigint, p_hold uuid, p_at timestamptz
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
      select t.id, case when f.ord = 1 then 1 else f.ord + 1 end, f.account_id, p_currency, -f.amount, p_at
        from transfer t, unnest(p_from, p_amounts) with ordinality as f (account_id, amount, ord)
      union all
      select id, 2, p_to, p_currency, p_amount, p_at from transfer
  )
  select id into made from transfer;
  return made;
end
$$;

-- As before; a user's pots count as the user.
create or replace function ledger_earlier(
  p_key text, p_code text, p_from bigint, p_to bigint, p_currency text, p_amount bigint, p_hold uuid
) returns table (outcome text, transfer_id bigint) language sql as $$
  select case when (t.code, t.currency, t.amount) = (p_code, p_currency, p_amount) and t.hold_id is not distinct from p_hold
      and exists (select from ledger_entry e where e.transfer_id = t.id and e.line = 2 and e.account_id = p_to)
      and not exists (select from ledger_entry e where e.transfer_id = t.id and e.line <> 2 and e.account_id <> p_from
        and not exists (select from ledger_pot p where p.account_id = e.account_id and p.purse_id = p_from))
    then 'repeated' else 'conflict' end, t.id
  from ledger_transfer t where t.key = p_key
$$;

-- What p_amount would take of a user's credit, the soonest expiring first: only what has not expired and is not held.
create function ledger_plan_credit(p_purse bigint, p_amount bigint, p_at timestamptz)
returns table (accounts bigint[], amounts bigint[], total bigint) language sql stable as $$
  select coalesce(array_agg(account_id order by ord), '{}'), coalesce(array_agg(take order by ord), '{}'), coalesce(sum(take), 0)::bigint
  from (
    select account_id, ord, least(free, p_amount - (upto - free)) as take, upto - free as before
    from (
      select p.account_id, p.balance - p.held as free,
        row_number() over pots as ord, (sum(p.balance - p.held) over pots)::bigint as upto
      from ledger_pot p
      where p.purse_id = p_purse and p.balance > 0 and p.balance > p.held and (p.expires_at is null or p.expires_at > p_at)
      window pots as (order by p.expires_at, p.account_id rows unbounded preceding)
    ) ordered
  ) planned
  where before < p_amount
$$;

-- What of a user's credit has expired and still lies there, unheld: nobody can spend it.
create function ledger_expired(p_purse bigint, p_at timestamptz) returns bigint language sql stable as $$
  select coalesce(sum(p.balance - p.held), 0)::bigint from ledger_pot p
  where p.purse_id = p_purse and p.balance > 0 and p.expires_at <= p_at
$$;

-- Gives credit into a pot of its own, or into that of what never expires (the nil UUID). outcome: posted | repeated | conflict.
create function ledger_grant(
  p_key text, p_code text, p_owner uuid, p_currency text, p_amount bigint, p_pot uuid, p_expires_at timestamptz, p_at timestamptz
) returns table (outcome text, transfer_id bigint, available bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  giver text;
  purse bigint;
  pot_account bigint;
  made bigint;
begin
  select m.from_kind into strict giver from ledger_movement m where m.code = p_code and m.to_kind = 'credit' and m.from_kind <> 'user';
  purse := ledger_account_of('user', p_owner, p_currency, p_at);
  perform from ledger_balance b where b.account_id = purse for update;
  return query select
      case when (t.code, t.currency, t.amount, a.owner_id) = (p_code, p_currency, p_amount, p_owner)
        and p.expires_at is not distinct from p_expires_at then 'repeated' else 'conflict' end, t.id, 0::bigint
    from ledger_transfer t join ledger_entry e on e.transfer_id = t.id and e.line = 2 join ledger_account a on a.id = e.account_id
      left join ledger_pot p on p.account_id = a.id
    where t.key = p_key;
  if found then
    return;
  end if;
  pot_account := ledger_pot_of(p_owner, p_currency, p_pot, p_expires_at, p_at);
  made := ledger_write(p_key, p_code, ledger_account_of(giver, p_owner, p_currency, p_at), pot_account, p_currency, p_amount, null, p_at);
  if made is null then
    -- Somebody else's transaction made it since.
    return query select 'conflict', null::bigint, 0::bigint;
    return;
  end if;
  update ledger_pot p set balance = p.balance + p_amount where p.account_id = pot_account;
  update ledger_balance b set balance = b.balance + p_amount, credit = b.credit + p_amount where b.account_id = purse;
  return query select 'posted', made, 0::bigint;
end
$$;

-- Ends what is left of an expired pot and not held; no row when there is nothing.
create function ledger_expire(p_account bigint, p_at timestamptz) returns table (transfer_id bigint, amount bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  account ledger_account;
  pot ledger_pot;
  rest bigint;
  made bigint;
begin
  select a.* into account from ledger_account a where a.id = p_account and a.kind = 'credit';
  perform from ledger_balance b where b.account_id = (select p.purse_id from ledger_pot p where p.account_id = p_account) for update;
  select p.* into pot from ledger_pot p where p.account_id = p_account;
  rest := pot.balance - pot.held;
  if pot.account_id is null or pot.expires_at is null or pot.expires_at > p_at or rest = 0 then
    return;
  end if;
  made := ledger_write('expire:' || account.pot || ':' || pot.expirations + 1, 'credit.expire', p_account,
    ledger_account_of('credit.granted', account.owner_id, account.currency, p_at), account.currency, rest, null, p_at);
  if made is null then
    raise exception 'pot % expired before', p_account using errcode = 'restrict_violation';
  end if;
  update ledger_pot p set balance = p.balance - rest, expirations = p.expirations + 1 where p.account_id = p_account;
  update ledger_balance b set balance = b.balance - rest, credit = b.credit - rest where b.account_id = pot.purse_id;
  return query select made, rest;
end
$$;

-- What ledger_post does for a user who has credit: takes of it first where the code says so, else of card money alone.
create function ledger_post_drawn(
  p_key text, movement ledger_movement, p_purse bigint, p_to bigint, p_currency text, p_amount bigint, p_at timestamptz
) returns table (outcome text, transfer_id bigint, available bigint) language plpgsql as $$
#variable_conflict use_column
declare
  purse ledger_balance;
  plan record;
  card bigint;
  made bigint;
begin
  select b.* into purse from ledger_balance b where b.account_id = p_purse for update;
  card := purse.balance - purse.credit - (purse.held - purse.credit_held);
  select * into plan from ledger_plan_credit(p_purse, case when movement.credit_first then p_amount else 0 end, p_at);
  return query select e.outcome, e.transfer_id, 0::bigint
    from ledger_earlier(p_key, movement.code, p_purse, p_to, p_currency, p_amount, null) e;
  if found then
    return;
  end if;
  if p_amount - plan.total > card then
    return query select 'short', null::bigint, card + plan.total;
    return;
  end if;
  made := ledger_write_drawn(p_key, movement.code,
    plan.accounts || case when p_amount > plan.total then array[p_purse] else '{}' end,
    plan.amounts || case when p_amount > plan.total then array[p_amount - plan.total] else '{}' end,
    p_to, p_currency, p_amount, null, p_at);
  if made is null then
    return query select 'conflict', null::bigint, 0::bigint;
    return;
  end if;
  update ledger_pot p set balance = p.balance - d.amount
    from unnest(plan.accounts, plan.amounts) as d (account_id, amount) where p.account_id = d.account_id;
  update ledger_balance b set balance = b.balance - p_amount, credit = b.credit - plan.total where b.account_id = p_purse;
  return query select 'posted', made, 0::bigint;
end
$$;

create or replace function ledger_post(
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
  if movement.to_kind = 'credit' then
    return query select g.outcome, g.transfer_id, g.available
      from ledger_grant(p_key, p_code, p_owner, p_currency, p_amount, nobody, null, p_at) g;
    return;
  end if;
  if movement.from_kind = 'credit' then
    raise exception 'pots end by ledger_expire alone' using errcode = 'restrict_violation';
  end if;
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
      where b.account_id = kept_account and b.balance - b.held + change >= 0 and (change > 0 or b.credit = 0);
    if not found then
      if change < 0 and (select b.credit > 0 from ledger_balance b where b.account_id = kept_account for update) then
        return query select d.outcome, d.transfer_id, d.available
          from ledger_post_drawn(p_key, movement, from_account, to_account, p_currency, p_amount, p_at) d;
        return;
      end if;
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

-- Locks the balance of a user until the transaction ends and returns it: `expired` is what of it nobody can spend any more; no row
-- when there is no account.
create function ledger_lock_purse(p_owner uuid, p_currency text, p_at timestamptz)
returns table (account_id bigint, balance bigint, held bigint, credit bigint, credit_held bigint, expired bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  purse ledger_balance;
begin
  select b.* into purse from ledger_balance b
    where b.account_id = (select a.id from ledger_account a
      where a.owner_id = p_owner and a.kind = 'user' and a.currency = p_currency)
    for update;
  if purse.account_id is not null then
    return query select purse.account_id, purse.balance, purse.held, purse.credit, purse.credit_held,
      case when purse.credit > 0 then ledger_expired(purse.account_id, p_at) else 0::bigint end;
  end if;
end
$$;

-- What ledger_place_hold does for a user who has credit. Money that goes back to a card is never taken of credit.
create function ledger_place_drawn(
  p_id uuid, p_key text, p_purpose text, p_purse bigint, p_amount bigint, p_at timestamptz, p_expires_at timestamptz
) returns table (outcome text, hold_id uuid, available bigint) language plpgsql as $$
#variable_conflict use_column
declare
  purse ledger_balance;
  plan record;
  card bigint;
begin
  select b.* into purse from ledger_balance b where b.account_id = p_purse for update;
  return query select
    case when (h.account_id, h.purpose, h.amount) = (p_purse, p_purpose, p_amount) then 'repeated' else 'conflict' end, h.id, 0::bigint
    from ledger_hold h where h.key = p_key;
  if found then
    return;
  end if;
  card := purse.balance - purse.credit - (purse.held - purse.credit_held);
  select * into plan from ledger_plan_credit(p_purse, case when p_purpose = 'refund' then 0 else p_amount end, p_at);
  if p_amount - plan.total > card then
    return query select 'short', null::uuid, card + plan.total;
    return;
  end if;
  insert into ledger_hold (id, key, account_id, purpose, amount, credit, placed_at, expires_at)
    values (p_id, p_key, p_purse, p_purpose, p_amount, plan.total, p_at, p_expires_at) on conflict (key) do nothing;
  if not found then
    return query select 'conflict', null::uuid, 0::bigint;
    return;
  end if;
  insert into ledger_hold_credit (hold_id, account_id, amount) select p_id, d.account_id, d.amount
    from unnest(plan.accounts, plan.amounts) as d (account_id, amount);
  update ledger_pot p set held = p.held + d.amount
    from unnest(plan.accounts, plan.amounts) as d (account_id, amount) where p.account_id = d.account_id;
  update ledger_balance b set held = b.held + p_amount, credit_held = b.credit_held + plan.total where b.account_id = p_purse;
  return query select 'placed', p_id, 0::bigint;
end
$$;

create or replace function ledger_place_hold(
  p_id uuid, p_key text, p_purpose text, p_owner uuid, p_currency text, p_amount bigint, p_at timestamptz, p_expires_at timestamptz
) returns table (outcome text, hold_id uuid, available bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  account bigint := ledger_account_of('user', p_owner, p_currency, p_at);
  taken boolean;
begin
  update ledger_balance b set held = b.held + p_amount
    where b.account_id = account and b.balance - b.held >= p_amount and b.credit = 0;
  taken := found;
  if taken then
    insert into ledger_hold (id, key, account_id, purpose, amount, placed_at, expires_at)
      values (p_id, p_key, account, p_purpose, p_amount, p_at, p_expires_at) on conflict (key) do nothing;
    if found then
      return query select 'placed', p_id, 0::bigint;
      return;
    end if;
    update ledger_balance b set held = b.held - p_amount where b.account_id = account;
  elsif (select b.credit > 0 from ledger_balance b where b.account_id = account for update) then
    return query select d.outcome, d.hold_id, d.available
      from ledger_place_drawn(p_id, p_key, p_purpose, account, p_amount, p_at, p_expires_at) d;
    return;
  end if;
  return query select
    case when (h.account_id, h.purpose, h.amount) = (account, p_purpose, p_amount) then 'repeated' else 'conflict' end, h.id, 0::bigint
    from ledger_hold h where h.key = p_key;
  if not found then
    return query select 'short', null::uuid, b.balance - b.held from ledger_balance b where b.account_id = account;
  end if;
end
$$;

-- What p_amount takes of what a hold has of credit, the soonest expiring first, and with p_ends gives the rest back to its pots.
-- Returns where all of it comes from, the purse last. The transfer is written between the plan and this.
create function ledger_plan_held(p_hold uuid, p_purse bigint, p_amount bigint)
returns table (accounts bigint[], amounts bigint[], total bigint) language sql stable as $$
  select coalesce(array_agg(account_id order by ord), '{}'), coalesce(array_agg(take order by ord), '{}'), coalesce(sum(take), 0)::bigint
  from (
    select account_id, ord, least(rest, p_amount - (upto - rest)) as take, upto - rest as before
    from (
      select c.account_id, c.amount - c.captured as rest, row_number() over parts as ord,
        (sum(c.amount - c.captured) over parts)::bigint as upto
      from ledger_hold_credit c join ledger_pot p on p.account_id = c.account_id
      where c.hold_id = p_hold and c.amount > c.captured
      window parts as (order by p.expires_at, p.account_id rows unbounded preceding)
    ) ordered
  ) planned
  where before < p_amount
$$;

-- Gives back to their pots what a hold has of credit; returns how much.
create function ledger_free_credit(p_hold uuid) returns bigint language sql as $$
  with freed as (
    update ledger_pot p set held = p.held - (c.amount - c.captured)
      from ledger_hold_credit c where c.hold_id = p_hold and c.account_id = p.account_id and c.amount > c.captured
      returning c.amount - c.captured as rest
  )
  select coalesce(sum(rest), 0)::bigint from freed
$$;

create or replace function ledger_capture(
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
  plan record;
  of_credit bigint := 0;
  freed bigint := 0;
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
    return query select e.outcome, e.transfer_id
      from ledger_earlier(p_key, p_code, account.id, to_account, account.currency, p_amount, p_hold) e;
    if not found then
      return query select 'exceeds', null::bigint;
    end if;
    return;
  end if;
  if p_amount > 0 then
    if hold.credit > 0 then
      select * into plan from ledger_plan_held(p_hold, account.id, p_amount);
      of_credit := plan.total;
      made := ledger_write_drawn(p_key, p_code,
        plan.accounts || case when p_amount > of_credit then array[account.id] else '{}' end,
        plan.amounts || case when p_amount > of_credit then array[p_amount - of_credit] else '{}' end,
        to_account, account.currency, p_amount, p_hold, p_at);
    else
      made := ledger_write(p_key, p_code, account.id, to_account, account.currency, p_amount, p_hold, p_at);
    end if;
    if made is null then
      return query select e.outcome, e.transfer_id
        from ledger_earlier(p_key, p_code, account.id, to_account, account.currency, p_amount, p_hold) e;
      return;
    end if;
  end if;
  if of_credit > 0 then
    update ledger_hold_credit c set captured = c.captured + d.amount
      from unnest(plan.accounts, plan.amounts) as d (account_id, amount) where c.hold_id = p_hold and c.account_id = d.account_id;
    update ledger_pot p set balance = p.balance - d.amount, held = p.held - d.amount
      from unnest(plan.accounts, plan.amounts) as d (account_id, amount) where p.account_id = d.account_id;
  end if;
  if p_ends and hold.credit > 0 then
    freed := ledger_free_credit(p_hold);
  end if;
  update ledger_hold h set
      captured = h.captured + p_amount,
      state = case when not p_ends then 'placed' when h.captured + p_amount > 0 then 'captured' else 'released' end,
      ended_at = case when p_ends then p_at end
    where h.id = p_hold;
  update ledger_balance b set
      balance = b.balance - p_amount,
      held = b.held - case when p_ends then hold.amount - hold.captured else p_amount end,
      credit = b.credit - of_credit,
      credit_held = b.credit_held - of_credit - freed
    where b.account_id = account.id;
  return query select 'posted', made;
end
$$;

create or replace function ledger_end_hold(p_hold uuid, p_state text, p_at timestamptz) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  hold ledger_hold;
  freed bigint := 0;
begin
  perform from ledger_balance b where b.account_id = (select h.account_id from ledger_hold h where h.id = p_hold) for update;
  select h.* into hold from ledger_hold h where h.id = p_hold for update;
  if hold.id is null or hold.state <> 'placed' then
    return false;
  end if;
  if hold.credit > 0 then
    freed := ledger_free_credit(p_hold);
  end if;
  update ledger_hold h set state = case when h.captured > 0 then 'captured' else p_state end, ended_at = p_at where h.id = p_hold;
  update ledger_balance b set held = b.held - (hold.amount - hold.captured), credit_held = b.credit_held - freed
    where b.account_id = hold.account_id;
  return true;
end
$$;

-- What entries and holds say of each pot.
create view ledger_pot_projection as
  select p.account_id, p.purse_id,
    coalesce((select sum(e.amount) from ledger_entry e where e.account_id = p.account_id), 0)::bigint as balance,
    coalesce((select sum(c.amount - c.captured) from ledger_hold_credit c join ledger_hold h on h.id = c.hold_id
      where c.account_id = p.account_id and h.state = 'placed'), 0)::bigint as held
  from ledger_pot p;

create or replace view ledger_projection as
  select a.id as account_id, a.owner_id, a.currency,
    (coalesce((select sum(e.amount) from ledger_entry e where e.account_id = a.id), 0) + pots.balance)::bigint as balance,
    coalesce((select sum(h.amount - h.captured) from ledger_hold h where h.account_id = a.id and h.state = 'placed'), 0)::bigint as held,
    pots.balance as credit, pots.held as credit_held
  from ledger_account a join ledger_account_kind k on k.kind = a.kind
    cross join lateral (
      select coalesce(sum(p.balance), 0)::bigint as balance, coalesce(sum(p.held), 0)::bigint as held
      from ledger_pot_projection p where p.purse_id = a.id
    ) pots
  where k.balance_kept;
create index ledger_pot_purse on ledger_pot (purse_id);

create or replace function ledger_rebuild_balances() returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  wrong bigint;
  wrong_pots bigint;
begin
  perform from ledger_balance order by account_id for update;
  update ledger_pot b set balance = p.balance, held = p.held from ledger_pot_projection p
    where p.account_id = b.account_id and (b.balance, b.held) <> (p.balance, p.held);
  get diagnostics wrong_pots = row_count;
  update ledger_balance b set balance = p.balance, held = p.held, credit = p.credit, credit_held = p.credit_held
    from ledger_projection p
    where p.account_id = b.account_id
      and (b.balance, b.held, b.credit, b.credit_held) <> (p.balance, p.held, p.credit, p.credit_held);
  get diagnostics wrong = row_count;
  return wrong + wrong_pots;
end
$$;

-- What was granted before there were pots becomes credit that does not expire: of each balance what is left of it when every
-- movement there was is gone through in order, credit spent first, and refunds, disputes and debts paid by card money as long as
-- there was some. What is on its way back to a card stays card money. Holds that are placed take of it first.
do $$
declare
  account record;
  entry record;
  hold record;
  credit_left bigint;
  card_left bigint;
  pot_account bigint;
  free_left bigint;
  take bigint;
begin
  for account in
    select a.id, a.owner_id, a.currency, b.balance, b.held from ledger_account a join ledger_balance b on b.account_id = a.id
    where a.kind = 'user' and b.balance > 0 and exists (
      select from ledger_entry e join ledger_transfer t on t.id = e.transfer_id
      where e.account_id = a.id and e.amount > 0 and t.code in ('credit.grant', 'adjustment.credit'))
    order by a.id
  loop
    credit_left := 0;
    card_left := 0;
    for entry in
      select e.amount, t.code from ledger_entry e join ledger_transfer t on t.id = e.transfer_id
      where e.account_id = account.id order by e.transfer_id, e.line
    loop
      if entry.amount > 0 and entry.code in ('credit.grant', 'adjustment.credit') then
        credit_left := credit_left + entry.amount;
      elsif entry.amount > 0 then
        card_left := card_left + entry.amount;
      elsif entry.code in ('refund.card', 'dispute.card', 'settle.receivable') then
        card_left := card_left + entry.amount;
        credit_left := credit_left + least(card_left, 0);
        card_left := greatest(card_left, 0);
      else
        credit_left := credit_left + entry.amount;
        card_left := card_left + least(credit_left, 0);
        credit_left := greatest(credit_left, 0);
      end if;
    end loop;
    credit_left := least(credit_left, account.balance - (
      select coalesce(sum(h.amount - h.captured), 0) from ledger_hold h
      where h.account_id = account.id and h.state = 'placed' and h.purpose = 'refund'));
    continue when credit_left <= 0;
    pot_account := ledger_account_of('credit', account.owner_id, account.currency, now());
    perform ledger_write('credit.split:' || account.id, 'credit.split', account.id, pot_account, account.currency, credit_left, null, now());
    free_left := credit_left;
    for hold in
      select h.id, h.amount - h.captured as rest from ledger_hold h
      where h.account_id = account.id and h.state = 'placed' and h.purpose <> 'refund' order by h.placed_at, h.id
    loop
      take := least(hold.rest, free_left);
      continue when take <= 0;
      insert into ledger_hold_credit (hold_id, account_id, amount) values (hold.id, pot_account, take);
      update ledger_hold h set credit = take where h.id = hold.id;
      free_left := free_left - take;
    end loop;
    update ledger_pot p set balance = credit_left, held = credit_left - free_left where p.account_id = pot_account;
    update ledger_balance b set credit = credit_left, credit_held = credit_left - free_left where b.account_id = account.id;
  end loop;
end
$$;

create or replace function ledger_hold_once() returns trigger language plpgsql as $$
begin
  if old.state <> 'placed' then
    raise exception 'hold % has ended', old.id using errcode = 'restrict_violation';
  end if;
  if (new.id, new.key, new.account_id, new.purpose, new.amount, new.credit, new.placed_at)
      is distinct from (old.id, old.key, old.account_id, old.purpose, old.amount, old.credit, old.placed_at)
    or new.captured < old.captured then
    raise exception 'hold % can only be captured or ended', old.id using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;

-- When a grant ends; null: never. The pot of one that ends has the grant's id.
alter table credit_grant
  add column expires_at timestamptz,
  -- When the user was told that it ends soon.
  add column warned_at timestamptz;
create index credit_grant_ends on credit_grant (expires_at) where expires_at is not null and warned_at is null;
grant update (warned_at) on credit_grant to slipway_app;

-- Grants are decided as corrections are.
alter table balance_adjustment
  add column kind text not null default 'CORRECTION' check (kind in ('CORRECTION', 'GRANT')),
  add column credit_expires_at timestamptz,
  add constraint balance_adjustment_grant check (kind = 'GRANT' and direction = 'CREDIT' or kind = 'CORRECTION' and credit_expires_at is null);
create or replace function balance_adjustment_once() returns trigger language plpgsql as $$
begin
  if old.state <> 'PROPOSED' then
    raise exception 'adjustment % is decided', old.id using errcode = 'restrict_violation';
  end if;
  if (new.id, new.user_id, new.currency, new.direction, new.amount, new.reason, new.test_money, new.alone, new.proposed_by,
      new.proposed_at, new.expires_at, new.kind, new.credit_expires_at)
    is distinct from (old.id, old.user_id, old.currency, old.direction, old.amount, old.reason, old.test_money, old.alone,
      old.proposed_by, old.proposed_at, old.expires_at, old.kind, old.credit_expires_at) then
    raise exception 'adjustment % can only be decided', old.id using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;

revoke insert, update, delete, truncate on ledger_pot, ledger_hold_credit, ledger_pot_projection from slipway_app;
grant select on ledger_pot, ledger_hold_credit, ledger_pot_projection to slipway_app;
revoke execute on function ledger_pot_of, ledger_write_drawn, ledger_plan_credit, ledger_expired, ledger_grant, ledger_expire,
  ledger_post_drawn, ledger_lock_purse, ledger_place_drawn, ledger_plan_held, ledger_free_credit from public;
grant execute on function ledger_expired, ledger_grant, ledger_expire, ledger_lock_purse to slipway_app;
