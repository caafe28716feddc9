/**
 * What the shards' catalogs tell before the first statement: all that statements would be refused for, and what they will
 * be surprised by.
 *
 * Enters: the topology, the catalogs that were read, and why the others were not. Leaves: findings, by the checks that
 * statements meet later (`CatalogCheck`, `WriteRules`). Holds: a table without an error takes any row whose columns are
 * all given, and gives its rows to queries. Knowingly approximates: what a table is, is said by the first shard that has
 * it; views are compared where a statement uses them.
 *
 * @since 0.1.0
 */
import type { ShardError } from "@shardlayer/core/ShardError"
import type { Finding } from "@shardlayer/core/topology/StartReport"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Table from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as WriteRules from "./analysis/WriteRules.js"
import type * as Catalog from "./Catalog.js"
import * as CatalogCheck from "./CatalogCheck.js"
import type { Coordinator } from "./Coordinator.js"
import { type SchemaView, Stopped } from "./SchemaView.js"

/** @since 0.1.0 @category models */
export interface Sources {
  readonly topology: Topology
  readonly catalogs: ReadonlyArray<Catalog.ShardCatalog>
  readonly coordinator: Coordinator | undefined
  readonly view: SchemaView
}

/**
 * A database whose catalog was not read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Missing {
  readonly shard: ShardId
  readonly error: ShardError
}

/** @since 0.1.0 @category functions */
export const find = (sources: Sources): ReadonlyArray<Finding> => {
  const { catalogs, coordinator, topology } = sources
  return [
    ...CatalogCheck.find(topology, catalogs).map(ofProblem),
    ...(coordinator?.problems ?? []).map((problem) => ofCoordinator(coordinator, problem)),
    ...versionsApart(catalogs),
    ...Object.values(topology.tables).flatMap((table) => ofTable(sources, table))
  ]
}

/** @since 0.1.0 @category functions */
export const unread = ({ error, shard }: Missing): Finding => ({
  severity: "error",
  kind: "unreachable",
  shards: [shard],
  problem: `it did not tell its catalog: ${"reason" in error ? error.reason : error.message}`,
  advice: "Start its server, or correct how the shard is connected to; until then its statements fail"
})

/** The words of `CatalogCheck` name shard and table themselves. */
const ofProblem = ({ advice, column, kind, shards, table, text }: CatalogCheck.Problem): Finding => ({
  severity: "error",
  kind,
  shards,
  table: table?.id,
  column,
  problem: text,
  advice
})

const ofCoordinator = (coordinator: Coordinator | undefined, problem: string): Finding => ({
  severity: "error",
  kind: "settings",
  shards: coordinator === undefined ? [] : [coordinator.id],
  problem,
  advice: "Make it like the shards, or let another one finish statements"
})

const versionsApart = (catalogs: ReadonlyArray<Catalog.ShardCatalog>): ReadonlyArray<Finding> => {
  const versions = new Map<number, Array<string>>()
  for (const catalog of catalogs) {
    const version = CatalogCheck.major(catalog)
    versions.set(version, [...(versions.get(version) ?? []), catalog.shard])
  }
  if (versions.size < 2) return []
  const said = [...versions].map(([version, shards]) => `PostgreSQL ${version} (${shards.join(", ")})`)
  return [
    {
      severity: "warning",
      kind: "version",
      shards: [],
      problem: `the servers run ${said.join(" and ")}`,
      advice: "Bring them to one version: what one of them computes, another may not know or may print differently"
    }
  ]
}

const ofTable = ({ topology, view }: Sources, table: Table.Table): ReadonlyArray<Finding> => {
  const named = open(view, table)
  if (named === undefined || "severity" in named) return named === undefined ? [] : [named]
  return [...(table._tag === "Sharded" ? keyWarnings(topology, table, named) : []), ...ofWrites(view, table, named)]
}

