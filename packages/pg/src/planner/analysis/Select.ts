/**
 * One query level: WITH, FROM, WHERE, and what the outside may rely on in its output columns.
 *
 * Enters: a SELECT, a VALUES list or a set operation. Leaves: its `Shape`. Holds: an output column is linked to a column
 * inside only if it is that column, row by row; the outside's facts go in (`imports`) only where rows without them
 * cannot change what comes out with them.
 *
 * @since 0.1.0
 */
import type { Node, ResTarget, SelectStmt } from "libpg-query"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { Family } from "@shardlayer/core/topology/KeyType"
import * as Ast from "../Ast.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import type { Place } from "./Builder.js"
import * as Cte from "./Cte.js"
import { isSame } from "../Collations.js"
import { derive, merged } from "./Collating.js"
import * as Equality from "./Equality.js"
import { window } from "./Expression.js"
import * as From from "./From.js"
import type { BlockId, ColumnId } from "./Model.js"
import * as OutputName from "./OutputName.js"
import { findSource, type NamedColumn, type Scope } from "./Scope.js"
import {
  type FromContext,
  isWrite,
  type LevelTraits,
  type Output,
  type Position,
  type Shape,
  type Walk
} from "./Walk.js"

/** @since 0.1.0 @category functions */
export const query = (
  walk: Walk,
  node: Node,
  outer: Scope | undefined,
  ctes: Scope["ctes"],
  position: Position | undefined
): Shape => {
  if (isWrite(node)) return walk.write(node, outer, ctes, position)
  const select = Ast.as("SelectStmt", node)
  if (select === undefined) return refuse(draft("SL1101", { construct: Ast.open(node)._tag }, Ast.locationOf(node)))
  return selectQuery(walk, select, outer, ctes, position)
}

const selectQuery = (
  walk: Walk,
  select: SelectStmt,
  outer: Scope | undefined,
  before: Scope["ctes"],
  position: Position | undefined
): Shape => {
  const block = walk.builder.newBlock(
    position === undefined ? undefined : { place: position.place, position: position.relation }
  )
  const place: Place = { block, guards: position?.place.guards ?? [], sees: "all" }
  if (select.intoClause !== undefined) return refuse(draft("SL1023", { statement: "SELECT INTO" }, undefined))
  const ctes = Cte.declare(walk, select.withClause, outer, before, place)
  const context: FromContext = { walk, outer, ctes }
  if (select.op !== undefined && select.op !== "SETOP_NONE") return setOperation(context, select, place)
  if ((select.valuesLists ?? []).length > 0) return values(context, select, place)
  return plain(context, select, place)
}

const traitsOf = (walk: Walk, select: SelectStmt, block: BlockId): LevelTraits => {
  const outputs = [select.targetList, select.sortClause, select.havingClause, select.distinctClause]
  const grouped = (select.groupClause ?? []).length > 0
  return {
    grouped,
    aggregated:
      grouped ||
      select.havingClause !== undefined ||
      finds(outputs, (key, value) => isAggregate(walk, key, value)) ||
      [...walk.outerAggregates.known.values()].some((owners) => owners.includes(block)),
    groupingSets: (select.groupClause ?? []).some((node) => "GroupingSet" in node),
    windows: (select.windowClause ?? []).length > 0 || finds(outputs, (key) => key === "over"),
    distinctOn: (select.distinctClause ?? []).some((node) => Object.keys(node).length > 0),
    limited: select.limitCount !== undefined || select.limitOffset !== undefined
  }
}

/** Searches a tree, but not the queries inside of it: their calls are theirs. */
const finds = (value: unknown, test: (key: string, value: unknown) => boolean): boolean => {
  if (typeof value !== "object" || value === null) return false
  return Object.entries(value).some(([key, child]) => key !== "subselect" && (test(key, child) || finds(child, test)))
}

