/**
 * Compares a view across the shards, for the statement that uses it.
 *
 * Enters: its name, the topology, the catalogs. Leaves: the view, and the one shard it belongs to if it reads a table of
 * one shard; or why it cannot be used. Holds: on every shard that the statement may be sent to, the view is the one that
 * leaves here. A view has no place of its own: it lives where the tables under it do.
 *
 * @since 0.1.0
 */
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Catalog from "./Catalog.js"
import * as CatalogCheck from "./CatalogCheck.js"

/**
 * `Unread`: its query could not be read, for a table under it was locked.
 *
 * @since 0.1.0
 * @category models
 */
export type Compared =
  | { readonly _tag: "Alike"; readonly view: Catalog.Relation; readonly home: ShardId | undefined }
  | { readonly _tag: "Unread"; readonly shard: ShardId }
  | { readonly _tag: "Differs"; readonly problems: ReadonlyArray<string> }

/** @since 0.1.0 @category functions */
export const compare = (topology: Topology, catalogs: ReadonlyArray<Catalog.ShardCatalog>, key: string): Compared => {
  const holders = catalogs.flatMap((catalog) => holderOf(topology, catalog, key) ?? [])
  const [first] = holders
  if (first === undefined) throw new Error(`no shard has a view ${key}`)
  const problems = problemsOf(catalogs, holders, key)
  const only = problems.length === 0 ? undefined : onlyHome(topology, holders)
  const unread = (only === undefined ? holders : [only]).find(({ relation }) => relation.definition === null)
  if (unread !== undefined) return { _tag: "Unread", shard: unread.catalog.shard }
  if (only !== undefined) return { _tag: "Alike", view: only.relation, home: only.catalog.shard }
  return problems.length === 0
    ? { _tag: "Alike", view: first.relation, home: first.home }
    : { _tag: "Differs", problems }
}

interface Holder extends CatalogCheck.Found {
  /** The shard of the tables under it that live on one. */
  readonly home: ShardId | undefined
  readonly hasTables: boolean
}

const holderOf = (topology: Topology, catalog: Catalog.ShardCatalog, key: string): Holder | undefined => {
  const relation = catalog.relations.get(key)
  if (relation?.kind !== "v") return undefined
  const tables = tablesUnder(catalog, key)
  const homes = tables.flatMap((name) => homeOf(topology, name) ?? [])
  return { catalog, relation, home: homes[0], hasTables: tables.length > 0 }
}

/** Through all views on the way. */
const tablesUnder = (catalog: Catalog.ShardCatalog, key: string): ReadonlyArray<string> => {
  const seen = new Set([key])
  for (const name of seen) {
    const relation = catalog.relations.get(name)
    if (relation?.kind === "v") for (const used of relation.uses) seen.add(used)
  }
  return [...seen].filter((name) => catalog.relations.get(name)?.kind !== "v")
}

const homeOf = (topology: Topology, name: string): ShardId | undefined => {
  const table = Object.values(topology.tables).find((each) => Catalog.key(each.schema, each.name) === name)
  switch (table?._tag) {
    case "Single":
      return table.shard
    case "Sharded":
    case "Reference":
      return undefined
    case undefined:
      return topology.unlisted
  }
}

/**
 * The view of the shard it belongs to: there, others do not matter. Where nothing is under it, it may stand with the
 * tables that the topology does not list.
 */
const onlyHome = (topology: Topology, holders: ReadonlyArray<Holder>): Holder | undefined => {
  const isBare = holders.every(({ hasTables }) => !hasTables)
  const homes = new Set(holders.map(({ home }) => home))
  const [home] = isBare ? [topology.unlisted] : [...homes]
  return homes.size === 1 ? holders.find(({ catalog }) => catalog.shard === home) : undefined
}

const problemsOf = (
  catalogs: ReadonlyArray<Catalog.ShardCatalog>,
  holders: ReadonlyArray<Holder>,
  key: string
): ReadonlyArray<string> => {
  const view = `view ${Catalog.shown(key)}`
  const missing = catalogs
    .filter((catalog) => holders.every((holder) => holder.catalog !== catalog))
    .map(({ shard }) => `shard ${shard} has no ${view}`)
  const [first, ...rest] = holders
  const differing = first === undefined ? [] : rest.flatMap((other) => CatalogCheck.differences(view, first, other))
  return [...missing, ...differing]
}
