/**
 * Which tables a statement changes, with what foreign keys cascade to, and whether its answer is that of a moment.
 *
 * Enters: a statement, or its analysis. Leaves: full names of tables. Holds: a table whose rows may change is named, or
 * `unknown` stands for all: where a trigger, a rule, or a function that nobody vouches for may write on. Knowingly
 * approximates: which rows change is not asked.
 *
 * @since 0.1.0
 */
import type { Footprint, Written } from "@shardlayer/core/plan/Plan"
import * as Table from "@shardlayer/core/topology/Table"
import type { CopyStmt, Node, RangeVar, TruncateStmt } from "libpg-query"
import type { Analyzed } from "./analysis/Model.js"
import * as Ast from "./Ast.js"
import type * as Catalog from "./Catalog.js"
import * as Contents from "./classify/Contents.js"
import * as Hidden from "./classify/Hidden.js"
import * as WrittenKeys from "./classify/WrittenKeys.js"
import * as Functions from "./Functions.js"
import * as StatementTime from "./rules/StatementTime.js"
import type { SchemaView } from "./SchemaView.js"

/** @since 0.1.0 @category constants */
export const nothing: Footprint = { reads: [], writes: [], volatile: undefined, timed: false }

/**
 * Of a statement that was planned.
 *
 * @since 0.1.0
 * @category functions
 */
export const ofAnalyzed = (view: SchemaView, tree: Node, analyzed: Analyzed): Footprint => ({
  reads: [...new Set(analyzed.tables.map((table) => fullName(view, table)))],
  writes: analyzed.isWrite ? written(view, [tree]) : [],
  volatile: analyzed.functions.map(({ name }) => bareName(name)).find(Functions.isVolatile),
  timed: analyzed.functions.some(({ name }) => StatementTime.isStatementTime(bareName(name)))
})

/**
 * Of statements that run as they are, pinned.
 *
 * @since 0.1.0
 * @category functions
 */
export const written = (view: SchemaView, trees: ReadonlyArray<Node>): Written => {
  const collected: Collected = { view, names: new Set(), visited: new Set() }
  return trees.every((tree) => statement(collected, tree)) ? [...collected.names].sort() : "unknown"
}

/** A table as plans name it: as the topology does, or as the statement does if that does not list it. */
const fullName = (view: SchemaView, shown: string): string => {
  const dot = shown.indexOf(".")
  const [schema, name] = dot < 0 ? [undefined, shown] : [shown.slice(0, dot), shown.slice(dot + 1)]
  const { relation, table } = view.find(schema, name)
  return Table.qualifiedName(table ?? relation ?? { schema: schema ?? "public", name })
}

/** The analysis adds to a name in which view it is called. */
const bareName = (name: string): string => name.split(" ", 1)[0] ?? name

interface Collected {
  readonly view: SchemaView
  readonly names: Set<string>
  /** Tables and what is done to them, as far as cascades were followed. */
  readonly visited: Set<string>
}

/** An INSERT cascades to nothing. */
type Action = Hidden.Action | { readonly _tag: "Insert" }

/** False: what it changes is not known. */
const statement = (collected: Collected, tree: Node): boolean => {
  const opened = Ast.open(tree)
  switch (opened._tag) {
    case "SelectStmt":
    case "InsertStmt":
    case "UpdateStmt":
    case "DeleteStmt":
    case "MergeStmt":
    case "ExplainStmt":
    case "DeclareCursorStmt":
      return query(collected, tree)
    case "CopyStmt":
      return copy(collected, opened.node) && query(collected, tree)
    case "TruncateStmt":
      return truncate(collected, opened.node)
    default:
      return harmless.has(opened._tag)
  }
}

/** Those that change no rows and that programs send often. Of others nothing is known. */
const harmless: ReadonlySet<Ast.Tag> = new Set<Ast.Tag>([
  "VariableSetStmt",
  "VariableShowStmt",
  "FetchStmt",
  "ClosePortalStmt",
  "ConstraintsSetStmt",
  "LockStmt",
  "NotifyStmt",
  "ListenStmt",
  "UnlistenStmt",
  "DiscardStmt"
])

