/**
 * From a schema change, or a list of statements with some, to a plan.
 *
 * Enters: the tree, names seen through catalog and topology. Leaves: the plan, or the refusal. Holds: what brings rows
 * along (`SchemaChange`), and what shards cannot keep (`SchemaRules`), is refused before a shard is touched.
 *
 * @since 0.1.0
 */
import type { Change, Resume } from "@shardlayer/core/plan/Change"
import type { Plan } from "@shardlayer/core/plan/Plan"
import type { DropStmt, IndexStmt, Node } from "libpg-query"
import * as Ast from "./Ast.js"
import * as SchemaChange from "./classify/SchemaChange.js"
import * as Footprint from "./Footprint.js"
import type { Statement } from "./Parser.js"
import { draft } from "./Refusal.js"
import * as SchemaPlace from "./SchemaPlace.js"
import * as SchemaRules from "./SchemaRules.js"
import { refuse, type SchemaView } from "./SchemaView.js"
import * as StatementKind from "./StatementKind.js"

/**
 * Statements of kind `schema`, and those of kind `maintenance` that every shard runs for itself.
 *
 * @since 0.1.0
 * @category functions
 */
export const plan = (view: SchemaView, tree: Node, words: string): Plan => {
  const refusal = SchemaChange.refusal(view, tree)
  if (refusal !== undefined) return refuse(refusal)
  checkKind(tree, words)
  const change = changeOf(tree, words)
  SchemaRules.check(view, tree)
  return {
    _tag: "Schema",
    access: "write",
    change,
    ...SchemaPlace.of(view, tree),
    footprint: change.changesSchema ? schemaChange : Footprint.nothing
  }
}

const schemaChange: Plan["footprint"] = { ...Footprint.nothing, writes: "unknown" }

/**
 * Is this a list as migrations write it, with a schema change among its statements?
 *
 * @since 0.1.0
 * @category guards
 */
export const isList = (statements: ReadonlyArray<Statement>): boolean =>
  statements.length > 1 && statements.some(({ tree }) => StatementKind.of(tree).kind === "schema")

/**
 * The texts are planned when their turn comes, for they may be about what those before them make. What can be said before
 * is said now: a list with a statement that cannot be in one has not run half.
 *
 * @since 0.1.0
 * @category functions
 */
export const list = (statements: ReadonlyArray<Statement>): Plan => {
  for (const { location, tree } of statements) {
    const { kind, words } = StatementKind.of(tree)
    if (kind === "query" || kind === "truncate") continue
    if (kind !== "schema") return refuse({ ...StatementKind.refusal(kind, words), location })
    checkKind(tree, words)
    const { mode, words: full } = changeOf(tree, words)
    if (mode === "apart") return refuse(draft("SL1025", { statement: full, why: "stands in a list" }, location))
  }
  return {
    _tag: "List",
    access: "write",
    statements: statements.map(({ text }) => text),
    tables: [],
    footprint: schemaChange
  }
}

/** What is of kind `schema` by its name, and cannot be the same on every shard. */
const checkKind = (tree: Node, words: string): void => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "CreateForeignTableStmt":
    case "ImportForeignSchemaStmt":
    case "RefreshMatViewStmt":
      return refuse(draft("SL1010", { statement: words }, undefined))
    case "CreateSchemaStmt":
      return (opened.node.schemaElts ?? []).length === 0
        ? undefined
        : refuse(draft("SL1010", { statement: "CREATE SCHEMA with objects in it" }, undefined))
    case "ClusterStmt":
    case "CheckPointStmt":
    case "CreateRoleStmt":
    case "GrantRoleStmt":
    case "CreateTableSpaceStmt":
    case "AlterTableSpaceOptionsStmt":
    case "AlterTableMoveAllStmt":
    case "CreateSubscriptionStmt":
    case "AlterSubscriptionStmt":
    case "DropSubscriptionStmt":
      return refuse(draft("SL1019", { statement: words }, undefined))
    case "ViewStmt":
      return checkTemporary(opened.node.view?.relpersistence, "CREATE TEMPORARY VIEW")
    case "CreateSeqStmt":
      return checkTemporary(opened.node.sequence?.relpersistence, "CREATE TEMPORARY SEQUENCE")
    case "AlterTableStmt": {
      const isConcurrent = (opened.node.cmds ?? []).some(
        (node) => Ast.as("PartitionCmd", Ast.as("AlterTableCmd", node)?.def)?.concurrent === true
      )
      return isConcurrent
        ? refuse(draft("SL1010", { statement: "ALTER TABLE … DETACH PARTITION CONCURRENTLY" }, undefined))
        : undefined
    }
    default:
      return undefined
  }
}

const checkTemporary = (persistence: string | undefined, statement: string): void =>
  persistence === "t" ? refuse(draft("SL1023", { statement }, undefined)) : undefined

const changeOf = (tree: Node, words: string): Change => {
  const opened = Ast.open(tree)
  const apart = { mode: "apart", resume: undefined, changesSchema: false } as const
  switch (opened._tag) {
    case "IndexStmt":
      if (opened.node.concurrent !== true) break
      return { ...apart, words: "CREATE INDEX CONCURRENTLY", resume: building(opened.node), changesSchema: true }
    case "DropStmt":
      if (opened.node.concurrent !== true) break
      return { ...apart, words: "DROP INDEX CONCURRENTLY", resume: dropping(opened.node), changesSchema: true }
    case "VacuumStmt":
      // ANALYZE alone may be in a transaction.
      if (opened.node.is_vacuumcmd === true) return { ...apart, words }
      return { words, mode: "transaction", resume: undefined, changesSchema: false }
    case "ReindexStmt":
      return { ...apart, words }
  }
  return { words, mode: "transaction", resume: undefined, changesSchema: true }
}

/** What a failure leaves behind is an index that is not valid. */
const building = ({ idxname, relation }: IndexStmt): Resume => {
  if (idxname === undefined || relation === undefined) {
    const statement = "CREATE INDEX CONCURRENTLY"
    return refuse(draft("SL1025", { statement, why: "has no name for the index" }, Ast.location(relation)))
  }
  const { relname = "", schemaname } = relation
  const table = literal(identifier(schemaname, relname))
  return {
    makes: true,
    probe: `SELECT i.indisvalid::text, pg_catalog.pg_get_indexdef(i.indexrelid), 'DROP INDEX CONCURRENTLY IF EXISTS ' || i.indexrelid::pg_catalog.regclass FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_class t ON t.oid = ${table}::pg_catalog.regclass WHERE c.relname = ${literal(idxname)} AND c.relnamespace = t.relnamespace`
  }
}

/** PostgreSQL takes one name in this form. */
const dropping = ({ objects }: DropStmt): Resume => {
  const names = Ast.names(Ast.as("List", objects?.[0])?.items)
  const index = literal(identifier(names.at(-2), names.at(-1) ?? ""))
  return {
    makes: false,
    probe: `SELECT 'true', '', '' WHERE pg_catalog.to_regclass(${index}) IS NOT NULL`
  }
}

const identifier = (schema: string | undefined, name: string): string =>
  [...(schema === undefined ? [] : [schema]), name].map((part) => `"${part.replaceAll('"', '""')}"`).join(".")

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
