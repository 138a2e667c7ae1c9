-- Minutes and hours of spending serve the edges of rolling periods of at most 30 days; days are kept for ever.
create index spend_bucket_fine_age on spend_bucket (starts_at) where grain in ('minute', 'hour');

-- Deletes at most p_limit minutes and hours from before p_before; returns how many. The program itself may delete no sum, and days never go.
create function spend_prune(p_before timestamptz, p_limit integer) returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
declare
  gone bigint;
begin
  delete from spend_bucket where ctid = any(array(
    select b.ctid from spend_bucket b where b.grain in ('minute', 'hour') and b.starts_at < p_before limit p_limit));
  get diagnostics gone = row_count;
  return gone;
end
$$;
revoke execute on function spend_prune from public;
grant execute on function spend_prune to slipway_app;
