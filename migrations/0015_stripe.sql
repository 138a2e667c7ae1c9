-- Payments by a real processor: what it told us, refunds, disputes, automatic top-ups, and what reconciliation found.

-- `stripe_test`: Stripe with a key of its test mode, whose money is play money as well.
alter table billing_settings drop constraint billing_settings_payments_check;
alter table billing_settings add constraint billing_settings_payments_check check (payments in ('off', 'test', 'stripe', 'stripe_test'));

insert into ledger_movement values
  -- A refund that the bank could not hand out after all.
  ('refund.returned', 'refunds', 'user'),
  -- What a refund made at the processor took beyond what the user had left.
  ('refund.receivable', 'receivable', 'refunds'),
  -- A dispute that was won: what the user owed by then first, the rest to the user.
  ('dispute.settled', 'processor.clearing', 'receivable'),
  ('dispute.returned', 'processor.clearing', 'user');

alter table payment_intent
  -- Who asked for it: the user, or the automatic top-up in the user's absence.
  add column source text not null default 'user' check (source in ('user', 'auto')),
  -- The reason of the failure, one of the program's list.
  add column failure_reason text,
  -- Counts the changes of the row: what was read of the processor before a change is older than it, and read again.
  add column version int not null default 0;
create unique index payment_intent_processor_id on payment_intent (processor, processor_id) where processor_id is not null;
create index payment_intent_waiting on payment_intent (updated_at) where state = 'requires_action';

-- Every event that was applied, so that none is applied twice.
create table payment_event (
  processor text not null,
  event_id text not null,
  -- The processor's word for what happened.
  type text not null,
  subject_id text not null,
  happened_at timestamptz not null,
  applied_at timestamptz not null,
  heard_by text not null check (heard_by in ('webhook', 'poll')),
  primary key (processor, event_id)
);
create index payment_event_applied on payment_event (applied_at);

-- Up to which moment the processor's list of events has been read.
create table payment_poll (
  processor text primary key,
  read_until timestamptz not null
);

-- Written before the processor is asked, as a payment is.
create table payment_refund (
  id uuid primary key,
  key text not null unique,
  intent_id uuid not null references payment_intent (id),
  user_id uuid not null references users (id),
  -- The administrator who ordered it; null: it was made at the processor.
  operator_id uuid,
  reason text not null,
  amount bigint not null check (amount > 0),
  currency text not null,
  processor text not null,
  processor_id text,
  -- Null where the processor was first: there was nothing left to hold.
  hold_id uuid,
  state text not null check (state in ('pending', 'succeeded', 'failed')),
  failure text,
  -- True once the ledger says that the money went out; it may come back by `refund.returned`.
  posted boolean not null default false,
  version int not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create unique index payment_refund_processor_id on payment_refund (processor, processor_id) where processor_id is not null;
create index payment_refund_intent on payment_refund (intent_id);
create index payment_refund_user on payment_refund (user_id, created_at desc, id desc);
create index payment_refund_pending on payment_refund (updated_at) where state = 'pending';

create table payment_dispute (
  processor text not null,
  dispute_id text not null,
  intent_id uuid not null references payment_intent (id),
  user_id uuid not null references users (id),
  amount bigint not null check (amount > 0),
  currency text not null,
  -- The processor's words.
  status text not null,
  reason text not null,
  -- True while its amount is out of our books.
  taken boolean not null,
  -- How often it was taken and given back: a part of the keys of its movements.
  moves int not null default 0,
  version int not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (processor, dispute_id)
);
create index payment_dispute_intent on payment_dispute (intent_id);
create index payment_dispute_user on payment_dispute (user_id, created_at desc);

-- One row a user who ever set it. Off unless the user switched it on.
create table auto_topup (
  user_id uuid primary key references users (id),
  enabled boolean not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  threshold bigint not null check (threshold >= 0),
  amount bigint not null check (amount > 0),
  day_max bigint not null check (day_max > 0),
  month_max bigint not null check (month_max > 0),
  -- The number of the attempt that is next: a part of the payment's key, so that an attempt is one payment.
  attempt bigint not null default 0,
  -- In a row; at the bound it is switched off.
  failures int not null default 0,
  -- Why it did not pay last, as reason and public sentence; null after a success.
  failure_reason text,
  failure text,
  next_at timestamptz not null,
  updated_at timestamptz not null
);
create index auto_topup_due on auto_topup (next_at) where enabled;

create table payment_reconciliation (
  id uuid primary key,
  processor text not null,
  currency text not null,
  from_at timestamptz not null,
  until_at timestamptz not null,
  finished_at timestamptz not null,
  -- What the processor has of ours from the span, and what the ledger says of it.
  processor_nanos bigint not null,
  ledger_nanos bigint not null,
  -- What is left of their difference when every finding is taken off.
  unexplained_nanos bigint not null,
  compared int not null,
  findings jsonb not null
);
create index payment_reconciliation_newest on payment_reconciliation (processor, finished_at desc);

revoke update, delete on payment_reconciliation from slipway_app;
revoke delete on payment_refund, payment_dispute, auto_topup, payment_poll from slipway_app;
revoke update on payment_event from slipway_app;
