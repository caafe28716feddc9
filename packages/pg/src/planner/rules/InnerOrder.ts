/**
 * The order in which a query in FROM gives its rows. SQL leaves open what is left of it outside, PostgreSQL keeps it, and
 * programs page through such rows.
 *
 * @since 0.1.0
 */
import type { Node, SelectStmt } from "libpg-query"
import * as Ast from "../Ast.js"
import type { Level } from "../analysis/Walk.js"

/**
 * Whether the level takes rows by their place (LIMIT, OFFSET, the first of DISTINCT ON) out of one relation that is no
 * table, and names no order of its own.
 *
 * @since 0.1.0
 * @category guards
 */
export const takesByPlace = ({ scope: { sources }, select, traits }: Level): boolean =>
  sources.length === 1 &&
  sources.every(({ isTable }) => !isTable) &&
  (select.sortClause ?? []).length === 0 &&
  (traits.limited || traits.distinctOn)

/**
 * Columns of an ordered query, and no more, are that query: its LIMIT and OFFSET stand inside, and where all columns are
 * taken it stands alone. Undefined where nothing changes.
 *
 * @since 0.1.0
 * @category functions
 */
export const pushed = (select: SelectStmt): SelectStmt | undefined => {
  const [from, ...others] = select.fromClause ?? []
  const derived = Ast.as("RangeSubselect", from)
  const inner = Ast.as("SelectStmt", derived?.subquery)
  if (derived === undefined || inner === undefined || others.length > 0 || derived.lateral === true) return undefined
  if (!isRowByRow(select) || !isOrdered(inner)) return undefined
  const { limitCount, limitOffset, limitOption, ...bare } = select
  const limits = {
    ...(limitCount === undefined ? {} : { limitCount }),
    ...(limitOffset === undefined ? {} : { limitOffset }),
    ...(limitOption === undefined ? {} : { limitOption })
  }
  const cut: SelectStmt = isLimited(select) ? { ...inner, ...limits } : inner
  if (isAll(select) && (derived.alias?.colnames ?? []).length === 0) return cut
  if (!isLimited(select)) return undefined
  const subquery: Node = { SelectStmt: cut }
  return { ...bare, limitOption: "LIMIT_OPTION_DEFAULT", fromClause: [{ RangeSubselect: { ...derived, subquery } }] }
}

const isRowByRow = (select: SelectStmt): boolean =>
  select.whereClause === undefined &&
  select.havingClause === undefined &&
  select.withClause === undefined &&
  [select.groupClause, select.distinctClause, select.windowClause, select.sortClause, select.lockingClause].every(
    (clause) => (clause ?? []).length === 0
  ) &&
  isPlain(select) &&
  (select.targetList ?? []).length > 0 &&
  targetsOf(select).every((value) => Ast.as("ColumnRef", value) !== undefined)

const isOrdered = (inner: SelectStmt): boolean =>
  isPlain(inner) && (inner.sortClause ?? []).length > 0 && (inner.lockingClause ?? []).length === 0 && !isLimited(inner)

/** @since 0.1.0 @category guards */
export const isLimited = ({ limitCount, limitOffset }: SelectStmt): boolean =>
  limitCount !== undefined || limitOffset !== undefined

const isPlain = ({ op, valuesLists }: SelectStmt): boolean =>
  (op === undefined || op === "SETOP_NONE") && (valuesLists ?? []).length === 0

const targetsOf = ({ targetList }: SelectStmt): ReadonlyArray<Node | undefined> =>
  (targetList ?? []).map((target) => Ast.as("ResTarget", target)?.val)

const isAll = (select: SelectStmt): boolean => {
  const [only, ...more] = targetsOf(select)
  const fields = Ast.as("ColumnRef", only)?.fields ?? []
  return more.length === 0 && fields.length <= 2 && fields.some((field) => "A_Star" in field)
}
