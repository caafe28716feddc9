/**
 * Columns that stand beside the groups because their table's primary key is grouped by: where a relation of shipped rows
 * takes the table's place, PostgreSQL no longer knows that, and they are grouped by too. That makes no more groups.
 *
 * Enters: a level and its names. Leaves: whether a column is such a one. Holds: never one whose type has no equality.
 *
 * @since 0.1.0
 */
import type { RangeVar } from "libpg-query"
import type { Column } from "../Catalog.js"
import type { ColumnId, RelationId } from "../analysis/Model.js"
import type { Level, Range } from "../analysis/Walk.js"
import type { Context } from "../strategies/Context.js"

/** @since 0.1.0 @category models */
export interface Keyed {
  readonly node: RangeVar
  readonly range: Extract<Range, { readonly _tag: "Table" }>
  /** By the table's own names. */
  readonly columns: ReadonlyArray<Column>
}

/**
 * The tables of a level whose primary key is grouped by, with the columns beside it.
 *
 * @since 0.1.0
 * @category getters
 */
export const keyed = ({ study }: Pick<Context, "study">, level: Level): ReadonlyArray<Keyed> => {
  if (level.groupColumns.size === 0 || level.traits.groupingSets) return []
  const grouped = [...level.groupColumns].map((id) => study.builder.column(id))
  const namesOf = (relation: RelationId) =>
    new Set(grouped.flatMap((column) => (column.relation === relation ? [column.name] : [])))
  return [...study.ranges].flatMap(([node, range]): ReadonlyArray<Keyed> => {
    if (range._tag !== "Table") return []
    const names = namesOf(range.relation)
    const { columns = [], indexes = [] } = range.named.relation ?? {}
    const key = indexes.find(({ primary }) => primary)?.columns
    if (key === undefined || names.size === 0 || !key.every((name) => name !== null && names.has(name))) return []
    return [
      { node, range, columns: columns.filter(({ base, name }) => !names.has(name) && !withoutEquality.has(base)) }
    ]
  })
}

/** @since 0.1.0 @category guards */
export const isDependent = (context: Context, level: Level, column: ColumnId): boolean => {
  const { name, relation } = context.study.builder.column(column)
  return keyed(context, level).some(
    ({ columns, range }) => range.relation === relation && columns.some((own) => own.name === name)
  )
}

/** json, xml, and the geometric types whose `=` is none that GROUP BY could use. */
const withoutEquality = new Set([114, 142, 600, 601, 602, 603, 604, 628, 718])
