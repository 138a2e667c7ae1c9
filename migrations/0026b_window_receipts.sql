-- A window's rounding, so that whoever has its receipt can compute its charge to the nano: time that was charged at the window's price
-- before it. Null: the window closed before this was kept.
alter table gpu_window add column priced_ms_before bigint check (priced_ms_before >= 0);
