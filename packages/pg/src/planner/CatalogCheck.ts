/**
 * Compares the shards' schemas with the topology and with each other.
 *
 * Enters: the topology, the catalogs of the shards that answered. Leaves: problems in words, by table; under `""` those
 * of whole shards. Holds: tables without problems have, on all shards that answered, the same columns in the same order,
 * the same constraints, partitions and hidden code, and key columns whose hash the router computes exactly. (Views are
 * no tables of the topology: `ViewCheck` compares them, where a statement uses them.)
 *
 * @since 0.1.0
 */
import type * as Id from "@shardlayer/core/topology/Id"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Table from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Catalog from "./Catalog.js"
import * as KeyTypes from "./KeyTypes.js"

/**
 * By `schema.name` of the table; `""` for what concerns every statement.
 *
 * @since 0.1.0
 * @category models
 */
export type Problems = ReadonlyMap<string, ReadonlyArray<string>>

/** @since 0.1.0 @category constants */
export const everything = ""

const versionMin = 150000

/**
 * One of them, with what it is about.
 *
 * @since 0.1.0
 * @category models
 */
export interface Problem {
  readonly kind: "version" | "settings" | "schema" | "key" | "generator"
  /** Absent where it concerns every statement. */
  readonly table: Table.Table | undefined
  readonly column?: string
  readonly shards: ReadonlyArray<ShardId>
  readonly text: string
  readonly advice: string
}

/** @since 0.1.0 @category functions */
export const check = (topology: Topology, catalogs: ReadonlyArray<Catalog.ShardCatalog>): Problems => {
  const problems = new Map<string, ReadonlyArray<string>>()
  for (const { table, text } of find(topology, catalogs)) {
    const key = table === undefined ? everything : Catalog.key(table.schema, table.name)
    problems.set(key, [...(problems.get(key) ?? []), text])
  }
  return problems
}

/**
 * The same, one by one.
 *
 * @since 0.1.0
 * @category functions
 */
export const find = (topology: Topology, catalogs: ReadonlyArray<Catalog.ShardCatalog>): ReadonlyArray<Problem> => [
  ...catalogs.flatMap((catalog) => serverProblems("shard", catalog, catalogs[0] ?? catalog)),
  ...Object.values(topology.tables).flatMap((table) => tableProblems(table, catalogs))
]

/**
 * In what a coordinator that is no shard differs from the shards as a whole: it must be of the same version, look for
 * names in the same schemas, and read, compare and print values alike.
 *
 * @since 0.1.0
 * @category functions
 */
export const coordinatorProblems = (
  catalog: Catalog.ShardCatalog,
  catalogs: ReadonlyArray<Catalog.ShardCatalog>
): ReadonlyArray<string> => {
  const [first] = catalogs
  if (first === undefined) return []
  const version = major(catalog)
  const other = catalogs.find((shard) => major(shard) !== version)
  return [
    ...serverProblems("coordinator", catalog, first).map(({ text }) => text),
    ...(other === undefined
      ? []
      : [`coordinator ${catalog.shard} runs PostgreSQL ${version}, shard ${other.shard} PostgreSQL ${major(other)}`])
  ]
}

/** @since 0.1.0 @category getters */
export const major = ({ version }: Pick<Catalog.ShardCatalog, "version">): number => Math.floor(version / 10_000)

const serverProblems = (
  what: "shard" | "coordinator",
  catalog: Catalog.ShardCatalog,
  first: Catalog.ShardCatalog
): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const name = `${what} ${catalog.shard}`
  const add = (kind: "version" | "settings", text: string, advice: string) =>
    problems.push({ kind, table: undefined, shards: [catalog.shard], text, advice })
  if (catalog.version < versionMin) {
    add("version", `${name} runs PostgreSQL ${major(catalog)}; 15 or later is needed`, "Upgrade that server")
  }
  if (catalog.encoding !== "UTF8") {
    const advice = "Load its contents into a database made WITH ENCODING 'UTF8'"
    add("settings", `${name} has encoding ${catalog.encoding}; UTF8 is needed`, advice)
  }
  for (const [setting, value] of Object.entries(first.settings)) {
    const other = catalog.settings[setting]
    if (other === value) continue
    const advice =
      setting === "locale"
        ? "Make both databases with one locale, provider and version: texts would be ordered and compared differently"
        : `Give the sessions of both one ${setting}`
    add("settings", `${name} has ${setting} "${other ?? ""}", shard ${first.shard} has "${value}"`, advice)
  }
  return problems
}

