-- The account: accepted terms, secrets of keys that were replaced, and tickets to whoever operates the installation.

-- The last acceptance, for the profile and for the check at each deploy. The version is '' where the installation named none.
alter table users add column tos_accepted_at timestamptz;
alter table users add column tos_accepted_version text not null default '';
alter table users add constraint users_tos_whole check (tos_accepted_at is not null or tos_accepted_version = '');

create function account_refuse() returns trigger language plpgsql as $$
begin
  raise exception '% is insert-only', tg_table_name using errcode = 'restrict_violation';
end
$$;

-- Every version that somebody accepted, for ever.
create table terms_acceptance (
  user_id uuid not null references users (id),
  version text not null,
  accepted_at timestamptz not null,
  primary key (user_id, version)
);
create trigger insert_only before update or delete on terms_acceptance for each row execute function account_refuse();

-- A key keeps its id when its secret is replaced. The secret before the present one opens until previous_ends_at.
alter table inference_key add column rotated_at timestamptz;
alter table inference_key add column previous_hash bytea unique check (octet_length(previous_hash) = 32);
alter table inference_key add column previous_ends_at timestamptz;
alter table inference_key
  add constraint inference_key_previous_whole check ((previous_hash is null) = (previous_ends_at is null));

create table support_ticket (
  id uuid primary key,
  -- Whose it is.
  user_id uuid not null references users (id),
  subject text not null,
  type text not null check (type in ('TECHNICAL', 'BILLING', 'ACCOUNT', 'OTHER')),
  status text not null check (status in ('OPEN', 'IN_PROGRESS', 'CLOSED')),
  message_count int not null check (message_count >= 0),
  created_at timestamptz not null,
  updated_at timestamptz not null
) with (fillfactor = 80);
create index support_ticket_user_newest on support_ticket (user_id, created_at desc, id desc);
create index support_ticket_newest on support_ticket (created_at desc, id desc);
create index support_ticket_status_newest on support_ticket (status, created_at desc, id desc);

-- Name and role of the writer are those of that moment: a conversation does not change when somebody is promoted.
create table support_message (
  ticket_id uuid not null references support_ticket (id),
  number int not null check (number > 0),
  user_id uuid not null references users (id),
  user_name text not null,
  user_role text not null check (user_role in ('USER', 'ADMIN', 'SUPER_ADMIN')),
  content text not null,
  created_at timestamptz not null,
  primary key (ticket_id, number)
);
create trigger insert_only before update or delete on support_message for each row execute function account_refuse();

revoke update, delete on terms_acceptance, support_message from slipway_app;
revoke delete on support_ticket from slipway_app;
