/**
 * Names, as a statement may mention them, seen through catalog and topology at once.
 *
 * Enters: names. Leaves: what they stand for, or the refusal. Holds: whatever is not known to be safe is refused; a
 * user object that could take the place of a builtin one (same name, on the search path) counts as the user's.
 *
 * @since 0.1.0
 */
import type { Family, KeyType } from "@shardlayer/core/topology/KeyType"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type * as Table from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Either from "effect/Either"
import type { Node } from "libpg-query"
import * as Collations from "./Collations.js"
import type { Collation, Named, Stability } from "./analysis/Model.js"
import * as Catalog from "./Catalog.js"
import * as Coordinator from "./Coordinator.js"
import * as Functions from "./Functions.js"
import * as KeyTypes from "./KeyTypes.js"
import * as Parser from "./Parser.js"
import { draft, type Draft } from "./Refusal.js"
import * as RowSecurity from "./RowSecurity.js"
import * as ViewCheck from "./ViewCheck.js"

/**
 * Why the analysis stopped: a refusal, a text whose types a shard must tell first, shards whose schemas differ in a table it needs, or a shard it has not heard of.
 *
 * @since 0.1.0
 * @category models
 */
export type Stop =
  | {
      readonly _tag: "Refused"
      readonly refusal: Draft
      /** A newer catalog could know the name. */ readonly unknownName: boolean
    }
  | { readonly _tag: "Undescribed"; readonly sql: string; readonly shard: ShardId | undefined }
  | { readonly _tag: "Mismatch"; readonly problems: ReadonlyArray<string> }
  | { readonly _tag: "Unread"; readonly table: string; readonly shard: ShardId }

/**
 * Ends an analysis from deep inside the tree; `analyze` turns it into a value. Never leaves the planner.
 *
 * @since 0.1.0
 * @category errors
 */
export class Stopped {
  constructor(readonly stop: Stop) {}
}

/** @since 0.1.0 @category functions */
export const refuse = (refusal: Draft, unknownName = false): never => {
  throw new Stopped({ _tag: "Refused", refusal, unknownName })
}

/**
 * A view stands for its query. What counts are the tables under it; whether the topology lists the view does not.
 *
 * @since 0.1.0
 * @category models
 */
export interface NamedView {
  readonly _tag: "View"
  readonly name: string
  readonly relation: Catalog.Relation
  /** The one shard it can be used on. */
  readonly home: ShardId | undefined
  readonly query: Node
  /** What the names in its query mean. */
  readonly names: SchemaView
}

/** @since 0.1.0 @category models */
export interface Found {
  readonly table: Table.Table | undefined
  /** From any shard that has it, in full if there is one. */
  readonly relation: Catalog.Relation | undefined
}

/** @since 0.1.0 @category models */
export interface FunctionInfo {
  readonly stability: Stability
  readonly aggregate: boolean
  readonly orderFree: boolean
}

/** @since 0.1.0 @category models */
export interface TypeInfo {
  readonly key: KeyType | undefined
}

