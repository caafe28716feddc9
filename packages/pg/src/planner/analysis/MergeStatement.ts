/**
 * MERGE: a join of its source with its target, and for each row of the join the first clause that fits.
 *
 * Enters: the statement. Leaves: its `Shape` (the RETURNING columns), the join's facts, and a `Write` for the rows that
 * are put into a sharded table. Holds: ON is the condition of an outer join. A source row without a match survives it if
 * there is a NOT MATCHED clause, a target row if there is NOT MATCHED BY SOURCE: so the other side is within a guard,
 * and what ON says counts only where both rows are there. The conditions of clauses say nothing: another clause may fit.
 *
 * @since 0.1.0
 */
import type { MergeStmt, MergeWhenClause, Node } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type * as Table from "@shardlayer/core/topology/Table"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import type { Place } from "./Builder.js"
import { closure } from "./Closure.js"
import * as Equality from "./Equality.js"
import * as From from "./From.js"
import type { ColumnId, GuardId, Named } from "./Model.js"
import * as OutputName from "./OutputName.js"
import type { Scope, Source, Visible } from "./Scope.js"
import * as StoredKey from "./StoredKey.js"
import type { FromContext, Position, Shape, Walk } from "./Walk.js"
import * as Write from "./Write.js"
import * as WriteRules from "./WriteRules.js"

/** The two sides, and where what is said of a row of the join stands. */
interface Join {
  readonly context: FromContext
  readonly named: Named
  readonly target: Source
  readonly source: Visible
  /** Of a pair: both sides are real. */
  readonly matched: Place
  readonly ofSource: Place
  readonly ofTarget: Place
  readonly location: number | undefined
}

/** @since 0.1.0 @category functions */
export const merge = (
  walk: Walk,
  statement: MergeStmt,
  outer: Scope | undefined,
  before: Scope["ctes"],
  position: Position | undefined
): Shape => {
  const { builder } = walk
  const block = builder.newBlock(
    position === undefined ? undefined : { place: position.place, position: position.relation }
  )
  const place: Place = { block, guards: [], sees: "all" }
  builder.markWrite()
  const context = Write.contextOf(walk, statement, outer, before, place)
  const clauses = (statement.mergeWhenClauses ?? []).flatMap((node) => Ast.as("MergeWhenClause", node) ?? [])
  const join = joined(context, statement, clauses, place)
  const keys = clauses.flatMap((clause) => {
    const key = insertedKey(join, clause)
    return key === undefined ? [] : [key]
  })
  if (join.named._tag === "Sharded" && keys.length > 0) {
    builder.addWrite({
      table: join.named.table,
      alias: join.named.table.name,
      location: join.location,
      keys: { _tag: "Query", branches: keys.map((key) => ({ block, key })) }
    })
  }
  return returned(join, statement, place)
}

const joined = (
  context: FromContext,
  statement: MergeStmt,
  clauses: ReadonlyArray<MergeWhenClause>,
  place: Place
): Join => {
  const { walk } = context
  const { relation } = statement
  if (relation === undefined || statement.sourceRelation === undefined) throw new Error("a MERGE without its tables")
  const guard = (kind: MergeWhenClause["matchKind"]): ReadonlyArray<GuardId> =>
    clauses.some(({ matchKind }) => matchKind === kind) ? [walk.builder.newGuard()] : []
  const [aroundTarget, aroundSource] = [
    guard("MERGE_WHEN_NOT_MATCHED_BY_TARGET"),
    guard("MERGE_WHEN_NOT_MATCHED_BY_SOURCE")
  ]
  const ofTarget: Place = { ...place, guards: aroundTarget }
  const ofSource: Place = { ...place, guards: aroundSource }
  const matched: Place = { ...place, guards: [...aroundTarget, ...aroundSource] }
  const location = Ast.location(relation)
  const { named, source: target } = From.table(walk, relation, ofTarget, true)
  walk.builder.addTarget({
    named,
    location,
    block: place.block,
    key: Write.keyColumns(named, target, "update"),
    merge: { source: aroundSource[0], target: aroundTarget[0] }
  })
  const source = From.from(context, [statement.sourceRelation], ofSource)
  walk.condition(statement.joinCondition, scopeOf(context, target, source, matched), matched)
  return { context, named, target, source, matched, ofSource, ofTarget, location }
}

const visible = (source: Source): Visible => ({ sources: [source], columns: source.columns, open: source.open })

const scopeOf = (context: FromContext, target: Source, source: Visible, place: Place): Scope =>
  From.scopeOf(context, From.beside(visible(target), source), place)

/** Walks a clause; of one that inserts into a sharded table the key of its rows. */
const insertedKey = (
  join: Join,
  clause: MergeWhenClause
): ReadonlyArray<ColumnId | Operand | undefined> | undefined => {
  const { context, location, named } = join
  const { walk } = context
  const [place, scope] = seenBy(join, clause)
  walk.expression(clause.condition, scope, place)
  switch (clause.commandType) {
    case "CMD_INSERT":
      return inserted(join, clause, scope, place)
    case "CMD_UPDATE":
      WriteRules.check(walk.builder.view, named, Write.updateOf(clause.targetList), location)
      checkKept(join, Write.assignments(walk, clause.targetList, scope, place), clause)
      return undefined
    case "CMD_DELETE":
      WriteRules.check(walk.builder.view, named, { kind: "delete", columns: new Set() }, location)
      return undefined
    case "CMD_NOTHING":
      return undefined
    default:
      return refuse(draft("SL1101", { construct: clause.commandType ?? "a clause of MERGE" }, location))
  }
}

