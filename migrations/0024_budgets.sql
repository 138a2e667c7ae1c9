-- Budgets: what one user lets a key, a model or a name of the catalogue cost in a day, a month (both UTC) or altogether.

create table budget (
  id uuid primary key,
  -- Whose money it bounds.
  user_id uuid not null references users (id),
  kind text not null check (kind in ('key', 'model', 'catalog')),
  -- The id of the key or the model, or the name in the catalogue.
  subject text not null check (length(subject) between 1 and 512),
  period text not null check (period in ('day', 'month', 'total')),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  amount bigint not null check (amount > 0),
  created_at timestamptz not null,
  changed_at timestamptz not null,
  removed_at timestamptz
);
create unique index budget_once on budget (user_id, kind, subject, period) where removed_at is null;
create index budget_of_subject on budget (kind, subject) where removed_at is null;

-- What was spent under a budget in one of its periods, and what holds that are placed keep of it: a projection of those holds.
-- The user's balance is locked by everybody who changes a row.
create table budget_use (
  budget_id uuid not null references budget (id),
  -- Where the period begins; the epoch for a budget that has none.
  starts_at timestamptz not null,
  spent bigint not null default 0 check (spent >= 0),
  reserved bigint not null default 0 check (reserved >= 0),
  primary key (budget_id, starts_at)
) with (fillfactor = 50);

-- Which periods of which budgets a hold counts in.
create table budget_hold (
  hold_id uuid not null,
  budget_id uuid not null,
  starts_at timestamptz not null,
  primary key (hold_id, budget_id)
);
create index budget_hold_of_use on budget_hold (budget_id, starts_at);

-- Says that budget_hold has rows: a hold that no budget bounds costs nothing more than before.
alter table ledger_hold add column budgeted boolean not null default false;

-- Whatever takes from a hold or ends it moves its budgets in the same statement, whoever asked for it.
create function budget_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
  spent_now bigint := new.captured - old.captured;
  freed bigint := case when old.state = 'placed' then old.amount - old.captured else 0 end
    - case when new.state = 'placed' then new.amount - new.captured else 0 end;
begin
  update budget_use u set spent = u.spent + spent_now, reserved = u.reserved - freed
    from budget_hold h where h.hold_id = new.id and u.budget_id = h.budget_id and u.starts_at = h.starts_at;
  return null;
end
$$;
create trigger budgets after update on ledger_hold for each row
  when (new.budgeted and (old.captured, old.state) is distinct from (new.captured, new.state))
  execute function budget_follow();

-- Counts a hold that was placed just now in periods of budgets. The caller has the user's balance locked and has seen that there
-- is room; this refuses to take more than there is all the same.
create function budget_reserve(p_hold uuid, p_budgets uuid[], p_starts timestamptz[]) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  held bigint;
begin
  update ledger_hold h set budgeted = true where h.id = p_hold and h.state = 'placed' and h.captured = 0 and not h.budgeted
    returning h.amount into strict held;
  insert into budget_hold (hold_id, budget_id, starts_at) select p_hold, b, s from unnest(p_budgets, p_starts) as t(b, s);
  insert into budget_use as u (budget_id, starts_at, reserved) select b, s, held from unnest(p_budgets, p_starts) as t(b, s)
    on conflict (budget_id, starts_at) do update set reserved = u.reserved + held;
  if exists (
    select from unnest(p_budgets, p_starts) as t(b, s)
      join budget_use u on u.budget_id = b and u.starts_at = s join budget l on l.id = b
    where u.spent + u.reserved > l.amount
  ) then
    raise exception 'hold % takes more than a budget has left', p_hold using errcode = 'check_violation';
  end if;
end
$$;

-- The budgets of what is gone are over with it; what is under way still counts.
create function budget_ends_with_key() returns trigger language plpgsql as $$
begin
  update budget set removed_at = new.deleted_at where kind = 'key' and subject = new.id::text and removed_at is null;
  return null;
end
$$;
create trigger budgets after update of deleted_at on inference_key for each row
  when (old.deleted_at is null and new.deleted_at is not null) execute function budget_ends_with_key();
create function budget_ends_with_model() returns trigger language plpgsql as $$
begin
  update budget set removed_at = new.desired_at where kind = 'model' and subject = new.id::text and removed_at is null;
  return null;
end
$$;
create trigger budgets after update of desired on model for each row
  when (old.desired <> 'DELETED' and new.desired = 'DELETED') execute function budget_ends_with_model();

-- What a budget paused stands still, too, until there is money again.
drop index model_paused_for_money;
create index model_paused_for_money on model (desired_at, id)
  where desired = 'PAUSED' and desired_reason in ('BALANCE_TOO_LOW', 'BUDGET_EXCEEDED');

revoke delete on budget from slipway_app;
revoke insert, update, delete, truncate on budget_use, budget_hold from slipway_app;
revoke execute on function budget_reserve, budget_follow from public;
grant execute on function budget_reserve to slipway_app;