/** @since 0.1.0 @category models */
export interface SchemaView {
  readonly topology: Topology
  /** Refuses views: this is for names that rows are written to, or that are locked. */
  readonly table: (schema: string | undefined, name: string, location: number | undefined) => Named
  /** What a name stands for where rows are read, or where it is looked up. */
  readonly source: (schema: string | undefined, name: string, location: number | undefined) => Named | NamedView
  /** What is known of a name, refusing nothing. */
  readonly find: (schema: string | undefined, name: string) => Found
  readonly function: (names: ReadonlyArray<string>, args: number, location: number | undefined) => FunctionInfo
  /** Refuses operators that call unknown code. */
  readonly operator: (names: ReadonlyArray<string>, location: number | undefined) => void
  /** A relation as one shard has it, by `schema.name`. */
  readonly on: (shard: ShardId, key: string) => Catalog.Relation | undefined
  /** The tables that the policies of a table read. */
  readonly policyTables: (
    relation: Catalog.Relation
  ) => ReadonlyArray<{ readonly schema: string | undefined; readonly name: string }>
  /** Every operator of this name gives NULL for NULL. */
  readonly isStrict: (operator: string) => boolean
  readonly type: (names: ReadonlyArray<string>, location: number | undefined) => TypeInfo
  /** A function of this name may be an aggregate. Asks nothing else of it. */
  readonly isAggregate: (names: ReadonlyArray<string>) => boolean
  readonly isFunctionName: (name: string) => boolean
  /** The family of a column's type, if its equality is known. */
  readonly familyOf: (column: Catalog.Column) => ReturnType<typeof KeyTypes.familyOf>
  /** Values of this family compare by PostgreSQL's own operators (texts as their collation says). */
  readonly isOrdered: (family: Family) => boolean
  readonly isPure: (qualified: string) => boolean
  /** No user function can be meant by this name, but one of a known extension, which is of the same kind as PostgreSQL's own. */
  readonly isLikeBuiltin: (names: ReadonlyArray<string>) => boolean
  /** No user function can be meant by this name. */
  readonly isBuiltinFunction: (names: ReadonlyArray<string>) => boolean
  /** A cast of a text may be a user's function, not the type's own input. */
  readonly hasTextCasts: boolean
  /** Refuses a finishing statement that means something else, or nothing, on a coordinator that is no shard. */
  readonly checkFinish: (tree: Node) => void
  /** A function of this name takes a domain, or tells one from the type under it. */
  readonly isForDomains: (name: string) => boolean
  /** So does an operator of this name. */
  readonly isOperatorForDomains: (name: string) => boolean
  /** What COLLATE with this name means. */
  readonly collation: (names: ReadonlyArray<string>) => Collation
  /** Orders texts byte by byte. */
  readonly isBytewise: (collation: Collation) => boolean
  /** The collations that a domain of this name brings along: several where it may be one or another. Without a name, those of all domains. */
  readonly typeCollations: (names: ReadonlyArray<string> | undefined) => ReadonlyArray<Collation>
  /** The table of an index, as `schema.name`. */
  readonly tableOfIndex: (schema: string | undefined, name: string) => string | undefined
  /** The shards, among those whose catalogs are known, that have a relation of this name. */
  readonly having: (schema: string | undefined, name: string) => ReadonlyArray<ShardId>
  /** The relations that reference this one. */
  readonly referencing: (
    schema: string,
    name: string
  ) => ReadonlyArray<{ readonly from: Catalog.Relation; readonly key: Catalog.ForeignKey }>
}

/** @since 0.1.0 @category models */
export interface Sources {
  readonly topology: Topology
  /** Of the shards that answered, in the topology's order; at least one. */
  readonly catalogs: ReadonlyArray<Catalog.ShardCatalog>
  /** What `CatalogCheck` found, by `schema.name` of the table. */
  readonly problems: ReadonlyMap<string, ReadonlyArray<string>>
  /** Where unqualified names are looked for, after pg_catalog. */
  readonly searchPath: ReadonlyArray<string>
  /** Where a PostgreSQL finishes, if that is no shard. */
  readonly coordinator?: Coordinator.Coordinator | undefined
}

/** With what all lookups ask. */
interface Known extends Sources {
  readonly isPure: (qualified: string) => boolean
  /** The topology's tables, by `schema.name`. */
  readonly placed: ReadonlyMap<string, Table.Table>
  /** What names in policies stand for. */
  readonly policyNames: RowSecurity.Names
}

