/**
 * WITH: each reference to a CTE is analyzed as if its query stood there, under the names that are visible at its WITH.
 *
 * Enters: the WITH clause, or a reference. Leaves: an environment, or a relation. Holds: a recursive query's own
 * reference says nothing about its columns; a data-modifying query is analyzed once, apart from whatever surrounds it.
 *
 * @since 0.1.0
 */
import type { Alias, CommonTableExpr, WithClause } from "libpg-query"
import * as Ast from "../Ast.js"
import type { Place } from "./Builder.js"
import { closure } from "./Closure.js"
import * as OutputName from "./OutputName.js"
import {
  type Cte,
  type Ctes,
  findCte,
  type NamedColumn,
  type Scope,
  type SelfReference,
  type Source,
  type WrittenOutputs
} from "./Scope.js"
import { type Derive, type FromContext, isWrite, type Output, type Shape, type Walk } from "./Walk.js"

/**
 * The CTEs of a WITH clause, in front of those visible already. Writes among them are analyzed here.
 *
 * @since 0.1.0
 * @category functions
 */
export const declare = (
  walk: Walk,
  clause: WithClause | undefined,
  outer: Scope | undefined,
  before: Ctes | undefined,
  place: Place
): Ctes | undefined => {
  if (clause === undefined) return before
  const all = new Map<string, Cte>()
  const whole: Ctes = { entries: all, parent: before }
  for (const node of clause.ctes ?? []) {
    const cte = Ast.as("CommonTableExpr", node)
    if (cte?.ctequery === undefined) continue
    const location = Ast.location(cte)
    const name = cte.ctename ?? ""
    // Without RECURSIVE a CTE sees those before it; with it, all of them.
    const seen: Ctes = clause.recursive === true ? whole : { entries: new Map(all), parent: before }
    const entry: Cte = {
      name,
      query: cte.ctequery,
      columns: Ast.names(cte.aliascolnames),
      traversal: traversalOf(cte),
      location,
      scope: () => ({ outer, ctes: seen }),
      recursive: clause.recursive === true && mentions(cte.ctequery, name),
      written: undefined,
      self: undefined
    }
    if (!isWrite(cte.ctequery) && !walk.ctes.has(cte.ctequery)) {
      walk.ctes.set(cte.ctequery, { seen, isRead: false })
    }
    all.set(name, isWrite(cte.ctequery) ? { ...entry, written: written(walk, entry, place) } : entry)
  }
  return whole
}

/** The columns that SEARCH and CYCLE put behind its own. */
const traversalOf = ({ cycle_clause: cycle, search_clause: search }: CommonTableExpr): ReadonlyArray<string> => [
  ...(search === undefined ? [] : [search.search_seq_column ?? ""]),
  ...(cycle === undefined ? [] : [cycle.cycle_mark_column ?? "", cycle.cycle_path_column ?? ""])
]

/**
 * A CTE that nothing reads is not run, but its names must be there: a table of one shard takes the statement to it.
 *
 * @since 0.1.0
 * @category functions
 */
export const checkUnread = ({ builder, ctes }: Walk): void => {
  for (const [query, { isRead, seen }] of ctes) {
    if (isRead) continue
    const inside = new Set(Array.from(bodies(query, "CommonTableExpr"), ({ ctename }) => ctename))
    for (const node of bodies(query, "RangeVar")) {
      const name = node.relname ?? ""
      const isCte = node.schemaname === undefined && (inside.has(name) || findCte(seen, name) !== undefined)
      const named = isCte ? undefined : builder.view.source(node.schemaname, name, Ast.location(node))
      if (named?._tag !== "Single") continue
      builder.addSingle({ shard: named.shard, table: named.name, location: Ast.location(node) })
    }
  }
}

/** The nodes of a tag, at any depth. */
function* bodies<T extends Ast.Tag>(value: unknown, tag: T): Generator<Ast.Body<T>> {
  if (typeof value !== "object" || value === null) return
  for (const [key, child] of Object.entries(value)) {
    // A key of this name holds a node of it.
    if (key === tag) yield child as Ast.Body<T>
    yield* bodies(child, tag)
  }
}

/** A write happens whatever the query around it does: it sees nothing of it, and tells it nothing. */
const written = (walk: Walk, cte: Cte, place: Place): NonNullable<Cte["written"]> => {
  const relation = walk.builder.newRelation(place.block, [])
  const { ctes, outer } = cte.scope()
  const shape = walk.write(cte.query, outer, ctes, {
    place: { block: place.block, guards: [], sees: "nothing" },
    relation
  })
  walk.builder.setExports(shape.block, false)
  const known = walk.builder.finish()
  const closed = closure(known, { block: shape.block })
  const columns = shape.outputs.map((output, index) => {
    const column = output.links[0]?.column
    const lists = column === undefined ? [] : closed.choices(column)
    const [operands] = lists.flatMap((choice) => (choice._tag === "Operands" ? [choice.operands] : []))
    const family = column === undefined ? undefined : walk.builder.column(column).family
    return { name: cte.columns[index] ?? output.name ?? "?column?", family, operands }
  })
  // With columns in unknown places, positions say nothing: renaming hides the known ones.
  if (shape.open && cte.columns.length > 0) return { block: shape.block, key: [], columns: [], open: true }
  const target = known.targets.find(({ block }) => block === shape.block)
  const places = (target?.key ?? []).map((part) =>
    shape.outputs.findIndex(({ links: [link] }) => link !== undefined && closed.same(link.column, part))
  )
  return { block: shape.block, key: places.includes(-1) ? [] : places, columns, open: shape.open }
}