const tableProblems = (table: Table.Table, catalogs: ReadonlyArray<Catalog.ShardCatalog>): ReadonlyArray<Problem> => {
  const key = Catalog.key(table.schema, table.name)
  const home = table._tag === "Single" ? catalogs.filter((catalog) => catalog.shard === table.shard) : catalogs
  const problems = home.flatMap((catalog): ReadonlyArray<Problem> => {
    if (catalog.relations.has(key)) return []
    const text = `shard ${catalog.shard} has no table ${table.id}`
    return [{ kind: "schema", table, shards: [catalog.shard], text, advice: "Make it there as it is on the others" }]
  })
  if (table._tag === "Single") return problems
  const present = home.flatMap((catalog) => {
    const relation = catalog.relations.get(key)
    return relation === undefined ? [] : [{ catalog, relation }]
  })
  const [first, ...rest] = present
  if (first === undefined) return problems
  for (const other of rest) {
    const shards = [first.catalog.shard, other.catalog.shard]
    for (const text of differences(`table ${table.id}`, first, other)) {
      problems.push({ kind: "schema", table, shards, text, advice: "Bring the tables in line" })
    }
  }
  if (table._tag === "Sharded" && isTable(first.relation)) problems.push(...keyProblems(table, first.relation))
  if (isTable(first.relation)) problems.push(...generatorProblems(table, first.relation))
  return problems.filter(({ text }, index) => problems.findIndex((problem) => problem.text === text) === index)
}

/** Views and the like are refused by name where they are used. */
const isTable = (relation: Catalog.Relation): boolean => relation.kind === "r" || relation.kind === "p"

/**
 * A relation, and the catalog it is of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  readonly catalog: Catalog.ShardCatalog
  readonly relation: Catalog.Relation
}

/**
 * In what two shards' relations of one name differ, in words.
 *
 * @since 0.1.0
 * @category functions
 */
export const differences = (what: string, one: Found, other: Found): ReadonlyArray<string> => {
  const shards = `shard ${one.catalog.shard} and shard ${other.catalog.shard}`
  const [left, right] = [aspects(one), aspects(other)]
  const problems: Array<string> = []
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    const [before, after] = [left.get(name), right.get(name)]
    if (before === after) continue
    if (before === undefined) problems.push(`shard ${one.catalog.shard} lacks ${name} of ${what}`)
    else if (after === undefined) problems.push(`shard ${other.catalog.shard} lacks ${name} of ${what}`)
    else problems.push(`${name} of ${what} differs between ${shards}: ${before}, ${after}`)
  }
  return problems
}

/** What must be equal, by name: column places too, for `SELECT *` and INSERT without a column list. */
const aspects = ({ catalog, relation }: Found): ReadonlyMap<string, string> => {
  const all = new Map<string, string>([
    ["the kind", relation.kind],
    ["row security", String(relation.rowSecurity)]
  ])
  if (relation.security !== null) all.set("the reach of row security", JSON.stringify(relation.security))
  for (const policy of relation.policies) all.set(`policy ${policy.name}`, JSON.stringify(policy))
  // Those of several partitions may share a name.
  const add = (name: string, value: unknown) => all.set(name, (all.get(name) ?? "") + JSON.stringify(value))
  for (const [index, column] of relation.columns.entries()) {
    const { default: value, name, ...rest } = column
    add(`column ${name}`, {
      place: index + 1,
      ...typeText(catalog, column),
      ...rest,
      base: undefined,
      default: value
    })
  }
  for (const index of relation.indexes) {
    if (index.unique || index.exclusion) add(`index ${index.name}`, index)
  }
  for (const key of relation.foreignKeys) add(`foreign key ${key.name}`, key)
  for (const constraint of relation.checks) all.set(`check ${constraint.name}`, constraint.definition)
  for (const trigger of relation.triggers) add(`trigger ${trigger.name}`, trigger)
  for (const rule of relation.rules) all.set(`rule ${rule}`, "")
  for (const caller of relation.callers) add(`the functions of ${caller.object}`, caller.functions)
  if (relation.partitionKey !== null) all.set("the partition key", relation.partitionKey)
  for (const partition of relation.partitions)
    all.set(`partition ${Catalog.shown(partition.key)}`, partitionText(partition))
  if (relation.definition !== null) all.set("the query", relation.definition)
  if (relation.kind === "v") add("the relations", relation.uses)
  if (relation.options.length > 0) all.set("the options", [...relation.options].sort().join(", "))
  return all
}