const isAggregate = (walk: Walk, key: string, value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return false
  if (walk.outerAggregates.known.get(value)?.some((owner) => owner !== undefined) === true) return false
  if (key === "JsonObjectAgg" || key === "JsonArrayAgg") return true
  if (key !== "FuncCall" || "over" in value) return false
  if (["agg_star", "agg_distinct", "agg_filter", "agg_order", "agg_within_group"].some((mark) => mark in value))
    return true
  const call: Ast.Body<"FuncCall"> = value
  return walk.builder.view.isAggregate(Ast.names(call.funcname))
}

const plain = (context: FromContext, select: SelectStmt, place: Place): Shape => {
  const { walk } = context
  const traits = traitsOf(walk, select, place.block)
  const scope = From.scopeOf(context, From.from(context, select.fromClause, place), place)
  walk.condition(select.whereClause, scope, place)
  // An aggregate without GROUP BY gives a row even if nothing satisfies WHERE: its subqueries cannot rely on it.
  const always = (traits.aggregated && !traits.grouped) || traits.groupingSets
  const perRow: Place = { ...place, sees: always ? "above" : "all" }
  const keys = groupKeys(walk, select, scope, place)
  for (const target of select.targetList ?? []) walkTarget(walk, target, scope, perRow)
  walk.expression(select.havingClause, scope, perRow)
  for (const node of select.windowClause ?? []) {
    const definition = Ast.as("WindowDef", node)
    if (definition !== undefined) window(walk, definition, scope, perRow)
  }
  walkOrdering(walk, select, scope, perRow)
  walkLimits(context, select, place)
  const isRepeated = walk.levels.has(select)
  walk.levels.set(select, { select, block: place.block, scope, traits, groupColumns: keys, isRepeated })
  recordTraits(walk, select, traits, place.block)
  recordLocks(walk, select, scope)
  walk.builder.setExports(place.block, !always)
  return shapeOf(walk, select, scope, traits, keys, place.block)
}

const walkTarget = (walk: Walk, node: Node, scope: Scope, place: Place): void => {
  const target = Ast.as("ResTarget", node)
  if (target === undefined) return refuse(draft("SL1101", { construct: Ast.open(node)._tag }, Ast.locationOf(node)))
  if (isBareStar(target.val)) return
  walk.expression(target.val, scope, place)
}

const isBareStar = (node: Node | undefined): boolean => {
  const fields = Ast.as("ColumnRef", node)?.fields ?? []
  return fields.length === 1 && fields[0] !== undefined && "A_Star" in fields[0]
}

/** ORDER BY and DISTINCT ON: a bare name means an output column first, a number an output's place. */
const walkOrdering = (walk: Walk, select: SelectStmt, scope: Scope, place: Place): void => {
  const names = new Set((select.targetList ?? []).map((node) => Ast.as("ResTarget", node)?.name))
  for (const node of [...(select.sortClause ?? []), ...(select.distinctClause ?? [])]) {
    if (Object.keys(node).length === 0) continue
    const sort = Ast.as("SortBy", node)
    const bare = bareName(sort === undefined ? node : sort.node)
    if (bare === undefined || !names.has(bare)) walk.expression(node, scope, place)
    else if (sort !== undefined) walk.expression({ SortBy: { useOp: sort.useOp ?? [] } }, scope, place)
  }
}

/**
 * The name of an unqualified column reference.
 *
 * @since 0.1.0
 * @category getters
 */
export const bareName = (node: Node | undefined): string | undefined => {
  const fields = Ast.as("ColumnRef", node)?.fields ?? []
  return fields.length === 1 ? Ast.names(fields)[0] : undefined
}

/** LIMIT and OFFSET are computed once, whatever the rows. */
const walkLimits = (context: FromContext, select: SelectStmt, place: Place): void => {
  const scope = From.scopeOf(context, { sources: [], columns: [], open: false }, place)
  context.walk.expression(select.limitCount, scope, { ...place, sees: "above" })
  context.walk.expression(select.limitOffset, scope, { ...place, sees: "above" })
}