/** @since 0.1.0 @category constructors */
export const make = (given: Sources): SchemaView => {
  const isPure = pureIn(given)
  const { catalogs, searchPath, topology } = given
  const first = catalogs[0]
  if (first === undefined) throw new Error("a schema view needs the catalog of at least one shard")
  const tables = new Map(Object.values(topology.tables).map((table) => [Catalog.key(table.schema, table.name), table]))
  const functions = byName(catalogs.flatMap((catalog) => catalog.functions))
  const policyNames = policyNamesIn(given, first, tables, isPure)
  const sources: Known = { ...given, isPure, policyNames, placed: tables }
  const operators = byName(catalogs.flatMap((catalog) => catalog.operators))
  const types = byName(catalogs.flatMap((catalog) => catalog.types))
  const operands = (names: ReadonlyArray<string>) =>
    new Set(names.flatMap((name) => operators.get(name) ?? []).flatMap((operator) => [operator.left, operator.right]))
  const userEquality = operands(["=", "<>"])
  for (const { type } of catalogs.flatMap((catalog) => catalog.orders)) userEquality.add(type)
  const oidOf = new Map(
    catalogs.flatMap((catalog) => catalog.types).map((type) => [`${type.schema}.${type.name}`, type.oid])
  )
  const hasUserEquality = (column: Catalog.Column) =>
    userEquality.has(column.base) || (column.userType !== null && userEquality.has(oidOf.get(column.userType) ?? -1))
  const userOrder = new Set([...operands(["<", "<=", ">", ">="])].map((oid) => familyUnder(catalogs, oid)))
  const queryOf = memoized(queryIn)
  const view: SchemaView = {
    topology,
    isPure,
    table: (schema, name, location) => {
      const found = view.source(schema, name, location)
      return found._tag === "View" ? refuse(draft("SL2003", { table: found.name }, location)) : found
    },
    source: (schema, name, location) => sourceOf({ sources, queryOf, names }, schema, name, location),
    find: (schema, name) => {
      const keys = (schema === undefined ? searchPath : [schema]).map((candidate) => Catalog.key(candidate, name))
      const key = keys.find(
        (candidate) => tables.has(candidate) || catalogs.some((catalog) => catalog.relations.has(candidate))
      )
      if (key === undefined) return { table: undefined, relation: undefined }
      const relations = catalogs.flatMap((catalog) => catalog.relations.get(key) ?? [])
      return { table: tables.get(key), relation: relations.find((relation) => relation.detailed) ?? relations[0] }
    },
    on: (shard, key) => catalogs.find((catalog) => catalog.shard === shard)?.relations.get(key),
    policyTables: (relation) => RowSecurity.tablesOf(policyNames.parse, relation),
    function: (names, args, location) => functionOf({ first, functions, isPure, searchPath }, names, args, location),
    operator: (names, location) => checkOperator(operators, isPure, names, location),
    isStrict: (operator) => (operators.get(operator) ?? []).every((candidate) => candidate.strict),
    type: (names, location) => typeOf({ catalogs, types, isPure, searchPath }, names, location),
    isAggregate: (names) => {
      const name = names[names.length - 1] ?? ""
      return (
        first.builtins.get(name)?.aggregate === true ||
        (functions.get(name) ?? []).some((candidate) => candidate.aggregate)
      )
    },
    isFunctionName: (name) => first.builtins.has(name) || functions.has(name),
    isLikeBuiltin: (names) => (functions.get(names[names.length - 1] ?? "") ?? []).every(({ known }) => known),
    isBuiltinFunction: (names) => {
      const name = names[names.length - 1] ?? ""
      return names.length > 1 ? names[0] === "pg_catalog" : !functions.has(name)
    },
    hasTextCasts: catalogs.some((catalog) => catalog.casts.some(({ source }) => source === "text")),
    isForDomains: (name) => name === "pg_typeof" || (functions.get(name) ?? []).some(({ domains }) => domains),
    isOperatorForDomains: (name) => (operators.get(name) ?? []).some(({ domains }) => domains),
    ...Collations.make(catalogs, searchPath),
    familyOf: (column) =>
      column.collation?.deterministic !== false && !hasUserEquality(column)
        ? KeyTypes.familyOfOid(column.base)
        : undefined,
    isOrdered: (family) => !userOrder.has(family) && !userOrder.has("any"),
    checkFinish: (tree) => {
      const stop = Coordinator.obstacle({ catalogs, coordinator: sources.coordinator, searchPath }, tree)
      if (stop !== undefined) throw new Stopped(stop)
    },
    ...placesIn(catalogs, searchPath),
    referencing: referencingIn(catalogs)
  }
  const path = Catalog.searchPath(first)
  const names = (): SchemaView => (isSamePath(path, searchPath) ? view : make({ ...sources, searchPath: path }))
  return view
}

