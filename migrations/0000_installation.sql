-- The program works as slipway_app, which owns nothing: what a table's owner forbids (changing the ledger's past) it can't do.
-- Tables made later by the owner are open to it for rows, never for structure; a migration takes away what it must not have.
do $$
begin
  if not exists (select from pg_roles where rolname = 'slipway_app') then
    create role slipway_app nologin;
  end if;
exception
  when duplicate_object or unique_violation then null; -- another database of this cluster was being migrated at once
  when insufficient_privilege then
    raise exception 'The role slipway_app is missing and % may not create roles.', current_user
      using hint = 'Run once as an administrator: create role slipway_app nologin; grant slipway_app to ' || current_user;
end
$$;

do $$
begin
  if not pg_has_role(current_user, 'slipway_app', 'member') then
    execute format('grant slipway_app to %I', current_user);
  end if;
end
$$;

grant usage on schema public to slipway_app;
alter default privileges in schema public grant select, insert, update, delete on tables to slipway_app;
alter default privileges in schema public grant usage, select on sequences to slipway_app;

-- Which secret this database's sealed values belong to: a short fingerprint, so that a wrong key is found at the start.
create table secret_key (
  only_row boolean primary key default true check (only_row),
  secret_fingerprint text not null
);
