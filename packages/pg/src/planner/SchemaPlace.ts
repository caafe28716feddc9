/**
 * Where a schema change runs: on every shard, or on the one that has what it is about.
 *
 * Enters: the statement, names seen through catalog and topology. Leaves: every shard (undefined), one of them, or the
 * refusal. Holds: what is about listed tables runs where these live; what is about unlisted ones runs where the topology
 * says that they do, and is refused by name where it does not say so; all that is no table (types, functions, schemas,
 * extensions, sequences) is the same everywhere.
 *
 * @since 0.1.0
 */
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type { Node, RangeVar } from "libpg-query"
import * as Ast from "./Ast.js"
import { draft } from "./Refusal.js"
import { refuse, type SchemaView } from "./SchemaView.js"

/** @since 0.1.0 @category models */
export interface SchemaPlace {
  /** Undefined: every one. */
  readonly shard: ShardId | undefined
  /** As the statement names them. */
  readonly tables: ReadonlyArray<string>
}

/** A relation that a statement is about. */
interface Subject {
  readonly kind: "relation" | "index"
  readonly schema: string | undefined
  readonly name: string
  readonly location: number | undefined
}

/** @since 0.1.0 @category functions */
export const of = (view: SchemaView, tree: Node): SchemaPlace => {
  const subjects = subjectsOf(tree)
  const found = subjects.map((subject) => ({ subject, shard: placeOf(view, subject) }))
  const tables = subjects.map(shown)
  const singles = [...new Set(found.flatMap(({ shard }) => shard ?? []))]
  const [shard, other] = singles
  const isView = "ViewStmt" in tree
  // A view lives where the tables under it do: reference tables are there, too.
  const isMixed = shard !== undefined && !isView && found.some((one) => one.shard === undefined)
  if (other !== undefined || isMixed) {
    refuse(
      draft(
        "SL2008",
        { tables: tables.join(", ") },
        found.find((one) => one.shard !== found[0]?.shard)?.subject.location
      )
    )
  }
  return { shard, tables }
}

/**
 * The table that a relation stands for where rows are concerned: of a partition, the partitioned one.
 *
 * @since 0.1.0
 * @category functions
 */
export const tableOf = (view: SchemaView, schema: string | undefined, name: string) => {
  const found = view.find(schema, name)
  const parent = found.table === undefined && found.relation?.isPartition === true ? found.relation.parent : null
  return parent === null ? found : tableNamed(view, parent)
}

const tableNamed = (view: SchemaView, key: string): ReturnType<SchemaView["find"]> => tableOf(view, ...parts(key))

const parts = (key: string): [schema: string, name: string] => {
  const dot = key.indexOf(".")
  return [key.slice(0, dot), key.slice(dot + 1)]
}

const shown = ({ name, schema }: Subject): string => (schema === undefined ? name : `${schema}.${name}`)

const placeOf = (view: SchemaView, subject: Subject): ShardId | undefined => {
  const { kind, location, name, schema } = subject
  if (kind === "index") {
    const table = view.tableOfIndex(schema, name)
    if (table === undefined) return undefined
    const [tableSchema, tableName] = parts(table)
    return placeOf(view, { kind: "relation", schema: tableSchema, name: tableName, location })
  }
  const { relation, table } = tableOf(view, schema, name)
  if (table !== undefined) return table._tag === "Single" ? table.shard : undefined
  switch (relation?.kind) {
    case "v": {
      const shards = new Set(
        relation.uses.flatMap((used) => {
          const [usedSchema, usedName] = parts(used)
          return placeOf(view, { kind: "relation", schema: usedSchema, name: usedName, location }) ?? []
        })
      )
      const [shard] = shards
      return shards.size === 1 ? shard : undefined
    }
    case "S":
    case "c":
    case "m":
    case "f": {
      // Those that came with an unlisted table are where it is.
      const shards = view.having(schema, name)
      return shards.length === 1 && shards[0] === view.topology.unlisted ? shards[0] : undefined
    }
    case "r":
    case "p":
    case undefined: {
      const { unlisted } = view.topology
      return unlisted ?? refuse(draft("SL2001", { table: shown(subject) }, location))
    }
  }
}

