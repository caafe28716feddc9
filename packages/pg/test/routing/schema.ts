/**
 * The schema and the topology of the routing suite: one table of every placement and keyspace, and beside them tables
 * whose hidden code the router must refuse.
 */
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"

const keyspaces = {
  // Tenant 42 is hot and has a shard of its own.
  user: Keyspace.hash({ key: ["int8"], pins: [{ key: 42, shard: "shard_3" }] }),
  device: Keyspace.hash({ key: ["uuid"] }),
  slug: Keyspace.hash({ key: ["text"] }),
  seat: Keyspace.hash({ key: ["int4", "text"] }),
  region: Keyspace.list({
    key: ["text"],
    entries: [
      { keys: ["eu", "uk"], shard: "shard_1" },
      { keys: ["us"], shard: "shard_2" }
    ]
  }),
  bucket: Keyspace.range({
    key: ["int4"],
    bounds: [
      { to: 100, shard: "shard_1" },
      { from: 200, shard: "shard_2" }
    ]
  }),
  tenant: Keyspace.lookup({ key: ["text"], directory: "tenants" })
} as const

const tables = {
  users: Table.sharded({ key: "id", keyspace: "user" }),
  orders: Table.sharded({ key: "user_id", keyspace: "user" }),
  items: Table.sharded({ key: "user_id", keyspace: "user" }),
  events: Table.sharded({ key: "device", keyspace: "device" }),
  notes: Table.sharded({ key: "slug", keyspace: "slug" }),
  seats: Table.sharded({ key: ["hall", "name"], keyspace: "seat" }),
  shops: Table.sharded({ key: "region", keyspace: "region" }),
  metrics: Table.sharded({ key: "bucket", keyspace: "bucket" }),
  invoices: Table.sharded({ key: "tenant", keyspace: "tenant" }),
  countries: Table.reference(),
  settings: Table.single("shard_2"),
  journal: Table.single("shard_3"),
  audited: Table.sharded({ key: "user_id", keyspace: "user" }),
  ruled: Table.sharded({ key: "user_id", keyspace: "user" }),
  secured: Table.sharded({ key: "user_id", keyspace: "user" }),
  people: Table.sharded({ key: "id", keyspace: "user" }),
  comments: Table.sharded({ key: "user_id", keyspace: "user" }),
  tokens: Table.sharded({ key: "id", keyspace: "device" }),
  logins: Table.sharded({ key: "user_id", keyspace: "user" }),
  tickets: Table.sharded({ key: "user_id", keyspace: "user" }),
  checked: Table.sharded({ key: "user_id", keyspace: "user" }),
  authors: Table.sharded({ key: "user_id", keyspace: "user" }),
  books: Table.sharded({ key: "slug", keyspace: "slug" })
} as const

/** Tables it does not list are refused. */
export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces,
  tables,
  pureFunctions: ["public.tidy"]
})

/** The same, but tables it does not list live on shard_2. */
export const withUnlisted = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces,
  tables,
  pureFunctions: ["public.tidy"],
  unlisted: "shard_2"
})

export const shard1 = ShardId.make("shard_1")
export const shard2 = ShardId.make("shard_2")
export const shard3 = ShardId.make("shard_3")

/** The shard of a key, by the topology alone. */
export const ownerOf = (
  keyspace: keyof typeof keyspaces,
  ...key: ReadonlyArray<string | number | null>
): ShardId.ShardId => {
  const text = key.map((part) => (part === null ? null : String(part)))
  const owner = Resolver.owner(topology, topology.keyspaces[keyspace], text)
  if (owner._tag !== "Shard")
    throw new Error(`the topology alone does not know where ${text.join()} of ${keyspace} lives`)
  return owner.shard
}

/** The lowest user id from `from` up that lives on this shard. */
export const userOn = (shard: ShardId.ShardId, from: number): number => {
  for (let id = from; ; id++) if (ownerOf("user", id) === shard) return id
}

/** Statement by statement, as they run on every shard and on the oracle. */
export const tablesSql: ReadonlyArray<string> = [
  "create table countries (code text primary key, name text not null)",
  `create table users (
    id int8 primary key, name text not null, country text references countries (code), balance numeric(12, 2) not null default 0,
    born date, seen timestamptz, tags text[], profile jsonb, avatar bytea, active boolean not null default true
  )`,
  `create table orders (
    user_id int8 references users (id), id int8, status text not null default 'new', total numeric(12, 2),
    primary key (user_id, id)
  )`,
  `create table items (
    user_id int8, order_id int8, line int4, sku text not null, quantity int4 not null,
    primary key (user_id, order_id, line), foreign key (user_id, order_id) references orders on delete cascade
  )`,
  "create table events (device uuid, at timestamptz, kind text not null, primary key (device, at))",
  "create table notes (slug text primary key, body text)",
  "create table seats (hall int4, name text, holder int8, primary key (hall, name))",
  "create table shops (region text, id int4, name text, primary key (region, id))",
  "create table metrics (bucket int4, id int4, value float8, primary key (bucket, id))",
  "create table invoices (tenant text, id int8, amount numeric, primary key (tenant, id))",
  "create table settings (name text primary key, value text)",
  "create table journal (id int8 primary key, entry text)"
]

/** What hides code in the server, or what shards cannot keep: made everywhere, written nowhere. */
export const hiddenSql: ReadonlyArray<string> = [
  "create function shout(t text) returns text language sql immutable as $$ select upper(t) $$",
  "create function tidy(t text) returns text language sql immutable as $$ select trim(t) $$",
  "create function audit() returns trigger language plpgsql as $$ begin return new; end $$",
  "create procedure clean() language sql as $$ select 1 $$",
  "create table audited (user_id int8 primary key, note text)",
  "create trigger audit_row before insert or update on audited for each row execute function audit()",
  "create table ruled (user_id int8 primary key, note text)",
  "create rule quiet as on insert to ruled do also nothing",
  "create table secured (user_id int8 primary key, note text)",
  "alter table secured enable row level security",
  "create policy lucky on secured using (random() < 0.5)",
  "create table people (id int8 primary key, name text)",
  "create table comments (user_id int8, id int8, author int8 references people (id), primary key (user_id, id))",
  "create table tokens (id uuid primary key default gen_random_uuid(), note text)",
  "create table logins (user_id int8, id int8, name text unique, primary key (user_id, id))",
  "create table tickets (user_id int8, id bigserial, title text, primary key (user_id, id))",
  "create table checked (user_id int8 primary key, note text check (shout(note) = note))",
  "create table books (slug text primary key, title text)",
  "create table authors (user_id int8 primary key, book text references books (slug) on delete cascade)",
  "create table stray (id int8 primary key, note text)",
  "create view active_users as select * from users where active"
]
