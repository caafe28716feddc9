/**
 * A view in FROM: analyzed as if its query stood there as a derived table, under the view's own column names.
 *
 * Enters: the view, as catalog and topology know it. Leaves: a relation. Holds: the query sees no name of the statement
 * around it, neither columns nor CTEs; its own names mean what the server printed them for; everything found in it has
 * the place of the view's name, and its columns the collations that the catalog says. (The statement goes to the shards as it is written: the view is there.)
 *
 * @since 0.1.0
 */
import type { Alias, Node, RangeVar } from "libpg-query"
import * as Ast from "../Ast.js"
import type * as Catalog from "../Catalog.js"
import { draft } from "../Refusal.js"
import { type NamedView, refuse, type SchemaView, Stopped } from "../SchemaView.js"
import type { Builder, Place } from "./Builder.js"
import type { Source } from "./Scope.js"
import * as Tree from "../rewrite/Tree.js"
import type { Derive, Output, Range, Shape, Walk } from "./Walk.js"

/** Views in views in views: deeper ones are refused. */
const depthMax = 32

/**
 * A reference in FROM.
 *
 * @since 0.1.0
 * @category functions
 */
export const reference = (walk: Walk, view: NamedView, node: RangeVar, place: Place, derive: Derive): Source => {
  const { builder } = walk
  const location = Ast.location(node)
  if (walk.views.length >= depthMax) refuse(draft("SL1102", { limit: `${depthMax} views in each other` }, location))
  const relation = builder.newRelation(place.block, place.guards)
  const query = placed(view.query, location)
  const within = walk.within(view.name, inside(walk, view))
  const shape = named(walk, view, location, () =>
    within.query(query, undefined, undefined, { place: { ...place, sees: "all" }, relation })
  )
  walk.ranges.set(node, {
    _tag: "View",
    schema: view.relation.schema,
    columns: view.relation.columns.map((column) => column.name),
    // The names of functions and types are those of the path that it was printed under.
    query: view.names === builder.view ? qualified(query, within.ranges) : undefined
  })
  if (view.home !== undefined) builder.addSingle({ shard: view.home, table: view.name, location })
  const shown: Alias = { ...node.alias, aliasname: node.alias?.aliasname ?? node.relname ?? "" }
  const source = derive(walk, withNames(shape, view, location), relation, shown, place)
  return { ...source, schema: node.alias === undefined ? view.relation.schema : undefined }
}

/**
 * A function's name tells that it is called in a view (the outermost one): its call cannot be replaced in the text of
 * the statement, as that of `now()` otherwise could.
 */
const inside = ({ builder, views }: Walk, view: NamedView): Builder => ({
  ...builder,
  view: secured(view.names, isInvokers(view)),
  addFunction:
    views.length > 0
      ? builder.addFunction
      : (use) => builder.addFunction({ ...use, name: `${use.name} (in view ${view.name})` })
})

/** Its tables are read with the rights of who asks, not of the view's owner. */
const isInvokers = ({ relation: { options } }: NamedView): boolean =>
  options.some((option) => /^security_invoker=(true|on|yes|1)$/i.test(option))

/** The policies of a table in a view are those for the view's owner, who may be another one on each shard. */
const secured = (names: SchemaView, isInvoker: boolean): SchemaView =>
  isInvoker
    ? names
    : {
        ...names,
        source: (schema, name, location) => {
          const found = names.source(schema, name, location)
          if (found._tag === "View") return { ...found, names: secured(found.names, false) }
          if (found.relation?.rowSecurity === true) {
            const why = "a view without security_invoker reads it with the rights of its owner"
            return refuse(
              draft("SL2009", { table: found._tag === "Single" ? found.name : found.table.id, why }, location)
            )
          }
          return found
        }
      }

/** What stops inside has the words for it of the outermost view, which is the one that the statement names. */
const named = (walk: Walk, view: NamedView, location: number | undefined, run: () => Shape): Shape => {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof Stopped) || error.stop._tag !== "Refused" || walk.views.length > 0) throw error
    const { refusal, unknownName } = error.stop
    return refuse({ ...refusal, reason: `${refusal.reason} (in view ${view.name})`, location }, unknownName)
  }
}

/** No CTE of a statement around it takes the place of its tables. Undefined: a table is not known well enough. */
const qualified = (query: Node, ranges: ReadonlyMap<RangeVar, Range>): Node | undefined => {
  const schemas = new Map(
    Array.from(ranges, ([range, known]) => {
      switch (known._tag) {
        case "Cte":
          return [range, "" as const]
        case "View":
          return [range, known.schema]
        case "Table":
          return [range, known.named.relation?.schema]
      }
    })
  )
  if ([...schemas.values()].includes(undefined)) return undefined
  return Tree.replaced(query, (node) => {
    const range = Ast.as("RangeVar", node)
    const schema = range === undefined ? undefined : schemas.get(range)
    return range === undefined || schema === undefined || schema === ""
      ? undefined
      : { RangeVar: { ...range, schemaname: schema } }
  })
}

const withNames = (shape: Shape, view: NamedView, location: number | undefined): Shape => {
  const { columns } = view.relation
  if (shape.open || shape.outputs.length !== columns.length) {
    return refuse(draft("SL1101", { construct: `the columns of view ${view.name}` }, location))
  }
  return { ...shape, outputs: shape.outputs.map((output, index) => ({ ...output, ...seen(columns[index]) })) }
}

/** What the view's own column tells of an output. */
const seen = (column: Catalog.Column | undefined): Pick<Output, "name" | "collation"> => ({
  name: column?.name,
  collation: column === undefined ? undefined : (column.collation ?? "none")
})

/** A copy whose nodes all stand at one place. */
const placed = (query: Node, location: number | undefined): Node => moved(query, location ?? -1) as Node

const moved = (value: unknown, location: number): unknown => {
  if (Array.isArray(value)) return value.map((item) => moved(item, location))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key, key === "location" ? location : moved(child, location)])
  )
}
