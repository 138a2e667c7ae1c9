-- Launches of machines at a provider that takes one at a time of an account, and keeps no names unique.
create table provider_launch (
  account text not null,
  -- The replica's.
  name text not null,
  begun_at timestamptz not null,
  -- Until then nobody launches in the account: the call is out, or the provider's pause lasts.
  busy_until timestamptz not null,
  -- False: for certain no machine came of it.
  counts boolean not null,
  primary key (account, name)
);
create index provider_launch_busy on provider_launch (account, busy_until);
