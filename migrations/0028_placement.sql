-- What the owner agreed to pay for one GPU and hour when the model was started last: no other place may cost more without being
-- asked. Null for models from before; they stay at their place.
alter table model add column accepted_currency text;
alter table model add column accepted_nanos_per_hour bigint;
alter table model add constraint accepted_whole check ((accepted_currency is null) = (accepted_nanos_per_hour is null));

-- When its provider is given up if no machine has come; null for attempts from before.
alter table model_attempt add column provision_by timestamptz;

-- What each attempt was planned for: the place is chosen anew for every attempt, and places differ in their hardware. Without a
-- row it is the model's own plan.
create table model_attempt_plan (
  name text primary key references model_attempt (name) on delete cascade,
  hardware jsonb not null,
  plan jsonb not null
);

-- How long starts take at a place is told from those of like size there, where these very weights were not started yet.
create index model_attempt_history_place on model_attempt (provider, region, ready_at desc) where ready_at is not null;
