-- What the processor keeps for itself and what it pays out: its balance line by line, and the movements that follow it.

insert into ledger_account_kind (kind, owned, balance_kept) values
  -- What the processor took for its work.
  ('processor.fees', false, false),
  -- What it paid out to the operator's bank.
  ('bank', false, false),
  -- Where one currency became another: each side in its own.
  ('exchange', false, false),
  -- What moved the processor's balance and is not of these books: others may share the account.
  ('processor.unassigned', false, false);

insert into ledger_movement (code, from_kind, to_kind) values
  ('fee.processor', 'processor.fees', 'processor.clearing'),
  ('fee.returned', 'processor.clearing', 'processor.fees'),
  ('payout.processor', 'bank', 'processor.clearing'),
  -- A payout that failed or was cancelled, and money that the operator put in.
  ('payout.returned', 'processor.clearing', 'bank'),
  -- A refund leaves the processor's balance, or comes back into it because the bank could not hand it out.
  ('refund.processor', 'refunds', 'processor.clearing'),
  ('refund.unpaid', 'processor.clearing', 'refunds'),
  ('exchange.sold', 'exchange', 'processor.clearing'),
  ('exchange.bought', 'processor.clearing', 'exchange'),
  ('unassigned.out', 'processor.unassigned', 'processor.clearing'),
  ('unassigned.in', 'processor.clearing', 'processor.unassigned');

-- Each line of the processor's balance, written with its movements in one transaction.
create table processor_transaction (
  processor text not null,
  id text not null,
  -- The processor's word for it.
  type text not null,
  lane text not null check (lane in ('payment', 'refund', 'dispute', 'fee', 'bank', 'other', 'opening')),
  -- What it is about, by the processor's id; '' for nothing that has one.
  subject_id text not null,
  -- Our payment; null for what is not of these books.
  intent_id uuid references payment_intent (id),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  -- Signed: what it added to the processor's balance, before the fee.
  gross bigint not null,
  -- Above zero: taken.
  fee bigint not null,
  net bigint generated always as (gross - fee) stored,
  -- What the payment's or dispute's own movement has in the ledger, signed, in the currency of that movement.
  elsewhere_currency text,
  elsewhere bigint,
  happened_at timestamptz not null,
  booked_at timestamptz not null,
  primary key (processor, id),
  check ((elsewhere is null) = (elsewhere_currency is null))
);
create index processor_transaction_happened on processor_transaction (processor, happened_at);

-- From when on these books hold the processor's lines, and how far they have been read.
create table processor_books (
  processor text primary key,
  since timestamptz not null,
  read_until timestamptz not null,
  -- When what was there before was written down; null until the first reading has caught up.
  opened_at timestamptz
);

-- What the processor says that it has, against what the ledger says that it has, for each currency.
alter table payment_reconciliation add column balances jsonb not null default '[]';

revoke update, delete, truncate on processor_transaction from slipway_app;
revoke delete, truncate on processor_books from slipway_app;
