/** The tables and the class of the examples in `@effect/sql`'s README: ids are drawn, names are written in camel case. */
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"

const tables = {
  people: Table.sharded({ key: "id", keyspace: "person", generate: { id: Id.sequence() } }),
  visits: Table.sharded({ key: "person_id", keyspace: "person" })
} as const

export const topology = (shards: ReadonlyArray<string>) =>
  Topology.make({ shards, keyspaces: { person: Keyspace.hash({ key: ["int4"] }) }, tables, unlisted: "shard_1" })

export const schema = `
  create table people (
    id serial primary key, name text not null,
    created_at timestamptz not null default '2024-01-01T00:00:00Z', updated_at timestamptz not null default '2024-01-02T00:00:00Z'
  );
  create table visits (person_id int4, at int4, place text not null, primary key (person_id, at));
`

export const client = {
  transformQueryNames: (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  transformResultNames: (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

export class Person extends Schema.Class<Person>("Person")({
  id: Schema.Number,
  name: Schema.String,
  createdAt: Schema.DateFromSelf,
  updatedAt: Schema.DateFromSelf
}) {}

export const InsertPerson = Schema.Struct(Struct.omit(Person.fields, "id", "createdAt", "updatedAt"))