/** As PostgreSQL has it: where one side is not there, its columns have no names. */
const seenBy = (
  { context, matched, ofSource, ofTarget, source, target }: Join,
  { matchKind }: MergeWhenClause
): readonly [Place, Scope] => {
  switch (matchKind) {
    case "MERGE_WHEN_NOT_MATCHED_BY_TARGET":
      return [ofSource, From.scopeOf(context, source, ofSource)]
    case "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
      return [ofTarget, From.scopeOf(context, visible(target), ofTarget)]
    default:
      return [matched, scopeOf(context, target, source, matched)]
  }
}

const inserted = (
  { context, location, named }: Join,
  clause: MergeWhenClause,
  scope: Scope,
  place: Place
): ReadonlyArray<ColumnId | Operand | undefined> | undefined => {
  const { walk } = context
  const names = insertedNames(named, clause)
  const values = clause.values ?? []
  for (const node of values) walk.expression(node, scope, place)
  WriteRules.check(
    walk.builder.view,
    named,
    { kind: "insert", columns: givenNames(named, names, values, clause) },
    location
  )
  if (named._tag !== "Sharded") return undefined
  const { relation, table } = named
  Write.checkOverriding(table, relation, clause, location)
  return table.columns.map((name) => {
    const column = Write.columnOf(relation, name)
    const node = values[names.indexOf(name)]
    if (node === undefined || "SetToDefault" in node) return Write.defaultKey(table, column, location)
    return keyOf(walk, table, column, Equality.termOf(walk.builder, scope, node))
  })
}

const insertedNames = (named: Named, { targetList }: MergeWhenClause): ReadonlyArray<string> => {
  const columns = (targetList ?? []).flatMap((node) => Ast.as("ResTarget", node) ?? [])
  if (columns.length === 0) return (named.relation?.columns ?? []).map(({ name }) => name)
  return columns.map(({ indirection, name }) => ((indirection ?? []).length > 0 ? "" : (name ?? "")))
}

const givenNames = (
  named: Named,
  names: ReadonlyArray<string>,
  values: ReadonlyArray<Node>,
  { override }: MergeWhenClause
): ReadonlySet<string> => {
  const isIgnored = (name: string) =>
    override === "OVERRIDING_USER_VALUE" &&
    (named.relation?.columns ?? []).some((column) => column.name === name && column.identity !== "")
  return new Set(
    names.filter((name, index) => {
      const value = values[index]
      return value !== undefined && !("SetToDefault" in value) && !isIgnored(name)
    })
  )
}

/** A column of the source as it is, or a value that is known; undefined where it is computed. */
const keyOf = (
  walk: Walk,
  table: Table.Sharded,
  column: Catalog.Column,
  term: Equality.Term
): ColumnId | Operand | undefined => {
  if (term._tag !== "Column") return StoredKey.ofTerm(walk.builder, table, column, term, true)
  const family = walk.builder.view.familyOf(column)
  const isKept =
    family !== undefined &&
    walk.builder.column(term.column).family === family &&
    StoredKey.charactersMax(column) === undefined
  return isKept ? term.column : undefined
}

/** A key is set to itself: to the target's own column, or to one that ON makes equal to it. */
const checkKept = (
  { context, location, matched, named, target }: Join,
  assigned: ReadonlyArray<Write.Assignment>,
  { matchKind }: MergeWhenClause
): void => {
  if (named._tag !== "Sharded") return
  const { builder } = context.walk
  const { relation, table } = named
  for (const { name, term, value } of assigned) {
    if (!table.columns.includes(name)) continue
    const own = target.columns[relation.columns.findIndex((column) => column.name === name)]?.column
    const isSame =
      own !== undefined &&
      term._tag === "Column" &&
      (term.column === own || (matchKind === "MERGE_WHEN_MATCHED" && isPaired(builder, matched, own, term.column)))
    if (!isSame) refuse(draft("SL3003", { table: table.id, column: name }, Ast.locationOf(value) ?? location))
  }
}

const isPaired = (builder: Walk["builder"], matched: Place, one: ColumnId, other: ColumnId): boolean => {
  const pair = builder.newRelation(matched.block, matched.guards)
  return closure(builder.finish(), { block: matched.block, relation: pair }).same(one, other)
}

/** Of the target's row nothing is known: it may be a new one. */
const returned = (join: Join, statement: MergeStmt, place: Place): Shape => {
  const { context, source, target } = join
  const { walk } = context
  const row = () => Write.unknownRow(walk, target, place)
  const shape = Write.returning(
    context,
    statement.returningClause,
    { after: row(), old: row(), new: row() },
    source,
    place
  )
  // A star gives the columns of the source first, those of the target then: their places are not counted here.
  const isCounted = (statement.returningClause?.exprs ?? []).every((node) => {
    const target = Ast.as("ResTarget", node)
    return !OutputName.isStar(target?.val)
  })
  return isCounted ? shape : { ...shape, outputs: [], open: true }
}
