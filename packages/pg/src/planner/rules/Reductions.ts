/**
 * Which gathered rows cannot matter, because no row of another scan has their key: a semi-join reduction.
 *
 * Enters: the level that is gathered, what the columns of its scans are. Leaves: edges from a source to a target, and the
 * statements that ask for keys and for rows that have one. Why it is exact: `Closure` proves of a row that matters, for
 * any contents of all tables, that another relation has a row with an equal column. Gathered rows are such contents, for
 * the statement over them is the program's own; so a row whose value no row of the source's scan has may be left out,
 * and so may others after it: the keys were those of more rows then, never of fewer. Which joins and subqueries demand an
 * equality, of which side, is the closure's business (the right side of LEFT JOIN, what is in EXISTS or NOT EXISTS, none
 * of FULL JOIN, nothing of NOT IN), and so is which types and collations it believes. Filters that give another value
 * each time they run never get here: what a shard alone knows is refused before.
 *
 * A scan may be part of an aligned query that stands inside of the level. Rows of it are left out by a column that it
 * hands on as it is, and only where that is the same as leaving them out of its table: no LIMIT, no window, grouped by the
 * column if at all.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Ast from "../Ast.js"
import type { Study } from "../analysis/Analyze.js"
import { closure } from "../analysis/Closure.js"
import type { ColumnId, RelationId } from "../analysis/Model.js"
import type { Level } from "../analysis/Walk.js"
import type { OwnParams } from "../rewrite/Fragments.js"
import * as Tree from "../rewrite/Tree.js"
import { columnOf, type Context } from "../strategies/Context.js"
import type { Split } from "../strategies/Split.js"
import type { TypeRef } from "../Types.js"

/**
 * A scan, and what its columns are: undefined for what is no column of a table. `isShared`: its rows stand in several
 * places of the statement, and may matter in one where they do not in another.
 *
 * @since 0.1.0
 * @category models
 */
export interface Candidate {
  readonly scan: number
  readonly columns: ReadonlyArray<ColumnId | undefined>
  readonly isShared: boolean
}

/** @since 0.1.0 @category models */
export interface Edge {
  readonly source: Place
  readonly target: Place
}

/**
 * A column of a scan, and its name for people.
 *
 * @since 0.1.0
 * @category models
 */
export interface Place {
  readonly scan: number
  readonly column: number
  readonly name: string
}

/** @since 0.1.0 @category functions */
export const edges = (study: Study, candidates: ReadonlyArray<Candidate>): ReadonlyArray<Edge> => {
  const { analyzed } = study
  const nameOf = namesIn(study)
  return candidates.flatMap((target) =>
    target.isShared
      ? []
      : target.columns.flatMap((own, column): ReadonlyArray<Edge> => {
          const info = own === undefined ? undefined : analyzed.columns[own]
          const block = info === undefined ? undefined : analyzed.relations[info.relation]?.block
          if (own === undefined || info?.family === undefined || block === undefined) return []
          const closed = closure(analyzed, { block, relation: info.relation })
          // Compared with a column, so that a NULL does not matter either.
          if (closed.never || !closed.classes.isJoined(own)) return []
          return candidates.flatMap((source): ReadonlyArray<Edge> => {
            if (source.scan === target.scan) return []
            const at = source.columns.findIndex((other) => other !== undefined && closed.same(own, other))
            const other = source.columns[at]
            if (other === undefined) return []
            return [
              {
                source: { scan: source.scan, column: at, name: nameOf(other) },
                target: { scan: target.scan, column, name: nameOf(own) }
              }
            ]
          })
        })
  )
}

const namesIn = ({ analyzed, ranges }: Study) => {
  const aliases = new Map<RelationId, string>()
  for (const [node, range] of ranges) {
    if (range._tag === "Table") aliases.set(range.relation, node.alias?.aliasname ?? node.relname ?? "")
  }
  return (id: ColumnId): string => {
    const column = analyzed.columns[id]
    return column === undefined ? "?" : `${aliases.get(column.relation) ?? "?"}.${column.name}`
  }
}

/**
 * A column of a table, by its own name.
 *
 * @since 0.1.0
 * @category getters
 */
export const columnIn = ({ analyzed }: Study, relation: RelationId, name: string): ColumnId | undefined => {
  const at = analyzed.columns.findIndex((column) => column.relation === relation && column.name === name)
  return at < 0 ? undefined : at
}

/**
 * What the columns of a part are, as seen from the statement around it. `context` is the part's own.
 *
 * @since 0.1.0
 * @category getters
 */
export const columnsOfPart = (context: Context, split: Split, around: Level): Candidate["columns"] => {
  const { level } = split
  const { distinctOn, groupingSets, limited, windows } = level.traits
  if (distinctOn || groupingSets || limited || windows) return []
  const outside = new Map(
    level.scope.sources.flatMap(({ columns }, source) =>
      columns.flatMap(({ column }, at) => {
        const found = around.scope.sources[source]?.columns[at]?.column
        return found === undefined ? [] : [[column, found] as const]
      })
    )
  )
  return handedOn(context, split).map((column) =>
    column === undefined || isNullable(context, column) ? undefined : outside.get(column)
  )
}