const query = (collected: Collected, tree: Node): boolean => {
  const { calls, executes, into, writes } = Contents.of(tree)
  const isVouched = calls.every(({ funcname }) => {
    const names = Ast.names(funcname)
    return collected.view.isBuiltinFunction(names) || isPure(collected.view, names)
  })
  return !executes && into.length === 0 && isVouched && writes.every((write) => changed(collected, write))
}

/** As the topology lists them: with their schema. Without one it may be any that is on the search path. */
const isPure = (view: SchemaView, names: ReadonlyArray<string>): boolean =>
  view.isPure(names.length > 1 ? names.slice(-2).join(".") : `public.${names[0] ?? ""}`)

const changed = (collected: Collected, write: Contents.Write): boolean => {
  const { relation } = write.node
  switch (write._tag) {
    case "Insert": {
      const moved = WrittenKeys.assignedNames(write.node.onConflictClause?.targetList ?? [])
      return (
        target(collected, relation, { _tag: "Insert" }) &&
        (moved.size === 0 || target(collected, relation, { _tag: "Update", columns: moved }))
      )
    }
    case "Update":
      return target(collected, relation, {
        _tag: "Update",
        columns: WrittenKeys.assignedNames(write.node.targetList ?? [])
      })
    case "Delete":
      return target(collected, relation, { _tag: "Delete" })
    case "Merge": {
      const columns = WrittenKeys.assignedNames(
        (write.node.mergeWhenClauses ?? []).flatMap((node) => Ast.as("MergeWhenClause", node)?.targetList ?? [])
      )
      const actions: ReadonlyArray<Action> = [{ _tag: "Insert" }, { _tag: "Update", columns }, { _tag: "Delete" }]
      return actions.every((action) => target(collected, relation, action))
    }
  }
}

const copy = (collected: Collected, { is_from, relation }: CopyStmt): boolean =>
  is_from !== true || relation === undefined || target(collected, relation, { _tag: "Insert" })

/** As with CASCADE: without it TRUNCATE fails where another table references this one. */
const truncate = (collected: Collected, { relations }: TruncateStmt): boolean =>
  (relations ?? []).every((node) => target(collected, Ast.as("RangeVar", node), { _tag: "Truncate" }))

const target = (collected: Collected, named: RangeVar | undefined, action: Action): boolean => {
  const { relation } = collected.view.find(named?.schemaname, named?.relname ?? "")
  return relation !== undefined && reached(collected, relation, action)
}

const reached = (collected: Collected, relation: Catalog.Relation, action: Action): boolean => {
  const name = Table.qualifiedName(relation)
  const columns = action._tag === "Update" ? [...action.columns].sort().join(" ") : ""
  const visit = `${name} ${action._tag} ${columns}`
  if (collected.visited.has(visit)) return true
  collected.visited.add(visit)
  if (!isPlain(relation) || runsCode(collected.view, relation, action)) return false
  collected.names.add(name)
  if (action._tag === "Insert") return true
  return collected.view.referencing(relation.schema, relation.name).every(({ from, key }) => {
    const next = Hidden.consequence(key, action)
    return next === undefined || reached(collected, from, next)
  })
}

/** A table that rows stay in, of which all is known. */
const isPlain = ({ detailed, hasChildren, isPartition, kind, parents }: Catalog.Relation): boolean =>
  detailed && parents.length === 0 && !isPartition && (kind === "p" || (kind === "r" && !hasChildren))

const runsCode = (view: SchemaView, { callers, rules, triggers }: Catalog.Relation, action: Action): boolean =>
  rules.length > 0 ||
  triggers.some((trigger) => fires(trigger, action)) ||
  callers.some(({ functions }) => functions.some((name) => !view.isPure(name)))

const fires = (trigger: Catalog.Trigger, action: Action): boolean => {
  switch (action._tag) {
    case "Insert":
      return trigger.insert
    case "Update":
      return trigger.update
    case "Delete":
      return trigger.delete
    case "Truncate":
      // The catalog does not say which of them fire for it.
      return true
  }
}