/** The family of a type, or of a domain's; `any` for pseudo-types, which stand for each of them. */
const familyUnder = (catalogs: ReadonlyArray<Catalog.ShardCatalog>, oid: number): Family | "any" | undefined => {
  const domain = catalogs.flatMap((catalog) => catalog.types).find((type) => type.oid === oid)
  return pseudoTypes.has(oid) ? "any" : KeyTypes.familyOfOid(domain?.base ?? oid)
}

/** any, anyelement, anynonarray, anycompatible, anycompatiblenonarray. */
const pseudoTypes = new Set([2276, 2283, 2776, 5077, 5079])

const isSamePath = (one: ReadonlyArray<string>, other: ReadonlyArray<string>): boolean =>
  one.length === other.length && one.every((schema, index) => schema === other[index])

const policyNamesIn = (
  given: Sources,
  first: Catalog.ShardCatalog,
  tables: ReadonlyMap<string, Table.Table>,
  isPure: Known["isPure"]
): RowSecurity.Names => ({
  isPure,
  parse: memoized((text) => queryIn(`SELECT ${text}`)),
  place: placeIn(given, first, tables),
  builtin: (names) =>
    names.length > 1 && names[0] !== "pg_catalog" ? undefined : first.builtins.get(names.at(-1) ?? "")
})

/** Of a name in a policy, which the session's search path finds as it printed it. */
const placeIn =
  ({ catalogs, topology }: Sources, first: Catalog.ShardCatalog, tables: ReadonlyMap<string, Table.Table>) =>
  (schema: string | undefined, name: string): RowSecurity.Place => {
    const path = schema === undefined ? Catalog.searchPath(first) : [schema]
    const key = path
      .map((candidate) => Catalog.key(candidate, name))
      .find((candidate) => catalogs.some(({ relations }) => relations.has(candidate)))
    const table = tables.get(key ?? "")
    const shard = table === undefined ? topology.unlisted : table._tag === "Single" ? table.shard : undefined
    const relation = catalogs
      .filter((catalog) => shard === undefined || catalog.shard === shard)
      .flatMap(({ relations }) => relations.get(key ?? "") ?? [])[0]
    if (relation === undefined || (relation.kind !== "r" && relation.kind !== "p")) return { _tag: "Other" }
    if (table?._tag === "Reference") return { _tag: "Everywhere", relation }
    return shard === undefined ? { _tag: "Other" } : { _tag: "Shard", shard, relation }
  }

/** The query of each view is parsed once a catalog, when a statement first needs it. */
const queryIn = (definition: string): Node | undefined => Either.getOrUndefined(Parser.parseQuery(definition))

const memoized = <A>(run: (text: string) => A): ((text: string) => A) => {
  const known = new Map<string, A>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    const fresh = run(text)
    known.set(text, fresh)
    return fresh
  }
}

const byName = <A extends { readonly name: string }>(all: ReadonlyArray<A>): ReadonlyMap<string, ReadonlyArray<A>> => {
  const map = new Map<string, Array<A>>()
  for (const one of all) {
    const known = map.get(one.name)
    if (known === undefined) map.set(one.name, [one])
    else known.push(one)
  }
  return map
}

/** Functions that the topology lists, or that are known on every shard that has them. */
const pureIn = ({ catalogs, topology }: Pick<Sources, "catalogs" | "topology">) => {
  const pure = new Set(topology.pureFunctions)
  const functions = catalogs.flatMap((catalog) => catalog.functions)
  const unknown = new Set(functions.filter(({ known }) => !known).map(qualifiedName))
  for (const each of functions) if (!unknown.has(qualifiedName(each))) pure.add(qualifiedName(each))
  return (qualified: string): boolean =>
    pure.has(qualified) || pure.has(`${qualified.slice(0, qualified.indexOf("."))}.*`)
}

