-- The first answer to each call that carried an Idempotency-Key, for 24 hours. Neither the key nor the answer is here in
-- clear: the row is found by a keyed hash of (principal, operation, key), and the answer opens only with the key itself.
create table idempotency_key (
  scope_hash bytea primary key check (octet_length(scope_hash) = 32),
  request_hash bytea not null,
  -- Which run of the call may write the answer; a run that was taken for dead has lost it.
  attempt uuid not null,
  -- Until when a run without an answer is believed to be alive.
  lease_until timestamptz not null,
  -- Sealed; null while the call runs.
  answer bytea,
  expires_at timestamptz not null
);
create index idempotency_key_expires on idempotency_key (expires_at);