/** Walks GROUP BY; leaves the columns grouped by. A bare name means an input column first, then an output. */
const groupKeys = (walk: Walk, select: SelectStmt, scope: Scope, place: Place): ReadonlySet<ColumnId> => {
  const keys = new Set<ColumnId>()
  for (const node of (select.groupClause ?? []).flatMap(groupItems)) {
    const item = groupItem(select, scope, node)
    if (Ast.as("GroupingSet", item) !== undefined) {
      walkGroupingSet(walk, select, item, scope, place)
      continue
    }
    walk.expression(item, scope, place)
    const term = Equality.termOf(walk.builder, scope, item)
    // A cast within a family groups equal values alike, so the column itself is a key then.
    if (term._tag === "Column") keys.add(term.column)
  }
  return keys
}

/** `GROUP BY (a, b)` groups by both. */
const groupItems = (node: Node): ReadonlyArray<Node> => {
  const row = Ast.as("RowExpr", node)
  return row?.row_format === "COERCE_IMPLICIT_CAST" ? (row.args ?? []) : [node]
}

const walkGroupingSet = (walk: Walk, select: SelectStmt, node: Node, scope: Scope, place: Place): void => {
  const set = Ast.as("GroupingSet", node)
  const items = set?.content ?? Ast.as("RowExpr", node)?.args
  if (items === undefined) return set === undefined ? walk.expression(node, scope, place) : undefined
  for (const child of items) walkGroupingSet(walk, select, groupItem(select, scope, child), scope, place)
}

/**
 * What an item of GROUP BY means.
 *
 * @since 0.1.0
 * @category getters
 */
export const groupItem = (select: SelectStmt, scope: Scope, node: Node): Node => {
  const number = Ast.as("A_Const", node)?.ival?.ival
  if (number !== undefined) return targetAt(select, number - 1) ?? node
  const name = bareName(node)
  if (name === undefined || scope.columns.some((column) => column.name === name) || scope.open) return node
  const target = (select.targetList ?? []).map((each) => Ast.as("ResTarget", each)).find((each) => each?.name === name)
  return target?.val ?? node
}

/** A place counts output columns, so a star before it hides which one is meant: then nothing is known of it. */
const targetAt = (select: SelectStmt, index: number): Node | undefined => {
  const targets = (select.targetList ?? []).map((node) => Ast.as("ResTarget", node))
  return targets.slice(0, index + 1).some((target) => OutputName.isStar(target?.val)) ? undefined : targets[index]?.val
}

const recordTraits = (walk: Walk, select: SelectStmt, traits: LevelTraits, block: BlockId): void => {
  const add = (
    kind: "order" | "limit" | "aggregate" | "distinct" | "distinctOn" | "window" | "lock",
    clause: string,
    node: Node | undefined
  ) =>
    walk.builder.trait(block, {
      kind,
      clause,
      location: Ast.locationOf(node),
      orderFree: kind === "distinct" || kind === "aggregate"
    })
  if (select.limitCount !== undefined) add("limit", "LIMIT", select.limitCount)
  if (select.limitOffset !== undefined) add("limit", "OFFSET", select.limitOffset)
  if (traits.grouped) add("aggregate", "GROUP BY", (select.groupClause ?? [])[0])
  if (select.havingClause !== undefined) add("aggregate", "HAVING", select.havingClause)
  if (traits.windows) add("window", "a window function", (select.windowClause ?? [])[0])
  if (traits.distinctOn) add("distinctOn", "DISTINCT ON", (select.distinctClause ?? [])[0])
  else if ((select.distinctClause ?? []).length > 0) add("distinct", "DISTINCT", undefined)
  if ((select.sortClause ?? []).length > 0) add("order", "ORDER BY", (select.sortClause ?? [])[0])
  if ((select.lockingClause ?? []).length > 0) add("lock", "FOR UPDATE", undefined)
}

