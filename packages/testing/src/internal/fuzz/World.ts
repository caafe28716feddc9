/**
 * Everything the two sides are made of, as plain values: what a regression file holds of a schema.
 *
 * Enters: a random schema, or a file. Leaves: DDL, rows, and a topology for any number of shards.
 */
import * as KeyType from "@shardlayer/core/topology/KeyType"
import type * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Either from "effect/Either"
import * as Kind from "./Kind.js"
import * as Owner from "./Owner.js"
import { name as quoted } from "./Print.js"
import type * as Schema from "./Schema.js"

export interface World {
  readonly timeZone: string
  /** Types, tables and views, in this order. */
  readonly setup: ReadonlyArray<string>
  readonly keyspaces: ReadonlyArray<Schema.Keyspace>
  readonly skew: number
  readonly tables: ReadonlyArray<WorldTable>
}

export interface WorldTable {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  readonly placement: WorldPlacement
  readonly rows: ReadonlyArray<Schema.Row>
}

export type WorldPlacement =
  | {
      readonly _tag: "Sharded"
      readonly keyspace: string
      readonly key: ReadonlyArray<Owner.KeyColumn>
    }
  | { readonly _tag: "Reference" }
  | { readonly _tag: "Single"; readonly shard: number }

export const make = (schema: Schema.Schema): World => ({
  timeZone: schema.timeZone,
  setup: [
    `create type mood as enum (${Kind.moods.map(Kind.quote).join(", ")})`,
    ...schema.tables.map(createTable),
    ...schema.views.map((view) => `create view ${quoted(view.name)} as ${view.sql}`)
  ],
  keyspaces: schema.keyspaces,
  skew: schema.skew,
  tables: schema.tables.map((table) => ({
    name: table.name,
    columns: table.columns.map(({ name }) => name),
    placement: placementOf(table),
    rows: table.rows
  }))
})

const createTable = (table: Schema.Table): string => {
  const columns = table.columns.map(
    ({ declared, default: preset, kind, name, nullable }) =>
      `${quoted(name)} ${declared ?? Kind.sql(kind)}${nullable ? "" : " not null"}${preset === undefined ? "" : ` default ${Kind.quote(preset)}`}`
  )
  const primaryKey = table.primaryKey.length === 0 ? [] : [`primary key (${table.primaryKey.map(quoted).join(", ")})`]
  return `create table ${quoted(table.name)} (${[...columns, ...primaryKey].join(", ")})`
}

const placementOf = ({ columns, placement }: Schema.Table): WorldPlacement => {
  if (placement._tag !== "Sharded") return placement
  const key = placement.key.map((column) => ({
    column,
    type: columns.find(({ name }) => name === column)?.kind ?? ""
  }))
  return { _tag: "Sharded", keyspace: placement.keyspace, key }
}

export const shardIds = (shards: number): ReadonlyArray<string> =>
  Array.from({ length: shards }, (_, index) => `shard_${index + 1}`)

/** What the server itself makes of a table's rows; a text of statements. */
export const fill = ({ columns, name, rows }: WorldTable): ReadonlyArray<string> => {
  if (rows.length === 0) return []
  const tuples = rows.map((row) => `(${row.map((value) => (value === null ? "null" : Kind.quote(value))).join(", ")})`)
  return [`insert into ${quoted(name)} (${columns.map(quoted).join(", ")}) values ${tuples.join(", ")}`]
}

export const topology = (world: World, shards: number): Topology.Topology => {
  const ids = shardIds(shards)
  const keyspaces: Record<string, Keyspace.Definition> = {}
  for (const keyspace of world.keyspaces) {
    const pins = keyspace.pins.map(({ key, shard }) => ({ key, shard: shardAt(ids, shard) }))
    keyspaces[keyspace.name] = {
      key: keyspace.types.filter(KeyType.is),
      resolver: resolverOf(keyspace.resolver, ids),
      pins
    }
  }
  const tables: Record<string, Table.Definition> = {}
  for (const { name, placement } of world.tables) tables[name] = definition(placement, ids)
  const checked = Topology.validate({ shards: ids, slotMap: slots(ids, world.skew), keyspaces, tables })
  return Either.getOrThrowWith(checked, (invalid) => invalid)
}

const shardAt = (ids: ReadonlyArray<string>, place: number): string => ids[place % ids.length] ?? ""

const resolverOf = (resolver: Schema.Resolver, ids: ReadonlyArray<string>): Keyspace.ResolverDefinition => {
  switch (resolver._tag) {
    case "Hash":
      return { _tag: "Hash" }
    case "Range": {
      const froms = [undefined, ...resolver.below.map(({ to }) => to)]
      const last = { from: froms.at(-1), shard: shardAt(ids, resolver.last) }
      const bounds = resolver.below.map(({ shard, to }, index) => ({
        from: froms[index],
        to,
        shard: shardAt(ids, shard)
      }))
      return { _tag: "Range", bounds: [...bounds, last] }
    }
    case "List":
      return {
        _tag: "List",
        entries: resolver.entries.map(({ key, shard }) => ({ keys: [key], shard: shardAt(ids, shard) })),
        otherwise: shardAt(ids, resolver.otherwise)
      }
  }
}

/** What takes from a full copy of the tables the rows that belong to other shards. */
export const takeAway = (world: World, topology: Topology.Topology, shard: string): ReadonlyArray<string> =>
  world.tables.flatMap(({ name, placement }) => {
    switch (placement._tag) {
      case "Reference":
        return []
      case "Single":
        return shardAt(topology.shards, placement.shard) === shard ? [] : [`truncate ${quoted(name)}`]
      case "Sharded": {
        const keyspace = world.keyspaces.find((one) => one.name === placement.keyspace)
        if (keyspace === undefined) throw new Error(`${name} is in no keyspace`)
        const owner = Owner.expression(topology, keyspace, placement.key)
        return [`delete from ${quoted(name)} where ${owner} is distinct from ${Kind.quote(shard)}`]
      }
    }
  })

const definition = (placement: WorldPlacement, ids: ReadonlyArray<string>): Table.Definition => {
  switch (placement._tag) {
    case "Reference":
      return Table.reference()
    case "Single":
      return Table.single(shardAt(ids, placement.shard))
    case "Sharded": {
      const key = placement.key.flatMap(({ column, type }) => (KeyType.is(type) ? [{ column, type }] : []))
      return Table.sharded({ key, keyspace: placement.keyspace })
    }
  }
}

const slotsTotal = 16_384

/** Each shard its share; under skew the last ones next to nothing, which leaves them without rows. */
const slots = (ids: ReadonlyArray<string>, skew: number) => {
  const weights = ids.map((_, index) => (index === 0 ? 1 : 1 - skew * (index / (ids.length - 1 || 1))) + 0.0005)
  const sum = weights.reduce((total, weight) => total + weight, 0)
  let from = 0
  return ids.map((shard, index) => {
    const isLast = index === ids.length - 1
    const to = isLast
      ? slotsTotal
      : Math.min(slotsTotal - 1, from + Math.max(1, Math.floor((slotsTotal * (weights[index] ?? 0)) / sum)))
    const range = { from, to, shard }
    from = to
    return range
  })
}
