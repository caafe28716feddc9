/** The recorded catalog of schema.sql, changed as it could be on one shard. */
import { readFileSync } from "node:fs"
import type * as Catalog from "@shardlayer/pg/planner/Catalog"
import * as CatalogReader from "@shardlayer/pg/planner/CatalogReader"
import { fileUrl, topology } from "./world.js"

const recorded = readFileSync(fileUrl("catalog.json"), "utf8")

/** A relation as the server tells it, before partitions are folded into their table. */
export interface Told {
  readonly name: string
  readonly kind: string
  readonly [field: string]: unknown
}

/** What becomes of a relation: another one, or none. */
export type Change = (relation: Told) => Told | undefined

export const unchanged: Change = (relation) => relation

export const without =
  (...names: ReadonlyArray<string>): Change =>
  (relation) =>
    names.includes(relation.name) ? undefined : relation

export const withFields =
  (name: string, fields: { readonly [field: string]: unknown }): Change =>
  (relation) =>
    relation.name === name ? { ...relation, ...fields } : relation

export const both =
  (one: Change, other: Change): Change =>
  (relation) => {
    const changed = one(relation)
    return changed === undefined ? undefined : other(changed)
  }

/** The catalogs of three shards, each with its change. */
export const catalogs = (...changes: ReadonlyArray<Change>): ReadonlyArray<Catalog.ShardCatalog> =>
  topology.shards.map((shard, index) => {
    const json: { readonly relations: ReadonlyArray<Told> } = JSON.parse(recorded)
    const change = changes[index] ?? unchanged
    const relations = json.relations.flatMap((relation) => change(relation) ?? [])
    return CatalogReader.decode(shard, JSON.stringify({ ...json, relations }))
  })
