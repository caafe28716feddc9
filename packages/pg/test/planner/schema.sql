-- The schema behind the planner's corpus. Every shard has all of it; catalog.json is its catalog, recorded.
create table countries (code text primary key, name text not null, region int4);
create table sizes (id int4 primary key, label text not null);
create table users (
  id int8 primary key, name text not null, country text references countries, age int4, active bool, score float8,
  tags text[], created_at timestamptz default now(), born date);
create table orders (
  user_id int8 references users on delete cascade, id int8, status text, total numeric, size_id int4 references sizes,
  note varchar(10), created_at timestamptz default now(), primary key (user_id, id));
create table items (
  user_id int4, order_id int8, line int4, sku text, qty int4, primary key (user_id, order_id, line),
  foreign key (user_id, order_id) references orders (user_id, id) on delete cascade);
create table settings (name text primary key, value text);
create table journal (id bigserial primary key, entry text);
create table audit_log (id bigserial primary key, user_id int8, entry text);
create table regions (region text primary key, label text);
create table pairs (a int4, b text, v text, primary key (a, b));
create table pair_notes (b text, a int4, n int4, note text, primary key (b, a, n));
create table docs (id uuid primary key, title text, owner int8);
create table labels (code varchar(5) primary key, label text);
create table moments (at timestamptz, day date, ok bool, amount numeric, data bytea, primary key (at));

create function slugify(text) returns text language sql immutable as $$ select lower($1) $$;
create function pure_length(text) returns int4 language sql immutable as $$ select length($1) $$;
create function same_text(text, text) returns bool language sql immutable as $$ select $1 = $2 $$;
create function stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create operator <~> (leftarg = text, rightarg = text, function = same_text);
create aggregate last_text (text) (sfunc = textcat, stype = text);
create domain slug as text check (slugify(value) = value);
create domain user_id as int8;
create type mood as enum ('sad', 'happy');

create table audited (user_id int8, id int8, primary key (user_id, id));
create trigger audited_stamp before insert on audited for each row execute function stamp();
create table acknowledged (user_id int8, email text unique, id bigserial, primary key (user_id, id));
create trigger acknowledged_stamp before insert on acknowledged for each row execute function stamp();
create table ruled (user_id int8 primary key);
create rule ruled_twice as on insert to ruled do also select 1;
create table checked (user_id int8 primary key, name text check (slugify(name) = name));
create table slugs (user_id int8 primary key, name slug);
create table accounts (user_id int8, email text unique, name text, primary key (user_id));
create table authors (user_id int8 primary key, boss int8 references authors);
create table comments (user_id int8, id int8, author int8 references authors, primary key (user_id, id));
create table numbered (user_id int8, id bigserial, name text, primary key (user_id, id));
create table tickets (id uuid default gen_random_uuid() primary key, title text);
create table domained (user_id user_id primary key, feeling mood);
create table secrets (user_id int8 primary key, secret text);
alter table secrets enable row level security;
create policy lucky on secrets using (random() < 0.5);
create table vaults (user_id int8 primary key, tenant text, secret text);
alter table vaults enable row level security;
create policy own on vaults using (tenant = (select current_setting('app.tenant', true)) or tenant = current_user)
  with check (exists (select from countries c where c.code = tenant));
create view vaults_seen as select * from vaults;
create view vaults_invoked with (security_invoker = true) as select * from vaults;
create table shared (user_id int8 primary key, secret text);
alter table shared enable row level security;
create policy members on shared for select using (exists (select from orders o where o.id = shared.user_id));

create table events (user_id int8, at date, kind text, primary key (user_id, at)) partition by range (at);
create table events_2020 partition of events for values from ('2020-01-01') to ('2021-01-01');
create table events_2021 partition of events for values from ('2021-01-01') to ('2022-01-01') partition by hash (user_id);
create table events_2021_0 partition of events_2021 for values with (modulus 2, remainder 0);
create table events_2021_1 partition of events_2021 for values with (modulus 2, remainder 1);
create table events_rest partition of events default;
create table clicks (
  user_id int8 references users on delete cascade, id int8, size_id int4 references sizes, url text, long int4
  generated always as (length(url)) stored, primary key (user_id, id)) partition by hash (id);