const qualifiedName = ({ name, schema }: Catalog.UserFunction): string => `${schema}.${name}`

const systemSchemas = ["pg_catalog", "information_schema"]

interface Naming {
  readonly sources: Known
  readonly queryOf: (definition: string) => Node | undefined
  /** `pg_get_viewdef` prints names as the sessions' search path finds them. */
  readonly names: () => SchemaView
}

const sourceOf = (
  naming: Naming,
  schema: string | undefined,
  name: string,
  location: number | undefined
): Named | NamedView => {
  const { sources } = naming
  const shown = schema === undefined ? name : `${schema}.${name}`
  const system = sources.catalogs.some((catalog) => catalog.system.has(Catalog.key(schema ?? "pg_catalog", name)))
  if (system || (schema !== undefined && systemSchemas.includes(schema))) {
    const shard = sources.topology.unlisted
    if (shard === undefined) return refuse(draft("SL2007", { table: shown }, location))
    return { _tag: "Single", name: shown, shard, listed: false, relation: undefined }
  }
  const schemas = schema === undefined ? sources.searchPath : [schema]
  for (const candidate of schemas) {
    const key = Catalog.key(candidate, name)
    const table = sources.placed.get(key)
    const relation = mainRelation(sources, table, key)
    if (table === undefined && relation === undefined) continue
    const problems = sources.problems.get(key)
    if (table !== undefined && problems !== undefined) throw new Stopped({ _tag: "Mismatch", problems })
    if (relation?.kind === "v") return viewOf(naming, key, location)
    return table === undefined
      ? unlistedTable(sources, key, shown, location)
      : listedTable(sources, table, key, location)
  }
  return refuse(draft("SL2002", { table: shown }, location), true)
}

/** From the shard that decides what the name is: where a single or unlisted table lives, or any. */
const mainRelation = (
  { catalogs, topology }: Sources,
  table: Table.Table | undefined,
  key: string
): Catalog.Relation | undefined => {
  const shard = table === undefined ? topology.unlisted : table._tag === "Single" ? table.shard : undefined
  const home = catalogs.find((catalog) => catalog.shard === shard)?.relations.get(key)
  return home ?? catalogs.map((catalog) => catalog.relations.get(key)).find((found) => found !== undefined)
}

const viewOf = ({ names, queryOf, sources }: Naming, key: string, location: number | undefined): NamedView => {
  const name = Catalog.shown(key)
  const compared = ViewCheck.compare(sources.topology, sources.catalogs, key)
  switch (compared._tag) {
    case "Unread":
      throw new Stopped({ _tag: "Unread", table: name, shard: compared.shard })
    case "Differs":
      throw new Stopped({ _tag: "Mismatch", problems: compared.problems })
    case "Alike": {
      const query = queryOf(compared.view.definition ?? "")
      if (query === undefined) return refuse(draft("SL1101", { construct: `the query of view ${name}` }, location))
      checkCasts(sources, compared.view, location)
      return { _tag: "View", name, relation: compared.view, home: compared.home, query, names: names() }
    }
  }
}

const listedTable = (sources: Known, table: Table.Table, key: string, location: number | undefined): Named => {
  if (table._tag === "Single") {
    const relation = relationOn(sources, table.shard, key, table.id, location)
    return { _tag: "Single", name: table.id, shard: table.shard, listed: true, relation }
  }
  const relation = mainRelation(sources, table, key)
  if (relation === undefined) return refuse(draft("SL2002", { table: table.id }, location), true)
  checkReadable(sources, relation, table.id, location, undefined, table._tag === "Sharded" ? table.acknowledge : [])
  return table._tag === "Sharded" ? { _tag: "Sharded", table, relation } : { _tag: "Reference", table, relation }
}