/** FOR UPDATE takes all tables, through derived tables too; OF names the ones it takes. */
const recordLocks = (walk: Walk, select: SelectStmt, scope: Scope): void => {
  for (const node of select.lockingClause ?? []) {
    const clause = Ast.as("LockingClause", node)
    const named = (clause?.lockedRels ?? []).map((each) => Ast.as("RangeVar", each))
    const locked = named.map((range) => scope.sources.find((source) => source.alias === range?.relname))
    const isNarrow = named.length > 0 && locked.every((source) => source?.isTable === true)
    walk.builder.addLock({
      references: isNarrow ? locked.flatMap((source) => source?.reference ?? []) : undefined,
      location: Ast.location(named[0])
    })
  }
}

const shapeOf = (
  walk: Walk,
  select: SelectStmt,
  scope: Scope,
  traits: LevelTraits,
  keys: ReadonlySet<ColumnId>,
  block: BlockId
): Shape => {
  const imports = !traits.limited && !traits.windows && !traits.distinctOn && !traits.groupingSets
  const output = (name: string | undefined, column: ColumnId): Output => {
    const isOwn =
      walk.builder.blockOf(column) === block && (!traits.aggregated || (keys.has(column) && !traits.groupingSets))
    const links = isOwn ? [{ column, inside: block, imports, exports: true }] : []
    return {
      name,
      family: isOwn ? walk.builder.column(column).family : undefined,
      collation: walk.builder.column(column).collation,
      links,
      operands: undefined,
      term: undefined
    }
  }
  const outputs: Array<Output> = []
  let open = false
  for (const node of select.targetList ?? []) {
    const target = Ast.as("ResTarget", node)
    if (target === undefined) continue
    if (!OutputName.isStar(target.val)) {
      outputs.push(expressionOutput(walk, target, scope, output))
      continue
    }
    const star = starColumns(target, scope)
    if (star === undefined) open = true
    else {
      outputs.push(...star.columns.map((column) => output(column.name, column.column)))
      open = open || star.open
    }
  }
  return { block, outputs, open, branches: [{ block, outputs: open ? [] : outputs }] }
}

/**
 * The columns that a star in a target list stands for; undefined where the text does not say (`(row).*`).
 *
 * @since 0.1.0
 * @category functions
 */
export const starColumns = (
  target: ResTarget,
  scope: Scope
): { readonly columns: ReadonlyArray<NamedColumn>; readonly open: boolean; readonly isNamed: boolean } | undefined => {
  const reference = Ast.as("ColumnRef", target.val)
  if (reference === undefined) return undefined
  const names = Ast.names((reference.fields ?? []).slice(0, -1))
  if (names.length === 0) return { columns: scope.columns, open: scope.open, isNamed: false }
  const { source } = findSource(scope, names, Ast.location(reference))
  return { columns: source.columns, open: source.open, isNamed: true }
}

const expressionOutput = (
  walk: Walk,
  target: ResTarget,
  scope: Scope,
  column: (name: string | undefined, column: ColumnId) => Output
): Output => {
  const name = OutputName.ofTarget(target)
  const term = Equality.termOf(walk.builder, scope, target.val)
  if (term._tag === "Column") return column(name, term.column)
  const known = valueOf(walk, term)
  const collation = derive(walk.builder, scope, target.val).is
  return { name, family: known?.family, collation, links: [], operands: known?.operands, term }
}

/** A constant of a type of its own: an untyped string or parameter takes its type from elsewhere. */
const valueOf = (
  walk: Walk,
  term: Equality.Term
): { readonly family: Family; readonly operands: ReadonlyArray<Operand> } | undefined => {
  const family = familyOf(term)
  if (family === undefined) return undefined
  const operand = Equality.operandIn(walk.builder, family, term, false)
  // A NULL is a value too: it says nothing, and does not end the query.
  return operand === undefined || operand === "never" ? undefined : { family, operands: [operand] }
}

const familyOf = (term: Equality.Term): Family | undefined => {
  switch (term._tag) {
    case "Param":
      return term.cast
    case "Literal":
      if (term.literal._tag === "Null") return undefined
      if (term.cast !== undefined) return Equality.familyOfType(term.cast)
      return term.literal._tag === "Integer" && Equality.isInt8(term.literal.text) ? "integer" : undefined
    case "Column":
    case "Other":
      return undefined
  }
}