const subjectsOf = (tree: Node): ReadonlyArray<Subject> => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "CreateStmt": {
      const { inhRelations, partbound, relation } = opened.node
      // A partition is where its table is, and needs no listing.
      return partbound === undefined ? ranges([relation]) : ranges(nodes(inhRelations))
    }
    case "AlterTableStmt":
      return opened.node.objtype === "OBJECT_TYPE" ? [] : ranges([opened.node.relation], kindOf(opened.node.objtype))
    case "IndexStmt":
    case "CreateTrigStmt":
    case "RuleStmt":
      return ranges([opened.node.relation])
    case "CreatePolicyStmt":
    case "AlterPolicyStmt":
      return ranges([opened.node.table])
    case "CreateStatsStmt":
      return ranges(nodes(opened.node.relations))
    case "RenameStmt":
      return opened.node.renameType === "OBJECT_ATTRIBUTE"
        ? []
        : ranges([opened.node.relation], kindOf(opened.node.renameType))
    case "AlterObjectSchemaStmt":
      return ranges([opened.node.relation], kindOf(opened.node.objectType))
    case "AlterObjectDependsStmt":
    case "AlterOwnerStmt":
      return ranges([opened.node.relation])
    case "AlterSeqStmt":
      return ranges([opened.node.sequence])
    case "CreateSeqStmt":
      return owners(opened.node.options)
    case "DropStmt":
      return (opened.node.objects ?? []).flatMap((node) => named(opened.node.removeType, node))
    case "CommentStmt":
    case "SecLabelStmt":
      return opened.node.object === undefined ? [] : named(opened.node.objtype, opened.node.object)
    case "GrantStmt": {
      const { objects, objtype, targtype } = opened.node
      const areRelations = objtype === "OBJECT_TABLE" || objtype === "OBJECT_SEQUENCE"
      return areRelations && targtype === "ACL_TARGET_OBJECT" ? ranges(nodes(objects)) : []
    }
    case "ViewStmt":
      return opened.node.query === undefined ? [] : queried(opened.node.query)
    case "VacuumStmt":
      return ranges((opened.node.rels ?? []).map((node) => Ast.as("VacuumRelation", node)?.relation))
    case "ReindexStmt":
      return ranges([opened.node.relation], opened.node.kind === "REINDEX_OBJECT_INDEX" ? "index" : "relation")
    default:
      return []
  }
}

const kindOf = (objectType: string | undefined): Subject["kind"] =>
  objectType === "OBJECT_INDEX" ? "index" : "relation"

const nodes = (given: ReadonlyArray<Node> | undefined): ReadonlyArray<RangeVar> =>
  (given ?? []).flatMap((node) => Ast.as("RangeVar", node) ?? [])

const ranges = (
  relations: ReadonlyArray<RangeVar | undefined>,
  kind: Subject["kind"] = "relation"
): ReadonlyArray<Subject> =>
  relations.flatMap((relation) => {
    if (relation === undefined) return []
    const location = Ast.location(relation)
    if (relation.catalogname !== undefined) {
      refuse(draft("SL2014", { table: `${relation.catalogname}.${Ast.relationName(relation)}` }, location))
    }
    return [{ kind, schema: relation.schemaname, name: relation.relname ?? "", location }]
  })

/** Objects as DROP and COMMENT name them, if they are relations or belong to one. */
const named = (objectType: string | undefined, node: Node): ReadonlyArray<Subject> => {
  const rest = ofTable.has(objectType ?? "") ? 1 : 0
  if (rest === 0 && !isRelation.has(objectType ?? "")) return []
  const all = Ast.names(Ast.as("List", node)?.items)
  const names = all.slice(0, all.length - rest)
  const name = names.at(-1)
  return name === undefined
    ? []
    : [{ kind: kindOf(objectType), schema: names.at(-2), name, location: Ast.locationOf(node) }]
}

const isRelation = new Set([
  "OBJECT_TABLE",
  "OBJECT_VIEW",
  "OBJECT_MATVIEW",
  "OBJECT_INDEX",
  "OBJECT_SEQUENCE",
  "OBJECT_FOREIGN_TABLE"
])

/** Their last name is their own. */
const ofTable = new Set(["OBJECT_COLUMN", "OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"])

/** A sequence that belongs to a column goes with its table. */
const owners = (options: ReadonlyArray<Node> | undefined): ReadonlyArray<Subject> =>
  (options ?? []).flatMap((node) => {
    const option = Ast.as("DefElem", node)
    if (option?.defname !== "owned_by") return []
    const names = Ast.names(Ast.as("List", option.arg)?.items).slice(0, -1)
    const name = names.at(-1)
    return name === undefined
      ? []
      : [{ kind: "relation" as const, schema: names.at(-2), name, location: Ast.location(option) }]
  })

/** The relations a query reads, without its own common table expressions and the system's catalogs. */
const queried = (query: Node): ReadonlyArray<Subject> => {
  const found: Array<RangeVar> = []
  const own = new Set<string>()
  const open: Array<unknown> = [query]
  while (open.length > 0) {
    const value = open.pop()
    if (typeof value !== "object" || value === null) continue
    if ("RangeVar" in value) found.push(value.RangeVar as RangeVar)
    if ("CommonTableExpr" in value) own.add((value.CommonTableExpr as { readonly ctename?: string }).ctename ?? "")
    for (const child of Object.values(value)) open.push(child)
  }
  return ranges(
    found.filter(({ relname, schemaname }) =>
      schemaname === undefined
        ? !own.has(relname ?? "") && !(relname ?? "").startsWith("pg_")
        : schemaname !== "pg_catalog" && schemaname !== "information_schema"
    )
  )
}
