/**
 * Reads a shard's catalog in one round trip.
 *
 * Enters: a driver, the topology. Leaves: a `ShardCatalog`. Tables that the topology lists (with their partitions) and
 * views are read in full; of the others only name, kind and foreign keys, except on the shard where unlisted tables may
 * be used.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Catalog from "./Catalog.js"
import { catalogQuery } from "./CatalogQuery.js"
import * as Partitions from "./Partitions.js"

/**
 * A shard's catalog, and whether transactions were prepared there as it was read: what they change is not in it yet,
 * and may be in another shard's already.
 *
 * @since 0.1.0
 * @category models
 */
export interface Read {
  readonly catalog: Catalog.ShardCatalog
  readonly isUnsettled: boolean
}

/** @since 0.1.0 @category functions */
export const read = (
  shard: ShardId,
  driver: Pick<ShardDriver, "inspect">,
  topology: Topology
): Effect.Effect<Read, ShardError> => {
  const listed = Object.values(topology.tables).map((table) => Catalog.key(table.schema, table.name))
  const wanted = topology.unlisted === shard ? null : listed
  return Effect.map(driver.inspect(catalogQuery, [wanted]), (rows) => {
    const [text, unsettled] = rows[0] ?? []
    if (typeof text !== "string") throw new Error("the catalog query gave no text")
    return { catalog: decode(shard, text), isUnsettled: unsettled === "true" }
  })
}

/** The json of `catalogQuery`, which builds every field itself. */
interface Json {
  readonly version: number
  readonly encoding: string
  readonly settings: { readonly [name: string]: string }
  readonly relations: ReadonlyArray<
    Pick<Catalog.Relation, "schema" | "name" | "kind" | "detailed" | "foreignKeys"> & Partial<Catalog.Relation>
  >
  readonly functions: ReadonlyArray<Catalog.UserFunction>
  readonly operators: ReadonlyArray<Catalog.UserOperator>
  readonly casts: ReadonlyArray<Catalog.UserCast>
  readonly types: ReadonlyArray<Catalog.UserType>
  readonly collations: ReadonlyArray<Catalog.UserCollation>
  readonly orders: ReadonlyArray<Catalog.UserOrder>
  readonly recasts: ReadonlyArray<number>
  readonly builtins: { readonly [name: string]: string }
  readonly system: ReadonlyArray<string>
  readonly indexTables?: { readonly [name: string]: string } | null
}

/**
 * The catalog in the text that `catalogQuery` returns. Tests keep such texts as fixtures.
 *
 * @since 0.1.0
 * @category functions
 */
export const decode = (shard: ShardId, text: string): Catalog.ShardCatalog => {
  const json: Json = JSON.parse(text)
  return {
    shard,
    version: json.version,
    encoding: json.encoding,
    settings: json.settings,
    relations: Partitions.fold(
      new Map(json.relations.map((relation) => [Catalog.key(relation.schema, relation.name), complete(relation)]))
    ),
    functions: json.functions,
    operators: json.operators,
    casts: json.casts,
    types: json.types,
    collations: json.collations,
    orders: json.orders,
    recasts: json.recasts,
    builtins: new Map(Object.entries(json.builtins).map(([name, letters]) => [name, builtin(letters)])),
    indexTables: new Map(Object.entries(json.indexTables ?? {})),
    system: new Set(json.system)
  }
}

const complete = (relation: Json["relations"][number]): Catalog.Relation => ({
  rowSecurity: false,
  security: null,
  policies: [],
  securedPartition: null,
  isPartition: false,
  parent: null,
  parents: [],
  hasChildren: false,
  ancestors: [],
  descendants: [],
  bound: null,
  partitionKey: null,
  partitions: [],
  definition: null,
  options: [],
  uses: [],
  columns: [],
  indexes: [],
  checks: [],
  triggers: [],
  rules: [],
  callers: [],
  ...relation
})

/** The volatility's letter, and an `a` behind it where some of the functions aggregate. */
const builtin = (letters: string): Catalog.Builtin => ({
  volatility: letters.startsWith("i") ? "i" : letters.startsWith("s") ? "s" : "v",
  aggregate: letters.endsWith("a")
})
