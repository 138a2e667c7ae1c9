-- Who did what to whom, and who was refused what. Rows are added and never changed; the only way to delete is audit_purge, which
-- runs as the tables' owner, leaves the last 30 days alone and leaves a row of its own.
create table audit_event (
  id uuid primary key,
  at timestamptz not null,
  -- The user who asked; null where nobody is known: a token that opens nothing, or the installation itself.
  actor_id uuid,
  -- By which token; '' for none.
  token_id text not null check (length(token_id) <= 200),
  action text not null check (action ~ '^[a-z_]{1,40}\.[a-z_]{1,40}$'),
  -- The user to whom it happened; null for nobody in particular. No foreign key: a refused call may name nobody's id.
  subject_id uuid,
  -- What it was about, as kind:id; '' for nothing in particular.
  resource text not null check (length(resource) <= 300),
  outcome text not null check (outcome in ('OK', 'REFUSED')),
  -- The reason of a refusal; '' otherwise.
  reason text not null check (length(reason) <= 60),
  request_id text not null check (length(request_id) <= 200),
  address text not null check (length(address) <= 100),
  -- How often within the minute before `at`; what repeats is counted.
  times integer not null check (times > 0),
  -- Facts by name, all texts: never a secret or a body.
  details jsonb not null check (jsonb_typeof(details) = 'object' and pg_column_size(details) <= 4000)
);
create index audit_event_newest on audit_event (at desc, id desc);
create index audit_event_subject on audit_event (subject_id, at desc, id desc) where subject_id is not null;
create index audit_event_actor on audit_event (actor_id, at desc, id desc) where actor_id is not null;
create index audit_event_action on audit_event (action, at desc, id desc);

create function audit_refuse() returns trigger language plpgsql as $$
begin
  -- Set by audit_purge alone, and only while it runs. Who may not delete from the table gains nothing by setting it.
  if tg_op = 'DELETE' and current_setting('slipway.audit_purge', true) = 'on' then
    return old;
  end if;
  raise exception 'audit_event is insert-only' using errcode = 'restrict_violation';
end
$$;
create trigger insert_only before update or delete on audit_event for each row execute function audit_refuse();
create trigger not_emptied before truncate on audit_event execute function audit_refuse();

-- Deletes at most p_limit of the events before p_before, the oldest first, and writes down that it did; returns how many.
-- The floor is of the database's own clock: a program that was taken over must not wipe its own traces.
create function audit_purge(p_before timestamptz, p_limit integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp set slipway.audit_purge = 'on' as $$
declare
  gone bigint;
begin
  if p_before > clock_timestamp() - interval '30 days' then
    raise exception 'events of the last 30 days are kept' using errcode = 'restrict_violation';
  end if;
  delete from audit_event where id in (
    select e.id from audit_event e where e.at < p_before order by e.at, e.id limit p_limit
  );
  get diagnostics gone = row_count;
  if gone > 0 then
    insert into audit_event
        (id, at, actor_id, token_id, action, subject_id, resource, outcome, reason, request_id, address, times, details)
      values (gen_random_uuid(), date_trunc('milliseconds', clock_timestamp()), null, '', 'audit.purged', null, '', 'OK', '', '', '',
        1, jsonb_build_object('before', to_char(p_before at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'events', gone::text));
  end if;
  return gone;
end
$$;

revoke update, delete, truncate on audit_event from slipway_app;
revoke execute on function audit_purge, audit_refuse from public;
grant execute on function audit_purge to slipway_app;
