-- Corrections of balances by administrators: proposed, and above a bound approved by another one before money moves.

insert into ledger_account_kind (kind, owned, balance_kept) values ('adjustments', false, false);
insert into ledger_movement (code, from_kind, to_kind) values
  ('adjustment.credit', 'adjustments', 'user'),
  ('adjustment.debit', 'user', 'adjustments');

-- What one administrator may move alone within a day; 0: nothing.
alter table billing_settings add column adjustment_alone_max bigint not null default 0 check (adjustment_alone_max >= 0);

create table balance_adjustment (
  id uuid primary key,
  user_id uuid not null references users (id),
  currency text not null,
  direction text not null check (direction in ('CREDIT', 'DEBIT')),
  amount bigint not null check (amount > 0),
  reason text not null,
  -- Given while the installation took play money: it is play money too.
  test_money boolean not null,
  -- True: posted by the one who proposed it, within the bound.
  alone boolean not null,
  state text not null check (state in ('PROPOSED', 'POSTED', 'REJECTED', 'EXPIRED')),
  proposed_by uuid not null references users (id),
  proposed_at timestamptz not null,
  expires_at timestamptz not null,
  decided_by uuid references users (id),
  decided_at timestamptz,
  -- Why it was rejected.
  decision_note text not null default '',
  transfer_id bigint unique,
  check ((state = 'PROPOSED') = (decided_at is null)),
  check ((state = 'POSTED') = (transfer_id is not null)),
  -- Two administrators, or one within the bound.
  check (state <> 'POSTED' or alone or decided_by <> proposed_by)
) with (fillfactor = 80);
create index balance_adjustment_newest on balance_adjustment (proposed_at desc, id desc);
create index balance_adjustment_user on balance_adjustment (user_id, proposed_at desc, id desc);
create index balance_adjustment_open on balance_adjustment (expires_at) where state = 'PROPOSED';
create index balance_adjustment_alone on balance_adjustment (proposed_by, proposed_at) where alone;
create index balance_adjustment_test on balance_adjustment (user_id) where test_money;

-- Only the decision is ever written into a row, and only once.
create function balance_adjustment_once() returns trigger language plpgsql as $$
begin
  if old.state <> 'PROPOSED' then
    raise exception 'adjustment % is decided', old.id using errcode = 'restrict_violation';
  end if;
  if (new.id, new.user_id, new.currency, new.direction, new.amount, new.reason, new.test_money, new.alone, new.proposed_by,
      new.proposed_at, new.expires_at)
    is distinct from (old.id, old.user_id, old.currency, old.direction, old.amount, old.reason, old.test_money, old.alone,
      old.proposed_by, old.proposed_at, old.expires_at) then
    raise exception 'adjustment % can only be decided', old.id using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;
create trigger once before update on balance_adjustment for each row execute function balance_adjustment_once();
revoke delete, truncate on balance_adjustment from slipway_app;
