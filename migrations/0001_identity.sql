-- Who may ask: users, the tokens by which they ask the control plane, and the keys by which they ask for inference.
-- A user is (issuer, subject). An e-mail address is a fact about a user and never decides who somebody is.
create table users (
  id uuid primary key,
  issuer text not null,
  subject text not null,
  role text not null check (role in ('USER', 'ADMIN', 'SUPER_ADMIN')),
  -- The account that owns what this installation itself serves.
  platform boolean not null default false,
  first_name text not null,
  last_name text not null,
  display_name text not null,
  email text not null,
  company text not null,
  created_at timestamptz not null,
  disabled_at timestamptz,
  unique (issuer, subject)
);
create unique index users_platform_once on users (platform) where platform;
create index users_email on users (lower(email)) where email <> '';
create index users_created on users (created_at, id);
create index users_super_admin on users (id) where role = 'SUPER_ADMIN';

-- Only the SHA-256 of a token is kept; `prefix` is its first characters, to tell tokens apart.
create table access_token (
  id uuid primary key,
  user_id uuid not null references users (id),
  name text not null,
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  prefix text not null,
  scopes text[] not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz
);
create index access_token_newest on access_token (created_at desc, id desc);
create index access_token_user_newest on access_token (user_id, created_at desc, id desc);

create table inference_key (
  id uuid primary key,
  user_id uuid not null references users (id),
  name text not null,
  key_hash bytea not null unique check (octet_length(key_hash) = 32),
  prefix text not null,
  scopes text[] not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  deleted_at timestamptz,
  last_used_at timestamptz
);
create index inference_key_user_newest on inference_key (user_id, created_at desc, id desc);
