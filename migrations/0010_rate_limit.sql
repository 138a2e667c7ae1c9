-- How many requests a caller made in each window, over all processes. Each adds what it counted about once a second and reads
-- the others' counts with it. Unlogged: what a crash of the database forgets is a minute of counting.
create unlogged table rate_window (
  -- What is counted, and for whom: a hash, so that no address or token id can be read here.
  caller_hash bytea not null check (octet_length(caller_hash) = 32),
  starts_at timestamptz not null,
  requests bigint not null check (requests >= 0),
  primary key (caller_hash, starts_at)
);
create index rate_window_starts on rate_window (starts_at);
