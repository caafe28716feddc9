/** A small shop, as a program on one PostgreSQL has it: what the suites of this folder run on. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"

const tables = {
  users: Table.sharded({ key: "id", keyspace: "user" }),
  orders: Table.sharded({ key: "user_id", keyspace: "user" }),
  countries: Table.reference()
} as const

export const topology = (shards: ReadonlyArray<string>) =>
  Topology.make({ shards, keyspaces: { user: Keyspace.hash({ key: ["int4"] }) }, tables, unlisted: "shard_1" })

export const schema = `
  create table countries (code text primary key, name text not null);
  create table users (
    id int4 primary key, full_name text not null, country text references countries (code),
    profile jsonb, tags text[], avatar bytea, balance numeric(10, 2) not null default 0,
    born_at timestamptz not null default '2000-01-01T00:00:00Z', active boolean not null default true,
    constraint balance_is_not_negative check (balance >= 0)
  );
  create table orders (
    user_id int4 references users (id), id int4, total_cents int8 not null, note text,
    primary key (user_id, id) deferrable initially deferred
  );
`

export const rows = (sql: SqlClient) =>
  Effect.gen(function* () {
    yield* sql`insert into countries values ('de', 'Germany'), ('fr', 'France')`
    yield* sql`insert into users ${sql.insert(people)}`
    yield* sql`insert into orders ${sql.insert(
      people.flatMap(({ id }) => [
        { user_id: id, id: 1, total_cents: id * 100 },
        { user_id: id, id: 2, total_cents: id * 250 }
      ])
    )}`
  })

const people = Array.from({ length: 12 }, (_, index) => ({
  id: index + 1,
  full_name: `user ${index + 1}`,
  country: index % 3 === 0 ? null : index % 3 === 1 ? "de" : "fr",
  balance: `${index}.50`,
  tags: [`tag ${index % 4}`, "all"]
}))
