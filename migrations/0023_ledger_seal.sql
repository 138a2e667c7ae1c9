-- The hash chain over the ledger: each seal covers the committed transfers of a span of ids, and the digest of the seal before it.
-- What was changed, removed or put in behind a seal gives another digest. Written by a job, never inside a transaction that moves money.
create table ledger_seal (
  number bigint primary key check (number > 0),
  -- Transfers with after_id < id <= upto_id, in the order of their ids.
  after_id bigint not null check (after_id >= 0),
  upto_id bigint not null unique check (upto_id > after_id),
  transfers bigint not null check (transfers > 0),
  digest bytea not null check (octet_length(digest) = 32),
  sealed_at timestamptz not null
);

-- Spans follow each other without gaps: no transfer is ever covered by two seals, or by none between two.
create function ledger_seal_follows() returns trigger language plpgsql as $$
declare
  last_upto bigint;
begin
  select s.upto_id into last_upto from ledger_seal s where s.number = new.number - 1;
  if new.after_id <> coalesce(last_upto, 0) or (new.number > 1) <> (last_upto is not null) then
    raise exception 'seal % does not follow the one before it', new.number using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;
create trigger follows before insert on ledger_seal for each row execute function ledger_seal_follows();
create trigger insert_only before update or delete on ledger_seal for each row execute function ledger_refuse();
create trigger not_emptied before truncate on ledger_seal execute function ledger_refuse();

-- What each check of the books found; [] in good books.
create table ledger_check (
  id uuid primary key,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  transfers bigint not null,
  sealed_transfers bigint not null,
  -- The newest seal then, `<number>:<hex digest>`; the next check looks whether it is still what it was.
  head text not null,
  findings jsonb not null
);
create index ledger_check_newest on ledger_check (finished_at desc);
create trigger insert_only before update or delete on ledger_check for each row execute function ledger_refuse();

revoke update, delete, truncate on ledger_seal, ledger_check from slipway_app;
-- Up to which id transfers may exist by now.
grant select on sequence ledger_transfer_id_seq to slipway_app;