/** Any table of that name in there, in any scope: perhaps one too many. */
const mentions = (value: unknown, name: string): boolean => {
  if (typeof value !== "object" || value === null) return false
  if ("relname" in value && value.relname === name && !("schemaname" in value)) return true
  return Object.values(value).some((child) => mentions(child, name))
}

/**
 * A reference in FROM.
 *
 * @since 0.1.0
 * @category functions
 */
export const reference = (
  context: FromContext,
  cte: Cte,
  alias: Alias | undefined,
  place: Place,
  derive: Derive
): Source => {
  const { walk } = context
  const relation = walk.builder.newRelation(place.block, place.guards)
  const shown: Alias = { ...alias, aliasname: alias?.aliasname ?? cte.name }
  if (cte.written !== undefined) return writtenSource(walk, cte.written, relation, shown, place)
  const known = walk.ctes.get(cte.query)
  if (known !== undefined) known.isRead = true
  if (cte.self !== undefined) return selfSource(walk, cte.self, relation, shown)
  const shape = cte.recursive ? recursive(context, cte, relation, place) : plain(context, cte, relation, place)
  return derive(walk, withNames(shape, cte), relation, shown, place)
}

/** Rows that came out of a write satisfied what it demanded: a column it limits is limited here too. */
const writtenSource = (walk: Walk, known: WrittenOutputs, relation: number, alias: Alias, place: Place): Source => {
  const { builder } = walk
  const names = Ast.names(alias.colnames)
  const columns = known.columns.map(({ family, name, operands }, index) => {
    const column = builder.newColumn(relation, names[index] ?? name, family)
    if (operands !== undefined) builder.claim(place, { _tag: "Is", column, operands })
    return { name: names[index] ?? name, column }
  })
  builder.addFeed({
    relation,
    block: place.block,
    alias: alias.aliasname ?? "",
    write: known.block,
    key: known.key.flatMap((at) => columns[at]?.column ?? [])
  })
  if (known.open && names.length > 0) return opaqueSource(relation, alias, [], true)
  return opaqueSource(relation, alias, columns, known.open)
}

const selfSource = (walk: Walk, known: SelfReference, relation: number, alias: Alias): Source => {
  const names = Ast.names(alias.colnames)
  const columns = known.columns.map((name, index) => ({
    name: names[index] ?? name,
    column: walk.builder.newColumn(relation, names[index] ?? name, undefined)
  }))
  return opaqueSource(relation, alias, columns, known.open)
}

const opaqueSource = (relation: number, alias: Alias, columns: ReadonlyArray<NamedColumn>, open: boolean): Source => ({
  alias: alias.aliasname ?? "",
  schema: undefined,
  relation,
  columns,
  open,
  system: "none",
  isTable: false,
  reference: undefined
})

const withNames = (shape: Shape, cte: Cte): Shape => {
  if (cte.columns.length === 0 && cte.traversal.length === 0) return shape
  const outputs = shape.outputs.map((output, index) => ({ ...output, name: cte.columns[index] ?? output.name }))
  const added = cte.traversal.map((name): Output => ({
    name,
    family: undefined,
    links: [],
    operands: undefined,
    term: undefined
  }))
  return { ...shape, outputs: shape.open ? outputs : [...outputs, ...added] }
}

const plain = (context: FromContext, cte: Cte, relation: number, place: Place): Shape => {
  const { ctes, outer } = cte.scope()
  return context.walk.query(cte.query, outer, ctes, { place: { ...place, sees: "all" }, relation })
}

/**
 * The set operation of a recursive query, its own name standing for rows of which nothing is known. Its outputs say
 * nothing either.
 */
const recursive = (context: FromContext, cte: Cte, relation: number, place: Place): Shape => {
  const { walk } = context
  const { ctes, outer } = cte.scope()
  const names = selfColumns(cte)
  const self: Cte = { ...cte, self: names }
  const inside: Ctes = { entries: new Map([[cte.name, self]]), parent: ctes }
  const shape = walk.query(cte.query, outer, inside, { place: { ...place, sees: "all" }, relation })
  walk.builder.setExports(shape.block, false)
  walk.builder.trait(shape.block, {
    kind: "recursive",
    clause: "WITH RECURSIVE",
    location: cte.location,
    orderFree: true
  })
  return {
    ...shape,
    outputs: shape.outputs.map((output) => ({ ...output, family: undefined, links: [], operands: undefined }))
  }
}

/** Column names come from the first branch, as far as it writes them out. */
const selfColumns = (cte: Cte): NonNullable<Cte["self"]> => {
  const names = OutputName.ofQuery(cte.query)
  return names === undefined
    ? { columns: cte.columns, open: true }
    : { columns: names.map((name, index) => cte.columns[index] ?? name ?? "?column?"), open: false }
}
