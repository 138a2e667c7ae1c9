-- How near a card's end its user was told of it: '' not yet, 'EXPIRING', 'EXPIRED'. Another date begins anew.
alter table payment_card add column told_expiry text not null default '' check (told_expiry in ('', 'EXPIRING', 'EXPIRED'));