create table clicks_0 partition of clicks for values with (modulus 2, remainder 0);
create table clicks_1 partition of clicks for values with (modulus 2, remainder 1);
create table click_notes (
  user_id int8, click_id int8, note text, foreign key (user_id, click_id) references clicks on delete cascade);
create table currencies (code text, region text, primary key (code, region)) partition by list (region);
create table currencies_eu partition of currencies for values in ('eu');
create table currencies_other partition of currencies default;

-- What hides in one partition.
create table traced (user_id int8, at date, primary key (user_id, at)) partition by range (at);
create table traced_2020 partition of traced for values from ('2020-01-01') to ('2021-01-01');
create trigger traced_stamp before insert on traced_2020 for each row execute function stamp();
create trigger traced_statement before insert on traced_2020 for each statement execute function stamp();
create table emails (user_id int8, kind text, email text) partition by list (kind);
create table emails_work partition of emails for values in ('work');
create table emails_home partition of emails for values in ('home');
create unique index emails_work_email on emails_work (email);
create table judged (user_id int8, kind text) partition by list (kind);
create table judged_a partition of judged (check (slugify(kind) = kind)) for values in ('a');
create table bent (user_id int8, kind text) partition by list (kind);
create table bent_a partition of bent for values in ('a');
create rule bent_twice as on insert to bent_a do also select 1;
create table walled (user_id int8, kind text) partition by list (kind);
create table walled_a partition of walled for values in ('a');
alter table walled_a enable row level security;
create table bossy (user_id int8, kind text, boss int8) partition by list (kind);
create table bossy_a partition of bossy (foreign key (boss) references authors) for values in ('a');
create table animals (user_id int8, name text);
create table dogs (breed text) inherits (animals);

create materialized view user_counts as select count(*) as users from users;
create view active_users as select * from users where active;
create view named_users (uid, label) as select id, name from users;
create view first_user as select * from users where id = 1;
create view few_users as select id, name from users where id in (1, 2, 4);
create view labelled as select code, label from labels where code in ('ab', 'a');
create view user_orders as select u.id, u.name, o.id as order_id, o.total from users u join orders o on o.user_id = u.id;
create view dear_orders as select * from user_orders where total > 10;
create view order_lines as select * from orders join items using (user_id) where orders.id = items.order_id;
create view all_users as select u.id, u.name, o.id as order_id from users u left join orders o on o.user_id = u.id;
create view mixed_orders as select u.name, o.total from users u join orders o on o.id = u.id;
create view order_counts as select user_id, count(*) as orders, sum(total) as total from orders group by user_id;
create view order_total as select count(*) as orders from orders;
create view last_users as select * from users order by created_at desc, id limit 3;
create view sorted_users as select id, name from users order by name, id;
create view collated_users as select id, name collate "C" as name from users;
create view user_countries as select distinct country from users;
create view owned as select id as user_id, 'user' as kind from users union all select user_id, status from orders;
create view whole_users as select u, u.id from users u;
create view recent_users as select id from users where created_at < now();
create view drawn_users as select id, random() as draw from users;
create view locked_users as select id, name from users where id = 1 for update;
create view slugged_users as select id, slugify(name) as slug from users;
create view deep_slugs as select * from slugged_users where id > 0;
create view moody as select user_id, feeling from domained where feeling = 'happy';
create view lateral_orders as
  select u.id, x.total from users u, lateral (select o.total from orders o where o.user_id = u.id order by o.id limit 1) x;
create view country_sizes as select c.code, s.label from countries c join sizes s on s.id = c.region;
create view home_users as select u.id, u.name, c.name as home from users u left join countries c on c.code = u.country;
create recursive view steps (n) as select 1 union all select n + 1 from steps where n < 3;
create view constants (a, b) as values (1, 'x'), (2, 'y');
create view all_settings as select * from settings;
create view user_settings as select u.id, s.value from users u join settings s on s.name = u.name;
create view audits as select user_id, entry from audit_log;
create view class_names as select relname from pg_class;
create view walled_rows as select * from walled;
create view event_days as select user_id, at, kind from events where kind is not null;
create view hidden_with as with users as (select 7 as id) select users.id, u.name from users join public.users u on u.id = users.id;