/** The columns of a part's tables that its rows have as they are. */
const handedOn = (context: Context, { expressions, level, names, shard }: Split): Candidate["columns"] => {
  if (!level.traits.aggregated) {
    return expressions.map((node) => (typeof node === "object" ? columnOf(context, level, node)?.column : node))
  }
  // Of an aggregate, an expression is what it aggregates.
  const targets = Ast.as("SelectStmt", shard)?.targetList ?? []
  if (targets.length !== names.length) return []
  return targets.map((target) => {
    const value = Ast.as("ResTarget", target)?.val
    const column = value === undefined ? undefined : columnOf(context, level, value)?.column
    return column !== undefined && level.groupColumns.has(column) ? column : undefined
  })
}

/** Not surely of a table's row. */
const isNullable = ({ study }: Context, id: ColumnId): boolean => {
  const { relation } = study.builder.column(id)
  for (const range of study.ranges.values()) {
    if (range._tag === "Table" && range.relation === relation) return range.isNullable
  }
  return true
}

/**
 * What a scan's rows must meet besides: written over the columns of a derived table `part`.
 *
 * @since 0.1.0
 * @category models
 */
export type Conditions = (scan: number) => ReadonlyArray<Node>

/** @since 0.1.0 @category models */
export interface Limits {
  readonly sources: ReadonlyArray<Place>
  readonly edges: ReadonlyArray<{ readonly source: number; readonly scan: number; readonly name: string }>
  readonly conditions: Conditions
}

/** What the statements need of the scans. */
interface Scan {
  readonly shard: Node
  readonly types: ReadonlyArray<TypeRef>
}

/**
 * Undefined where nothing can be reduced.
 *
 * @since 0.1.0
 * @category functions
 */
export const limits = (all: ReadonlyArray<Edge>, scans: ReadonlyArray<Scan>, own: OwnParams): Limits | undefined => {
  const sources: Array<Place> = []
  const found = all.flatMap(({ source: { column, name, scan }, target }) => {
    const type = arrayType(scans[scan]?.types[column])
    if (type === undefined) return []
    const known = sources.findIndex((other) => other.scan === scan && other.column === column)
    const source = known < 0 ? sources.push({ column, name, scan }) - 1 : known
    const keys = own.node({ _tag: "Keys", source }, type)
    return [{ source, scan: target.scan, name: target.name, condition: isAmong(target.column, keys) }]
  })
  if (found.length === 0) return undefined
  return {
    sources,
    edges: found.map(({ name, scan, source }) => ({ source, scan, name })),
    conditions: (scan) => found.flatMap((edge) => (edge.scan === scan ? [edge.condition] : []))
  }
}

/** Of the source's own type: the comparison is one that the statement makes, or follows from those. */
const arrayType = (type: TypeRef | undefined): ReadonlyArray<string> | undefined => {
  const [schema, name] = type?.names ?? []
  return schema === "pg_catalog" && name !== undefined ? [schema, `_${name}`] : undefined
}

/** With its parameter known, PostgreSQL's planner sees one side of the OR only, and may use an index. */
const isAmong = (column: number, keys: Node): Node => ({
  BoolExpr: {
    boolop: "OR_EXPR",
    args: [
      { NullTest: { arg: keys, nulltesttype: "IS_NULL" } },
      {
        A_Expr: {
          kind: "AEXPR_OP_ANY",
          name: [Tree.string("=")],
          lexpr: Tree.column("part", `c${column}`),
          rexpr: keys
        }
      }
    ]
  }
})

/**
 * The keys of the sources that are asked for, as far as no more than so many rows are to be looked at.
 *
 * @since 0.1.0
 * @category functions
 */
export const keys = ({ conditions, sources }: Limits, scans: ReadonlyArray<Scan>, own: OwnParams): Node =>
  Tree.unionAll(
    sources.map(({ column, scan }, source) => {
      const { shard, types } = scans[scan] ?? { shard: Tree.nullConstant, types: [] }
      const value = Tree.column("part", `c${column}`)
      const rows = Tree.select({
        targetList: [Tree.target(value, "key")],
        fromClause: [
          Tree.derivedTable(
            shard,
            "part",
            types.map((_, index) => `c${index}`)
          )
        ],
        whereClause: Tree.all([
          own.node({ _tag: "Asked", source }, ["pg_catalog", "bool"]),
          { NullTest: { arg: value, nulltesttype: "IS_NOT_NULL" } },
          ...conditions(scan)
        ]),
        limitCount: own.node({ _tag: "KeyRows" }, ["pg_catalog", "int8"]),
        limitOption: "LIMIT_OPTION_COUNT"
      })
      const key = Tree.column("seen", "key")
      const counted = Tree.select({
        targetList: [Tree.target(key, "key"), Tree.target(Tree.call("count", [], { agg_star: true }), "rows")],
        fromClause: [Tree.derivedTable(rows, "seen")],
        groupClause: [key],
        limitCount: own.node({ _tag: "KeyDepth" }, ["pg_catalog", "int8"]),
        limitOption: "LIMIT_OPTION_COUNT"
      })
      const together = Tree.select({
        targetList: [
          Tree.target(Tree.integer(source), "source"),
          Tree.target(Tree.cast(Tree.column("counted", "key"), ["pg_catalog", "text"]), "key"),
          Tree.target(Tree.column("counted", "rows"), "rows")
        ],
        fromClause: [Tree.derivedTable(counted, "counted")]
      })
      return Ast.as("SelectStmt", together) ?? {}
    })
  )