const unlistedTable = (sources: Known, key: string, shown: string, location: number | undefined): Named => {
  const somewhere = mainRelation(sources, undefined, key)
  const shard = sources.topology.unlisted
  if (somewhere !== undefined) checkKind(sources, somewhere, shown, location, shard)
  if (shard === undefined) return refuse(draft("SL2001", { table: shown }, location))
  const relation = relationOn(sources, shard, key, shown, location)
  return { _tag: "Single", name: shown, shard, listed: false, relation }
}

const relationOn = (
  sources: Known,
  shard: ShardId,
  key: string,
  shown: string,
  location: number | undefined
): Catalog.Relation => {
  const catalog = sources.catalogs.find((candidate) => candidate.shard === shard)
  if (catalog === undefined) throw new Stopped({ _tag: "Unread", table: shown, shard })
  const relation = catalog.relations.get(key)
  if (relation === undefined) return refuse(draft("SL2002", { table: shown }, location), true)
  checkReadable(sources, relation, shown, location, shard, [])
  return relation
}

const checkReadable = (
  sources: Known,
  relation: Catalog.Relation,
  shown: string,
  location: number | undefined,
  home: ShardId | undefined,
  acknowledged: ReadonlyArray<string>
): void => {
  checkKind(sources, relation, shown, location, home)
  checkCasts(sources, relation, location)
  const foreign = relation.partitions.find((partition) => partition.kind === "f")
  if (foreign !== undefined) {
    const table = `partition ${Catalog.shown(foreign.key)} of ${shown}`
    refuse(draft("SL2004", { table, kind: "foreign table" }, location))
  }
  if (!relation.rowSecurity) return
  const why = RowSecurity.obstacle(sources.policyNames, relation, acknowledged, home)
  if (why !== undefined) refuse(draft("SL2009", { table: shown, why }, location), RowSecurity.isUnread(relation))
}

/** A user cast may be applied to a column without a word in the statement, and so may the functions of its order. */
const checkCasts = (sources: Known, relation: Catalog.Relation, location: number | undefined): void => {
  checkOrders(sources, relation, location)
  for (const cast of sources.catalogs.flatMap((catalog) => catalog.casts)) {
    const column = relation.columns.find(
      (candidate) => candidate.type === cast.source || candidate.type === cast.target
    )
    if (column !== undefined && !sources.isPure(cast.function)) {
      refuse(draft("SL5005", { type: column.type, function: cast.function }, location))
    }
  }
}

const checkOrders = (sources: Known, relation: Catalog.Relation, location: number | undefined): void => {
  for (const { functions, name } of sources.catalogs.flatMap((catalog) => catalog.orders)) {
    const hidden = functions.find((called) => !sources.isPure(called))
    const column = relation.columns.find(({ type }) => type === name || type === `${name}[]`)
    if (hidden !== undefined && column !== undefined) {
      refuse(draft("SL5005", { type: column.type, function: hidden }, location))
    }
  }
}

const checkKind = (
  sources: Known,
  relation: Catalog.Relation,
  shown: string,
  location: number | undefined,
  home: ShardId | undefined
): void => {
  switch (relation.kind) {
    case "r":
    case "p":
      return checkTree(sources, relation, shown, location, home)
    case "v":
      return refuse(draft("SL2003", { table: shown }, location))
    case "m":
      return refuse(draft("SL2004", { table: shown, kind: "materialized view" }, location))
    case "f":
      return refuse(draft("SL2004", { table: shown, kind: "foreign table" }, location))
    case "S":
      return refuse(draft("SL2004", { table: shown, kind: "sequence" }, location))
    case "c":
      return refuse(draft("SL2004", { table: shown, kind: "composite type" }, location))
  }
}

/**
 * The rows of a tree are read and changed together, whichever of its tables is named: all of it lives on one shard, or it
 * is a partitioned table that is named as a whole.
 */
