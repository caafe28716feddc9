/**
 * The demo's tables and where their rows live.
 *
 * Places and their population changes are sharded by the same key, so what belongs to one place lies on one shard.
 * Countries are few and read by every query: each shard holds a copy.
 */
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"

export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  keyspaces: { place: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    places: Table.sharded({ key: "city_id", keyspace: "place" }),
    population_changes: Table.sharded({ key: "city_id", keyspace: "place" }),
    countries: Table.reference()
  }
})

/** The same statements on every shard, and on the server that holds everything. */
export const ddl: ReadonlyArray<string> = [
  `CREATE TABLE countries (
     code text PRIMARY KEY,
     name text NOT NULL,
     continent text NOT NULL,
     capital text NOT NULL
   )`,
  `CREATE TABLE places (
     city_id int8 PRIMARY KEY,
     name text NOT NULL,
     country text NOT NULL REFERENCES countries,
     feature text NOT NULL,
     admin text NOT NULL,
     population int4 NOT NULL,
     longitude float8 NOT NULL,
     latitude float8 NOT NULL
   )`,
  `CREATE TABLE population_changes (
     city_id int8 NOT NULL REFERENCES places,
     change int4 NOT NULL,
     before int4 NOT NULL,
     after int4 NOT NULL,
     PRIMARY KEY (city_id, change)
   )`
]
