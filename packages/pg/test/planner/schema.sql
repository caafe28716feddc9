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
create table events (user_id int8, at date, primary key (user_id, at)) partition by range (at);
create table events_2020 partition of events for values from ('2020-01-01') to ('2021-01-01');
create view active_users as select * from users where active;
create materialized view user_counts as select count(*) as users from users;
