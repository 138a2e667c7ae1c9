-- What is offered to every user by the token: a served name and the deployment behind it. Prices are billing's, by served name.
create table catalog_entry (
  served_name text primary key,
  model_id uuid not null,
  -- 0 is no limit of the entry's own.
  concurrency_max int not null check (concurrency_max >= 0),
  output_tokens_max int not null check (output_tokens_max >= 0),
  -- The deployment's owner is neither the platform nor who published it, and agreed.
  owner_agreed boolean not null,
  published_by uuid not null references users (id),
  published_at timestamptz not null
);
create index catalog_entry_model on catalog_entry (model_id);
