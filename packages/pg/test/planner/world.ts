import { readFileSync } from "node:fs"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as CatalogCheck from "@shardlayer/pg/planner/CatalogCheck"
import * as CatalogReader from "@shardlayer/pg/planner/CatalogReader"
import * as SchemaView from "@shardlayer/pg/planner/SchemaView"

export const fileUrl = (name: string) => new URL(name, import.meta.url)

export const schemaSql = readFileSync(fileUrl("schema.sql"), "utf8")

const user = (key: string, acknowledge: ReadonlyArray<string> = []) =>
  Table.sharded({ key, keyspace: "user", acknowledge })

const definition = {
  shards: ["shard_1", "shard_2", "shard_3"],
  pureFunctions: ["public.pure_length"],
  keyspaces: {
    user: Keyspace.hash({ key: ["int8"] }),
    pair: Keyspace.hash({ key: ["int4", "text"] }),
    doc: Keyspace.hash({ key: ["uuid"] }),
    label: Keyspace.hash({ key: ["text"] }),
    moment: Keyspace.hash({ key: ["timestamptz"] }),
    region: Keyspace.list({ key: ["text"], entries: [{ keys: ["eu"], shard: "shard_1" }], otherwise: "shard_2" })
  },
  tables: {
    users: user("id"),
    orders: user("user_id"),
    items: user("user_id"),
    pairs: Table.sharded({ key: ["a", "b"], keyspace: "pair" }),
    pair_notes: Table.sharded({ key: ["a", "b"], keyspace: "pair" }),
    docs: Table.sharded({ key: "id", keyspace: "doc" }),
    tickets: Table.sharded({ key: "id", keyspace: "doc" }),
    labels: Table.sharded({ key: "code", keyspace: "label" }),
    moments: Table.sharded({ key: "at", keyspace: "moment" }),
    regions: Table.sharded({ key: "region", keyspace: "region" }),
    audited: user("user_id"),
    acknowledged: user("user_id", ["acknowledged_stamp", "acknowledged_email_key", "id"]),
    ruled: user("user_id"),
    checked: user("user_id"),
    slugs: user("user_id"),
    accounts: user("user_id"),
    comments: user("user_id"),
    authors: user("user_id"),
    numbered: user("user_id"),
    domained: user("user_id"),
    secrets: user("user_id"),
    vaults: user("user_id"),
    shared: user("user_id"),
    events: user("user_id"),
    clicks: user("user_id"),
    click_notes: user("user_id"),
    traced: user("user_id"),
    emails: user("user_id"),
    judged: user("user_id"),
    bent: user("user_id"),
    walled: user("user_id"),
    bossy: user("user_id"),
    animals: user("user_id"),
    currencies: Table.reference(),
    countries: Table.reference(),
    sizes: Table.reference(),
    settings: Table.single("shard_1"),
    journal: Table.single("shard_2")
  }
} as const

export const topology: Topology.Topology = Topology.make(definition)

/** The same, but tables it does not list live on shard_3. */
export const topologyUnlisted: Topology.Topology = Topology.make({ ...definition, unlisted: "shard_3" })

/** The recorded catalog, as each of the shards would give it. */
export const viewOf = (topology: Topology.Topology): SchemaView.SchemaView => {
  const text = readFileSync(fileUrl("catalog.json"), "utf8")
  const catalogs = topology.shards.map((shard) => CatalogReader.decode(shard, text))
  return SchemaView.make({
    topology,
    catalogs,
    problems: CatalogCheck.check(topology, catalogs),
    searchPath: ["public"]
  })
}
