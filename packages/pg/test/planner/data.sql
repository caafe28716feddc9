-- Rows for schema.sql, as one PostgreSQL holds them.
insert into countries values ('de', 'Germany', 1), ('fr', 'France', 1), ('jp', 'Japan', 2), ('xx', 'Nowhere', null);
insert into sizes select n, 'size ' || n from generate_series(1, 5) n;
insert into users
  select n, 'user ' || n, (array['de', 'fr', 'jp', null])[1 + n % 4], case when n % 5 > 0 then n % 7 end, n % 2 = 0, n / 2.0,
    array['a' || n, 'b'], timestamptz '2020-01-01' + n * interval '1 day', date '1990-01-01' + n
  from generate_series(1, 12) n;
insert into orders
  select 1 + n % 9, n, (array['open', 'paid', null])[1 + n % 3], n * 1.5, 1 + n % 5, 'x' || n, timestamptz '2020-02-01' + n * interval '1 hour'
  from generate_series(1, 40) n;
insert into items select user_id, id, l, 'sku' || l, id % 4 from orders, generate_series(1, 2) l where id % 3 > 0;
insert into settings values ('x', '1'), ('y', null);
insert into journal (entry) values ('one'), ('two');
insert into audit_log (user_id, entry) values (1, 'in'), (2, 'out');
insert into regions values ('eu', 'Europe'), ('us', 'America'), ('as', 'Asia');
insert into pairs select a, b, a || b from generate_series(1, 5) a, unnest(array['x', 'y', 'z']) b;
insert into pair_notes select b, a, n, (array['x', 'y'])[n] from pairs, generate_series(1, 2) n where a < 4;
insert into docs select md5(n::text)::uuid, 'doc ' || n, n from generate_series(1, 9) n;
insert into docs values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'known', 1);
insert into labels values ('ab', 'two'), ('ab ', 'three'), ('a', 'one'), ('', 'none');
insert into moments select timestamptz '2020-01-01 00:00+00' + n * interval '1 hour', date '2020-01-01' + n, n % 2 = 0, n, null from generate_series(0, 8) n;
insert into accounts select n, 'mail ' || n, 'account ' || n from generate_series(1, 6) n;
insert into authors select n, nullif(n % 3, 0) from generate_series(1, 6) n;
insert into comments select n, c, 1 + c % 3 from generate_series(1, 6) n, generate_series(1, 2) c;
insert into domained select n, (array['sad', 'happy'])[1 + n % 2]::mood from generate_series(1, 6) n;
insert into numbered (user_id, name) select n, 'x' from generate_series(1, 4) n;
insert into checked select n, 'x' from generate_series(1, 4) n;
insert into tickets select md5(n::text)::uuid, 'ticket ' || n from generate_series(1, 4) n;
insert into events
  select 1 + n % 6, date '2020-10-01' + n * 20, (array['in', 'out', null])[1 + n % 3] from generate_series(1, 40) n;
insert into clicks (user_id, id, size_id, url) select 1 + n % 6, n, 1 + n % 5, 'u' || n from generate_series(1, 24) n;
insert into click_notes select user_id, id, 'note ' || id from clicks where id % 4 = 0;
insert into currencies values ('eur', 'eu'), ('usd', 'us'), ('jpy', 'as');
insert into emails select n, (array['work', 'home'])[1 + n % 2], 'mail ' || n from generate_series(1, 6) n;
insert into traced select n, date '2020-01-01' + n from generate_series(1, 6) n;
insert into bossy select n, 'a', n from generate_series(1, 6) n;
insert into animals select n, 'animal ' || n from generate_series(1, 3) n;
