-- When each periodic job is due next. Any worker may take it; the row's update is the claim.
create table periodic_job (
  name text primary key,
  due_at timestamptz not null,
  last_started_at timestamptz,
  last_finished_at timestamptz,
  last_error text
);