/** What decides which rows it takes, and what it makes of them. */
const partitionText = ({ bound, generated, kind, parent, partitionKey }: Catalog.Partition): string =>
  [
    `${kind === "f" ? "foreign, " : ""}of ${Catalog.shown(parent)} ${bound}`,
    ...(partitionKey === null ? [] : [`by ${partitionKey}`]),
    ...generated
  ].join(", ")

/** User types have oids of their own on each shard: their definition stands for them. */
const typeText = (catalog: Catalog.ShardCatalog, column: Catalog.Column): { readonly definition?: string } => {
  if (column.userType === null) return {}
  const type = catalog.types.find((candidate) => `${candidate.schema}.${candidate.name}` === column.userType)
  return type === undefined ? {} : { definition: type.definition }
}

const keyProblems = (table: Table.Sharded, relation: Catalog.Relation): ReadonlyArray<Problem> =>
  table.columns.flatMap((name, index) => {
    const column = relation.columns.find((candidate) => candidate.name === name)
    const type = table.types[index]
    const texts =
      column === undefined
        ? [`table ${table.id} has no column ${name}, its shard key`]
        : type === undefined
          ? []
          : keyColumnProblems(`key column ${name} of table ${table.id}`, column, type)
    const advice = "Correct the topology, or the column"
    return texts.map((text): Problem => ({ kind: "key", table, column: name, shards: [], text, advice }))
  })

const keyColumnProblems = (what: string, column: Catalog.Column, type: KeyType.KeyType): ReadonlyArray<string> => {
  const found = KeyTypes.familyOfOid(column.base)
  if (found === undefined) {
    return [`${what} has type ${column.type}, whose hash the router does not compute (${type} is expected)`]
  }
  if (found !== KeyType.family(type)) return [`${what} has type ${column.type}, the topology says ${type}`]
  if (column.collation?.deterministic === false) {
    return [
      `${what} has collation ${column.collation.name}, which is not deterministic: it calls texts equal that hash apart`
    ]
  }
  if (column.generated !== "") return [`${what} is generated: its value is not known before it is stored`]
  const rounds = column.modifier !== -1 && (found === "numeric" || found === "timestamptz")
  return rounds ? [`${what} has type ${column.type}, which rounds values as it stores them`] : []
}

const generatorProblems = (table: Table.Table, relation: Catalog.Relation): ReadonlyArray<Problem> =>
  Object.entries(Table.generatorsOf(table)).flatMap(([name, generator]) => {
    const text = generatorProblem(table, relation, name, generator)
    const advice = "Correct the topology's `generate`, or the column"
    return text === undefined ? [] : [{ kind: "generator", table, column: name, shards: [], text, advice }]
  })

const generatorProblem = (
  table: Table.Table,
  relation: Catalog.Relation,
  name: string,
  generator: Id.Generator
): string | undefined => {
  const what = `column ${name} of table ${table.id}`
  const column = relation.columns.find((candidate) => candidate.name === name)
  if (column === undefined) return `table ${table.id} has no column ${name}, which the topology generates`
  if (column.identity === "a" || column.generated !== "") {
    return `${what} is GENERATED ALWAYS, so that it takes no value of the topology's generator`
  }
  return generatedTypes[generator._tag].includes(column.base)
    ? undefined
    : `${what} has type ${column.type}, which does not hold every value of generator ${generator._tag}`
}

/** Under all domains, by oid: int8, numeric, text; uuid; int4 and int2 for as long as a sequence lasts. */
const generatedTypes: { readonly [Tag in Id.Generator["_tag"]]: ReadonlyArray<number> } = {
  Snowflake: [20, 1700, 25],
  SafeSnowflake: [20, 1700, 25],
  Uuidv7: [2950, 25],
  Sequence: [20, 23, 21, 1700, 25]
}