/** The table as statements find it, or what they all are refused for. What differs between shards is told already. */
const open = (view: SchemaView, table: Table.Table): Catalog.Relation | Finding | undefined => {
  try {
    return view.table(table.schema, table.name, undefined).relation
  } catch (stopped) {
    if (!(stopped instanceof Stopped)) throw stopped
    if (stopped.stop._tag !== "Refused" || stopped.stop.unknownName) return undefined
    const { code, hint, reason } = stopped.stop.refusal
    return { severity: "error", kind: "code", shards: [], table: table.id, problem: reason, advice: hint, code }
  }
}

const keyWarnings = (topology: Topology, table: Table.Sharded, relation: Catalog.Relation): ReadonlyArray<Finding> => {
  const warning = (column: string | undefined, problem: string, advice: string): Finding => ({
    severity: "warning",
    kind: "key",
    shards: [],
    table: table.id,
    column,
    problem,
    advice
  })
  const takesNull = topology.keyspaces[table.keyspace]?.resolver._tag === "Hash"
  const nullable = relation.columns.filter((column) => table.columns.includes(column.name) && !column.notNull)
  return [
    ...nullable.map(({ name }) => {
      const what = takesNull
        ? "rows without a key all live on the shard of slot 0"
        : "rows without a key may have no shard"
      return warning(name, `the key column may be NULL: ${what}`, "Make it NOT NULL")
    }),
    ...(relation.indexes.some((index) => index.primary)
      ? []
      : [
          warning(
            undefined,
            "the table has no primary key, so that nothing tells its rows apart",
            `Give it one that includes ${table.columns.join(", ")}`
          )
        ])
  ]
}

const ofWrites = (view: SchemaView, table: Table.Table, relation: Catalog.Relation): ReadonlyArray<Finding> => {
  const columns = new Set(relation.columns.map(({ name }) => name))
  const generated = new Set(Object.keys(Table.generatorsOf(table)))
  const given = WriteRules.find(view, relation, { kind: "insert", columns })
  const rest = [
    ...WriteRules.find(view, relation, { kind: "update", columns }),
    ...WriteRules.find(view, relation, { kind: "delete", columns: new Set() }),
    ...WriteRules.find(view, relation, { kind: "insert", columns: generated })
  ]
  // Cascades lead into other tables, which are told of by themselves; so is a foreign key, by the table that has it.
  const here = ({ place, refusal }: WriteRules.Broken) => place.id === table.id && refusal.code !== "SL6011"
  const seen = new Set<string>()
  const isNew = ({ refusal }: WriteRules.Broken) => !seen.has(refusal.reason) && seen.add(refusal.reason)
  const finding =
    (severity: Finding["severity"]) =>
    ({ object, refusal }: WriteRules.Broken): Finding => ({
      severity,
      kind: kinds[refusal.code] ?? "code",
      shards: [],
      table: table.id,
      column: columns.has(object) ? object : undefined,
      problem: refusal.reason,
      advice: refusal.hint,
      code: refusal.code
    })
  return [
    ...given
      .filter(here)
      .filter(isNew)
      .map(finding(table._tag === "Sharded" ? "error" : "warning")),
    ...rest
      .filter((broken) => here(broken) || isForeign(view, broken, table))
      .filter(isNew)
      .map(finding("warning"))
  ]
}

/** A foreign key of a table that the topology does not list: nobody else tells of it; or one whose cascade moves rows. */
const isForeign = (view: SchemaView, { object, place, refusal }: WriteRules.Broken, table: Table.Table): boolean => {
  if (refusal.code !== "SL6011" || place.id !== table.id) return false
  const key = view.referencing(table.schema, table.name).find((candidate) => candidate.key.name === object)
  if (key === undefined) return true
  const other = WriteRules.placed(view, key.from)
  const isListed = other._tag !== "Single" || Object.hasOwn(view.topology.tables, other.id)
  return !isListed || WriteRules.isLocal(other, key.key.columns, place, key.key.references)
}

const kinds: { readonly [code: string]: Finding["kind"] } = {
  SL6005: "constraint",
  SL6006: "constraint",
  SL6007: "code",
  SL6011: "constraint"
}
