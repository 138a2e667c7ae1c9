-- Invoices: a calendar month (UTC) of a user's money, frozen when the month is closed. Numbers have no gaps and are never given twice.

-- What one charge of tokens was for, in the grain in which money moves: its transfer has the key `tokens:<charge_id>`.
create table token_charge (
  charge_id uuid not null,
  model_id uuid not null,
  served_name text not null,
  price_version_id uuid,
  requests bigint not null check (requests > 0),
  prompt_tokens bigint not null check (prompt_tokens >= 0),
  cached_tokens bigint not null check (cached_tokens between 0 and prompt_tokens),
  completion_tokens bigint not null check (completion_tokens >= 0),
  charge_nanos bigint not null check (charge_nanos > 0),
  primary key (charge_id, model_id, served_name)
);
insert into token_charge
select charge_id, model_id, served_name, (array_agg(price_version_id))[1], count(*), sum(prompt_tokens), sum(cached_tokens),
  sum(completion_tokens), sum(charge_nanos)
from usage_record where charge_nanos > 0 and charge_id is not null group by 1, 2, 3;
create trigger insert_only before update or delete on token_charge for each row execute function billing_refuse();

-- Who issues invoices, `{series, name, address, taxId, note}`; null: none are issued. main writes it at every start.
alter table billing_settings add column invoice_seller jsonb;

-- Months that are closed for everybody.
create table invoice_close (
  month date primary key check (extract(day from month) = 1),
  closed_at timestamptz not null
);

create table invoice (
  -- `<series>-<year>-<six digits>`: the year in which it was issued.
  number text primary key,
  series text not null check (series ~ '^[A-Z0-9]{1,12}$'),
  year int not null,
  seq int not null check (seq > 0),
  user_id uuid not null references users (id),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  month date not null check (extract(day from month) = 1),
  -- Entries of the user before the month's end, up to this transfer, are on this invoice or an earlier one.
  upto_transfer_id bigint not null,
  opening_nanos bigint not null,
  closing_nanos bigint not null,
  line_count int not null check (line_count > 0),
  seller jsonb not null,
  buyer jsonb not null,
  issued_at timestamptz not null,
  unique (series, year, seq),
  unique (user_id, currency, month)
);
create index invoice_newest on invoice (user_id, month desc, number desc);

create table invoice_line (
  number text not null,
  line int not null check (line > 0),
  kind text not null check (kind in ('PAYMENT', 'CREDIT', 'GPU_TIME', 'TOKENS', 'ADJUSTMENT', 'REFUND', 'DISPUTE', 'OTHER')),
  -- The ledger's code of the movements.
  code text not null,
  -- What the balance gained; negative where it lost.
  amount_nanos bigint not null check (amount_nanos <> 0),
  details jsonb not null,
  primary key (number, line)
);

-- The next number of its series and year, and the balance with which the invoice before it ended.
create function invoice_follows() returns trigger language plpgsql as $$
declare
  before_it invoice;
begin
  if new.seq <> coalesce((select max(i.seq) from invoice i where i.series = new.series and i.year = new.year), 0) + 1 then
    raise exception 'invoice % is not the next of its series', new.number using errcode = 'restrict_violation';
  end if;
  select i.* into before_it from invoice i where i.user_id = new.user_id and i.currency = new.currency order by i.month desc limit 1;
  if new.month <= before_it.month or new.opening_nanos <> coalesce(before_it.closing_nanos, 0) then
    raise exception 'invoice % does not follow the one before it', new.number using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;
create trigger follows before insert on invoice for each row execute function invoice_follows();

-- Asked when the transaction ends, of the invoice and of each line, so that no line comes to it later.
create function invoice_adds_up() returns trigger language plpgsql as $$
begin
  if not exists (
    select from invoice i join (
      select number, count(*) as lines, sum(amount_nanos) as total from invoice_line where number = new.number group by number
    ) l on l.number = i.number
    where i.number = new.number and l.lines = i.line_count and l.total = i.closing_nanos - i.opening_nanos
  ) then
    raise exception 'the lines of invoice % are not what lies between its balances', new.number using errcode = 'check_violation';
  end if;
  return null;
end
$$;
create constraint trigger adds_up after insert on invoice deferrable initially deferred
  for each row execute function invoice_adds_up();
create constraint trigger adds_up after insert on invoice_line deferrable initially deferred
  for each row execute function invoice_adds_up();

create trigger insert_only before update or delete on invoice for each row execute function billing_refuse();
create trigger insert_only before update or delete on invoice_line for each row execute function billing_refuse();
create trigger insert_only before update or delete on invoice_close for each row execute function billing_refuse();
create trigger not_emptied before truncate on invoice execute function billing_refuse();
create trigger not_emptied before truncate on invoice_line execute function billing_refuse();
revoke update, delete, truncate on token_charge, invoice, invoice_line, invoice_close from slipway_app;