const values = (context: FromContext, select: SelectStmt, place: Place): Shape => {
  const { walk } = context
  const scope = From.scopeOf(context, { sources: [], columns: [], open: false }, place)
  const rows = (select.valuesLists ?? []).map((row) => Ast.as("List", row)?.items ?? [])
  for (const row of rows) for (const node of row) walk.expression(node, scope, { ...place, sees: "above" })
  walkLimits(context, select, place)
  recordTraits(walk, select, { ...traitsOf(walk, select, place.block), aggregated: false }, place.block)
  const outputs = (rows[0] ?? []).map((_, index): Output => {
    const known = rows.map((row) => valueOf(walk, Equality.termOf(walk.builder, scope, row[index])))
    const family = known[0]?.family
    const isKnown = family !== undefined && known.every((value) => value?.family === family)
    return {
      name: `column${index + 1}`,
      family: isKnown ? family : undefined,
      collation: merged(rows.map((row) => derive(walk.builder, scope, row[index]))).is,
      links: [],
      operands: isKnown ? known.flatMap((value) => value?.operands ?? []) : undefined,
      term: undefined
    }
  })
  return { block: place.block, outputs, open: false, branches: [{ block: place.block, outputs }] }
}

/** UNION, INTERSECT, EXCEPT: what the outside says of a column holds for that column of each branch. */
const setOperation = (context: FromContext, select: SelectStmt, place: Place): Shape => {
  const { walk } = context
  const { builder } = walk
  builder.setExports(place.block, false)
  const side = (branch: SelectStmt | undefined): Shape => {
    if (branch === undefined) throw new Error("a set operation without its branches")
    const relation = builder.newRelation(place.block, place.guards)
    const shape = selectQuery(walk, branch, context.outer, context.ctes, { place: { ...place, sees: "all" }, relation })
    // A row of one branch need not satisfy what another demands.
    builder.setExports(shape.block, false)
    return shape
  }
  const [left, right] = [side(select.larg), side(select.rarg)]
  walkSetOrdering(context, select, left, place)
  walkLimits(context, select, place)
  builder.trait(place.block, {
    kind: "setOperation",
    clause: (select.op ?? "").replace("SETOP_", ""),
    location: undefined,
    orderFree: true
  })
  const limited = select.limitCount !== undefined || select.limitOffset !== undefined
  recordTraits(
    walk,
    select,
    { ...traitsOf(walk, { ...select, targetList: [] }, place.block), aggregated: false },
    place.block
  )
  const outputs = left.outputs.map((output, index): Output => {
    const other = right.outputs[index]
    const family = other !== undefined && other.family === output.family ? output.family : undefined
    const collation = bothOf(output.collation, other?.collation)
    const links = family === undefined || other === undefined ? [] : [...output.links, ...other.links]
    return {
      name: output.name,
      family,
      collation,
      links: links.map((link) => ({ ...link, imports: link.imports && !limited, exports: false })),
      operands: undefined,
      term: undefined
    }
  })
  const open = left.open || right.open
  return { block: place.block, outputs: open ? [] : outputs, open, branches: [...left.branches, ...right.branches] }
}

const bothOf = (one: Output["collation"], other: Output["collation"]): Output["collation"] => {
  if (typeof one !== "object" || typeof other !== "object") return one === other ? one : undefined
  return isSame(one, other) ? one : undefined
}

/** ORDER BY of a set operation sees output columns only. */
const walkSetOrdering = (context: FromContext, select: SelectStmt, left: Shape, place: Place): void => {
  const { walk } = context
  const relation = walk.builder.newRelation(place.block, place.guards)
  const columns = left.outputs.map((output) => ({
    name: output.name ?? "?column?",
    column: walk.builder.newColumn(relation, output.name ?? "?column?", undefined)
  }))
  const scope = From.scopeOf(context, { sources: [], columns, open: false }, place)
  for (const node of select.sortClause ?? []) {
    if (!left.open) walk.expression(node, scope, place)
  }
}
