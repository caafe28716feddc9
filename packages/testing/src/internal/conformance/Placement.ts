/**
 * A layout of a set as a topology, and as what each shard may hold of a copy of all the data.
 *
 * Enters: the layout, the loaded oracle. Leaves: the topology, and the SQL that takes from a full copy what another shard
 * owns. Holds: rows are placed by the server's own hash functions, never by the router's; a table that cannot be
 * sharded as the layout says is placed on one shard, and a note says why.
 */
import * as KeyType from "@shardlayer/core/topology/KeyType"
import type * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import { slotExpression } from "@shardlayer/pg/SlotExpression"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { escapeIdentifier } from "pg"
import type { Layout } from "./Cases.js"
import type { Session } from "./Session.js"

export interface Placement {
  readonly topology: Topology.Topology
  readonly notes: ReadonlyArray<string>
}

/** Whether two topologies place every table alike. */
export const isSame = (one: Topology.Topology, other: Topology.Topology): boolean =>
  Topology.encodeJson(one) === Topology.encodeJson(other)

/** Where tables live that are not spread: the layout's local ones, and those the statements create. */
const home = "shard_1"

/** `families`: one keyspace for all integer types, one for both text types; else one for each type. */
export const make = (
  layout: Layout,
  shards: ReadonlyArray<string>,
  oracle: Session,
  families: boolean
): Effect.Effect<Placement> =>
  Effect.map(readColumns(layout, oracle), (columns) => {
    const notes: Array<string> = []
    const keyspaces: Record<string, Keyspace.Definition> = {}
    const tables: Record<string, Table.Definition> = {}
    for (const name of layout.local) tables[name] = Table.single(home)
    for (const name of layout.reference) tables[name] = Table.reference()
    for (const [name, { key, type: declared }] of Object.entries(layout.distributed)) {
      const type = keyType(columns.get(name), declared)
      if (Either.isLeft(type)) {
        notes.push(`${name} (${key}) stays on one shard: ${type.left}`)
        tables[name] = Table.single(home)
        continue
      }
      const keyspace = families ? KeyType.family(type.right) : type.right
      keyspaces[keyspace] ??= { key: [families ? widest(type.right) : type.right], resolver: { _tag: "Hash" } }
      tables[name] = Table.sharded({ key: [{ column: key, type: type.right }], keyspace })
    }
    const topology = Topology.validate({ shards, unlisted: home, keyspaces, tables })
    return { topology: Either.getOrThrowWith(topology, (invalid) => invalid), notes }
  })

interface KeyColumn {
  readonly kind: string
  /** Undefined where the table has no such column. */
  readonly type: string | undefined
  readonly deterministic: boolean
  readonly generated: boolean
  readonly modifier: number
}

/** The key columns of tables that exist; others may come with the statements. */
const readColumns = (layout: Layout, oracle: Session): Effect.Effect<ReadonlyMap<string, KeyColumn>> => {
  const keys = Object.entries(layout.distributed).map(([table, { key }]) => `(${literal(table)}, ${literal(key)})`)
  if (keys.length === 0) return Effect.succeed(new Map())
  const sql = `select c.relname, c.relkind, t.typname, coalesce(l.collisdeterministic, true), a.attgenerated <> '', a.atttypmod
    from (values ${keys.join(", ")}) as wanted (relname, attname)
    join pg_class c on c.relname = wanted.relname and c.relnamespace = 'public'::regnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attname = wanted.attname
    left join pg_type t on t.oid = a.atttypid left join pg_collation l on l.oid = a.attcollation`
  return Effect.map(
    oracle.run(sql),
    (rows) =>
      new Map(
        rows.map(([table, kind, type, deterministic, generated, modifier]) => [
          table ?? "",
          {
            kind: kind ?? "",
            type: type ?? undefined,
            deterministic: deterministic === "t",
            generated: generated === "t",
            modifier: Number(modifier)
          }
        ])
      )
  )
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** The type as the topology names it, or why the router cannot shard by it. */
const keyType = (column: KeyColumn | undefined, declared: string): Either.Either<KeyType.KeyType, string> => {
  if (column !== undefined && column.type === undefined) return Either.left("it has no such column")
  const name = column?.type ?? typeNames[declared.replace(/\s*\(.*\)$/, "")] ?? declared
  if (!KeyType.is(name)) return Either.left(`keys of type ${name} have no proven hash`)
  if (column === undefined) return Either.right(name)
  if (column.kind !== "r") return Either.left("it is no plain table")
  if (!column.deterministic) return Either.left("its key's collation is not deterministic")
  if (column.generated) return Either.left("its key is generated")
  const rounds = column.modifier !== -1 && (name === "numeric" || name === "timestamptz")
  return rounds ? Either.left("its key's type rounds what it stores") : Either.right(name)
}

const typeNames: Readonly<Record<string, string>> = {
  smallint: "int2",
  integer: "int4",
  bigint: "int8",
  boolean: "bool",
  "character varying": "varchar",
  "timestamp with time zone": "timestamptz"
}

const widest = (type: KeyType.KeyType): KeyType.KeyType => {
  switch (KeyType.family(type)) {
    case "integer":
      return "int8"
    case "text":
      return "text"
    default:
      return type
  }
}

/**
 * Statements that leave on `shard` what it owns of a full copy: its slots of the sharded tables, all of the reference
 * tables, and the rest on the home shard alone. `tables`: the plain tables of the copy.
 */
export const takeAway = (
  topology: Topology.Topology,
  shard: string,
  tables: ReadonlyArray<string>
): ReadonlyArray<string> =>
  tables.flatMap((name) => {
    const placed = topology.tables[name]
    const table = `only ${escapeIdentifier(name)}`
    switch (placed?._tag) {
      case "Reference":
        return []
      case "Sharded": {
        const slot = slotExpression(placed.types, placed.columns.map(escapeIdentifier), topology.slotMap.slots)
        const owned = SlotMap.ranges(topology.slotMap)
          .filter((range) => range.shard === shard)
          .map(({ from, to }) => `${slot} >= ${from} and ${slot} < ${to}`)
        return [`delete from ${table} where not (${owned.join(" or ")})`]
      }
      case "Single":
        return shard === placed.shard ? [] : [`delete from ${table}`]
      case undefined:
        return shard === home ? [] : [`delete from ${table}`]
    }
  })

/** The shards that hold rows of a table, and whether each holds all of them. */
export const holders = (
  topology: Topology.Topology,
  table: string
): { readonly shards: ReadonlyArray<string>; readonly copies: boolean } => {
  const found = Object.values(topology.tables).find(({ name }) => name === table)
  switch (found?._tag) {
    case "Reference":
      return { shards: topology.shards, copies: true }
    case "Sharded":
      return { shards: topology.shards, copies: false }
    case "Single":
      return { shards: [found.shard], copies: false }
    case undefined:
      return { shards: [topology.unlisted ?? home], copies: false }
  }
}
