-- What the last sweep of each place found: how old it is tells whether anybody looks, what is still unowned whether anything leaks.
create table machine_sweep (
  driver text primary key,
  swept_at timestamptz not null,
  listed integer not null,
  -- More would have been removed than a pass may: an administrator must look.
  blocked boolean not null
);
