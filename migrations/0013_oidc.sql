-- People who log in here, where no issuer of the operator's does it: their passwords, the invitations by which they set them,
-- and what the embedded OpenID provider remembers. Nothing in these tables opens a door by itself: passwords are stretched,
-- codes hashed, and whatever the provider keeps is sealed under the installation's secret.
create table password_login (
  user_id uuid primary key references users (id),
  -- What is typed as the name: the user's e-mail address when it was invited, in lower case. Names are of this table alone:
  -- the same address at another user joins nothing.
  login text not null unique,
  password_hash text not null,
  changed_at timestamptz not null
);

-- At most one a user: a newer one takes the older one's place.
create table password_invitation (
  user_id uuid primary key references users (id),
  login text not null,
  code_hash bytea not null unique check (octet_length(code_hash) = 32),
  created_at timestamptz not null,
  expires_at timestamptz not null
);

-- How often somebody tried to get in, by a hash of who and where.
create table login_attempt (
  who_hash bytea primary key check (octet_length(who_hash) = 32),
  attempts integer not null check (attempts >= 0),
  since timestamptz not null
);
create index login_attempt_since on login_attempt (since);

-- Keys that sign access tokens: the newest signs, older ones are known until their last tokens have expired.
create table oidc_signing_key (
  key_id text primary key,
  -- A private JWK, sealed.
  private_key bytea not null,
  created_at timestamptz not null
);

-- Sessions, grants, codes and refresh tokens. They are found by hashes of their secrets, and `payload` is sealed.
create table oidc_artifact (
  kind text not null,
  id_hash bytea not null check (octet_length(id_hash) = 32),
  grant_hash bytea,
  uid_hash bytea,
  user_code_hash bytea,
  account_id uuid references users (id),
  payload bytea not null,
  consumed_at timestamptz,
  -- Null for what ends with something else.
  expires_at timestamptz,
  primary key (kind, id_hash)
);
create index oidc_artifact_grant on oidc_artifact (grant_hash) where grant_hash is not null;
create index oidc_artifact_uid on oidc_artifact (kind, uid_hash) where uid_hash is not null;
create unique index oidc_artifact_user_code on oidc_artifact (kind, user_code_hash) where user_code_hash is not null;
create index oidc_artifact_account on oidc_artifact (account_id) where account_id is not null;
create index oidc_artifact_expires on oidc_artifact (expires_at) where expires_at is not null;
