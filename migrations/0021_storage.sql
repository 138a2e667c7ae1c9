-- External storage: a bucket a user, in which models keep evaluated prompts. What is on disk is the driver's; here is what may be there,
-- and what was seen there last.

create table storage_bucket (
  id uuid primary key,
  user_id uuid not null references users (id),
  tier text not null check (tier in ('BRONZE', 'SILVER', 'GOLD')),
  retention_days int not null check (retention_days between 1 and 365),
  -- Since when prompts go for want of room; null while there is room.
  full_since timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  -- Its files may still be there; the row goes once they are not.
  deleted_at timestamptz
);
create unique index storage_bucket_one on storage_bucket (user_id) where deleted_at is null;

-- Models of the owner that don't use the bucket. Models are another domain's: no foreign key.
create table storage_detached (
  bucket_id uuid not null references storage_bucket (id) on delete cascade,
  model_id uuid not null,
  detached_at timestamptz not null,
  primary key (bucket_id, model_id)
);

-- What each place held at the last look.
create table storage_use (
  driver text not null,
  bucket_id uuid not null references storage_bucket (id) on delete cascade,
  model_id uuid not null,
  bytes bigint not null check (bytes >= 0),
  states bigint not null check (states >= 0),
  last_used_at timestamptz,
  observed_at timestamptz not null,
  primary key (driver, bucket_id, model_id)
);
create index storage_use_bucket on storage_use (bucket_id);
