-- How long a user's money lasts: marks at which users are told, what was told, mail that waits, and models that stand still
-- until there is money again.

-- Seconds, longest first. Empty: nobody is warned and nothing keeps a model from scaling up.
alter table billing_settings add column runway_marks int[] not null default '{}';

-- The shortest mark that a user was told of in the present descent; null once the runway has risen above it.
create table runway_mark (
  user_id uuid primary key references users (id),
  told_seconds int,
  changed_at timestamptz not null
) with (fillfactor = 70);
create index runway_mark_told on runway_mark (user_id) where told_seconds is not null;

-- The program's list of kinds grows; the row is read by the program alone, and forgotten once it is told.
alter table billing_news drop constraint if exists billing_news_kind_check;
alter table billing_news add column details jsonb not null default '{}';

-- A model that was paused for money and could not be resumed for another reason is tried again after this.
alter table model add column resume_after timestamptz;
create index model_paused_for_money on model (desired_at, id)
  where desired = 'PAUSED' and desired_reason = 'BALANCE_TOO_LOW';

-- Mail that is to be handed to the operator's hook, written by the transaction that it tells of. Its own queue entry.
create table mail_outbox (
  id uuid primary key,
  user_id uuid not null references users (id),
  kind text not null,
  subject text not null,
  body text not null,
  data jsonb not null,
  attempts int not null default 0,
  next_attempt_at timestamptz not null,
  last_failure text not null default '',
  created_at timestamptz not null
) with (fillfactor = 80);
create index mail_outbox_due on mail_outbox (next_attempt_at);
create index mail_outbox_age on mail_outbox (created_at);