const checkTree = (
  sources: Known,
  { ancestors, descendants, hasChildren, isPartition, kind, parent, parents }: Catalog.Relation,
  shown: string,
  location: number | undefined,
  home: ShardId | undefined
): void => {
  if (parents.length === 0 && (kind === "p" || !hasChildren)) return
  if (isPartition && parent === null) {
    return refuse(draft("SL2005", { table: shown, tree: "a partition of a table that detaches it" }, location))
  }
  const tree = parent === null ? "part of an inheritance tree" : `a partition of ${Catalog.shown(parent)}`
  const others = [...ancestors, ...descendants]
  const catalog = sources.catalogs.find(({ shard }) => shard === home)
  const isWhole = others.length > 0 && others.every((key) => livesOn(sources, key, home))
  if (home === undefined || !isWhole) return refuse(draft("SL2005", { table: shown, tree }, location))
  const strange = others.map((key) => catalog?.relations.get(key)).find((other) => other?.kind === "f")
  if (strange !== undefined) {
    const table = `${Catalog.shown(Catalog.key(strange.schema, strange.name))} in the tree of ${shown}`
    refuse(draft("SL2004", { table, kind: "foreign table" }, location))
  }
}

const livesOn = ({ placed, topology }: Known, key: string, home: ShardId | undefined): boolean => {
  const table = placed.get(key)
  return table === undefined ? topology.unlisted === home : table._tag === "Single" && table.shard === home
}

const functionOf = (
  known: {
    readonly first: Catalog.ShardCatalog
    readonly functions: ReadonlyMap<string, ReadonlyArray<Catalog.UserFunction>>
    readonly isPure: (qualified: string) => boolean
    readonly searchPath: ReadonlyArray<string>
  },
  names: ReadonlyArray<string>,
  args: number,
  location: number | undefined
): FunctionInfo => {
  const name = names[names.length - 1] ?? ""
  const schema = names.length > 1 ? names[names.length - 2] : undefined
  const candidates = (known.functions.get(name) ?? []).filter((candidate) =>
    schema === undefined
      ? candidate.schema === "pg_catalog" || known.searchPath.includes(candidate.schema)
      : candidate.schema === schema
  )
  const impure = candidates.find((candidate) => !known.isPure(`${candidate.schema}.${candidate.name}`))
  if (impure !== undefined) refuse(draft("SL5001", { function: `${impure.schema}.${impure.name}` }, location))
  const builtin = schema === undefined || schema === "pg_catalog" ? known.first.builtins.get(name) : undefined
  if (builtin === undefined && candidates.length === 0) {
    return refuse(draft("SL5003", { function: names.join(".") }, location), true)
  }
  const stability = builtin === undefined ? "immutable" : Functions.stabilityOf(name, builtin, args)
  if (stability === undefined) return refuse(draft("SL5002", { function: name }, location))
  return {
    stability,
    aggregate: builtin?.aggregate === true || candidates.some((candidate) => candidate.aggregate),
    orderFree: candidates.every(({ known }) => known) && Functions.isOrderFree(name)
  }
}

const checkOperator = (
  operators: ReadonlyMap<string, ReadonlyArray<Catalog.UserOperator>>,
  isPure: (qualified: string) => boolean,
  names: ReadonlyArray<string>,
  location: number | undefined
): void => {
  const name = names[names.length - 1] ?? ""
  const schema = names.length > 1 ? names[names.length - 2] : undefined
  if (schema === "pg_catalog") return
  const unknown = (operators.get(name) ?? []).find((operator) => !operator.native && !isPure(operator.function))
  if (unknown !== undefined) refuse(draft("SL5004", { operator: name }, location))
}

const typeOf = (
  known: {
    readonly catalogs: ReadonlyArray<Catalog.ShardCatalog>
    readonly types: ReadonlyMap<string, ReadonlyArray<Catalog.UserType>>
    readonly isPure: (qualified: string) => boolean
    readonly searchPath: ReadonlyArray<string>
  },
  names: ReadonlyArray<string>,
  location: number | undefined
): TypeInfo => {
  const name = names[names.length - 1] ?? ""
  const schema = names.length > 1 ? names[names.length - 2] : undefined
  const builtin = (schema === undefined || schema === "pg_catalog") && isBuiltinType(name)
  const shown = names.join(".")
  for (const cast of known.catalogs.flatMap((catalog) => catalog.casts)) {
    if (
      !known.isPure(cast.function) &&
      (cast.target === name || cast.source === name || cast.target.endsWith(`.${name}`))
    ) {
      refuse(draft("SL5005", { type: shown, function: cast.function }, location))
    }
  }
  if (builtin) return { key: keyTypeNamed(name) }
  const found = (known.types.get(name) ?? []).filter((type) =>
    schema === undefined ? known.searchPath.includes(type.schema) : type.schema === schema
  )
  if (found.length === 0) return refuse(draft("SL5006", { type: shown }, location), true)
  const hidden = found.flatMap((type) => type.functions).find((name) => !known.isPure(name))
  if (hidden !== undefined) refuse(draft("SL5005", { type: shown, function: hidden }, location))
  return { key: undefined }
}

const keyTypeNamed = (name: string): KeyType | undefined => keyTypeNames.get(name)

const keyTypeNames: ReadonlyMap<string, KeyType> = new Map(
  (["int2", "int4", "int8", "text", "varchar", "uuid", "bytea", "bool", "date", "timestamptz", "numeric"] as const).map(
    (name) => [name, name] as const
  )
)

/** PostgreSQL's own types that values of statements may be cast to; those that look up names are apart. */
const isBuiltinType = (name: string): boolean =>
  builtinTypes.has(name) || (name.startsWith("_") && builtinTypes.has(name.slice(1)))

const builtinTypes = new Set(
  `int2 int4 int8 text varchar uuid bytea bool date timestamptz numeric float4 float8 bpchar char name json jsonb jsonpath
  timestamp time timetz interval money bit varbit inet cidr macaddr macaddr8 point line lseg box path polygon circle
  tsvector tsquery xml oid xid xid8 cid tid pg_lsn int4range int8range numrange tsrange tstzrange daterange int4multirange
  int8multirange nummultirange tsmultirange tstzmultirange datemultirange record unknown
  regclass regtype regproc regprocedure regoper regoperator regconfig regdictionary regnamespace regrole regcollation`.split(
    /\s+/
  )
)

const placesIn = (
  catalogs: ReadonlyArray<Catalog.ShardCatalog>,
  searchPath: ReadonlyArray<string>
): Pick<SchemaView, "tableOfIndex" | "having"> => {
  const keysOf = (schema: string | undefined, name: string) =>
    (schema === undefined ? searchPath : [schema]).map((candidate) => Catalog.key(candidate, name))
  return {
    tableOfIndex: (schema, name) =>
      keysOf(schema, name).flatMap((key) => catalogs.flatMap(({ indexTables }) => indexTables.get(key) ?? []))[0],
    having: (schema, name) => {
      const keys = keysOf(schema, name)
      return catalogs.filter(({ relations }) => keys.some((key) => relations.has(key))).map(({ shard }) => shard)
    }
  }
}

const referencingIn = (catalogs: ReadonlyArray<Catalog.ShardCatalog>): SchemaView["referencing"] => {
  const found = new Map<string, Map<string, { readonly from: Catalog.Relation; readonly key: Catalog.ForeignKey }>>()
  for (const catalog of catalogs) {
    for (const from of catalog.relations.values()) {
      for (const key of from.foreignKeys) {
        const to = Catalog.key(key.schema, key.table)
        const known = found.get(to) ?? new Map()
        known.set(`${from.schema}.${from.name} ${JSON.stringify(key)}`, { from, key })
        found.set(to, known)
      }
    }
  }
  return (schema, name) => [...(found.get(Catalog.key(schema, name))?.values() ?? [])]
}
