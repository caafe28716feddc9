/**
 * Conditions and orders to SQL.
 *
 * Enters: conditions whose values are encoded. Leaves: fragments of the routed client, every value a parameter. Holds:
 * pure; each condition stands in parentheses of its own, so that none reaches into its neighbours.
 *
 * @since 0.1.0
 */
import type { Fragment } from "@effect/sql/Statement"
import type { Test } from "./Condition.js"
import * as Relation from "./Relation.js"

/**
 * A condition whose values are as the driver takes them.
 *
 * @since 0.1.0
 * @category models
 */
export type Condition =
  | { readonly _tag: "Field"; readonly field: string; readonly test: Test }
  | { readonly _tag: "Sql"; readonly fragment: Fragment }
  | { readonly _tag: "All"; readonly of: ReadonlyArray<Condition> }
  | { readonly _tag: "Any"; readonly of: ReadonlyArray<Condition> }
  | { readonly _tag: "Not"; readonly of: Condition }

/** @since 0.1.0 @category models */
export interface OrderTerm {
  /** A field, or what is worked out of the row's fields. */
  readonly by: string | Fragment
  readonly isDescending: boolean
  readonly nullsFirst: boolean
}

/** @since 0.1.0 @category functions */
export const condition = (relation: Relation.Relation, self: Condition): Fragment => {
  const { sql } = relation
  switch (self._tag) {
    case "Field":
      return test(relation, Relation.field(relation, self.field).column, self.test)
    case "Sql":
      return sql`(${self.fragment})`
    case "All":
      return joined(relation, self.of, " AND ", "TRUE")
    case "Any":
      return joined(relation, self.of, " OR ", "FALSE")
    case "Not":
      return sql`(NOT ${condition(relation, self.of)})`
  }
}

/** @since 0.1.0 @category functions */
export const where = (relation: Relation.Relation, self: Condition): Fragment =>
  self._tag === "All" && self.of.length === 0
    ? relation.sql.literal("")
    : relation.sql` WHERE ${condition(relation, self)}`

/** @since 0.1.0 @category functions */
export const orderBy = (relation: Relation.Relation, terms: ReadonlyArray<OrderTerm>): Fragment =>
  terms.length === 0
    ? relation.sql.literal("")
    : relation.sql` ORDER BY ${relation.sql.csv(
        terms.map((term) => relation.sql`${Relation.columnBy(relation, term.by)}${direction(relation, term)}`)
      )}`

/**
 * The order with what makes it the only one: the fields that tell rows apart, behind those that are there.
 *
 * @since 0.1.0
 * @category functions
 */
export const completed = (relation: Relation.Relation, terms: ReadonlyArray<OrderTerm>): ReadonlyArray<OrderTerm> => {
  const isDescending = terms.at(-1)?.isDescending ?? false
  const rest = relation.identity
    .filter((name) => !terms.some(({ by }) => by === name))
    // In the direction before it: an index over both then serves, and so does one comparison of rows.
    .map((by): OrderTerm => ({ by, isDescending, nullsFirst: isDescending }))
  return [...terms, ...rest]
}

/**
 * The order from its end to its beginning.
 *
 * @since 0.1.0
 * @category functions
 */
export const reversed = (terms: ReadonlyArray<OrderTerm>): ReadonlyArray<OrderTerm> =>
  terms.map(({ by, isDescending, nullsFirst }) => ({ by, isDescending: !isDescending, nullsFirst: !nullsFirst }))

/** @since 0.1.0 @category functions */
export const page = (
  relation: Relation.Relation,
  { limit, offset }: { readonly limit: number | undefined; readonly offset: number | undefined }
): Fragment => {
  const { sql } = relation
  return sql`${limit === undefined ? sql.literal("") : sql` LIMIT ${limit}`}${offset === undefined ? sql.literal("") : sql` OFFSET ${offset}`}`
}

/**
 * As `ORDER BY` writes it; what PostgreSQL takes for granted is left out, so that texts stay short.
 *
 * @since 0.1.0
 * @category functions
 */
export const direction = (
  { sql }: Relation.Relation,
  { isDescending, nullsFirst }: Pick<OrderTerm, "isDescending" | "nullsFirst">
): Fragment => {
  const nulls = nullsFirst === isDescending ? "" : nullsFirst ? " NULLS FIRST" : " NULLS LAST"
  return sql.literal(`${isDescending ? " DESC" : ""}${nulls}`)
}

const joined = (
  relation: Relation.Relation,
  conditions: ReadonlyArray<Condition>,
  word: " AND " | " OR ",
  none: "TRUE" | "FALSE"
): Fragment => {
  const { sql } = relation
  const [first, ...rest] = conditions
  if (first === undefined) return sql.literal(none)
  const head = condition(relation, first)
  if (rest.length === 0) return head
  return sql`(${rest.reduce((before, next) => sql`${before}${sql.literal(word)}${condition(relation, next)}`, head)})`
}

/**
 * What is asked of one column, or of anything else that has a value.
 *
 * @since 0.1.0
 * @category functions
 */
export const test = (relation: Relation.Relation, column: Fragment, self: Test): Fragment => {
  const { sql } = relation
  switch (self._tag) {
    case "Compare":
      if (self.value !== null) return sql`${column} ${sql.literal(self.sign)} ${self.value}`
      if (self.sign === "=") return nullTest(relation, column, false)
      // Nothing is more or less than NULL.
      return self.sign === "<>" ? nullTest(relation, column, true) : sql.literal("FALSE")
    case "Between":
      return self.from === null || self.to === null
        ? sql.literal("FALSE")
        : sql`${column} BETWEEN ${self.from} AND ${self.to}`
    case "In":
      return among(relation, column, self.values, self.isNegated)
    case "Like":
      return sql`${column} ${sql.literal(`${self.isNegated ? "NOT " : ""}${self.keyword}`)} ${self.pattern}`
    case "Null":
      return nullTest(relation, column, self.isNegated)
  }
}

const nullTest = ({ sql }: Relation.Relation, column: Fragment, isNegated: boolean): Fragment =>
  sql`${column} ${sql.literal(isNegated ? "IS NOT NULL" : "IS NULL")}`

/** One array rather than a list: one text, and so one plan, whatever its length. Arrays of arrays are no such list. */
const among = (
  relation: Relation.Relation,
  column: Fragment,
  values: ReadonlyArray<unknown>,
  isNegated: boolean
): Fragment => {
  const { sql } = relation
  const present = values.filter((value) => value !== null)
  const isList = present.some((value) => Array.isArray(value))
  const found =
    present.length === 0
      ? undefined
      : isList
        ? sql`${column} ${sql.literal(isNegated ? "NOT IN" : "IN")} ${sql.in(present)}`
        : sql`${column} ${sql.literal(isNegated ? "<> ALL" : "= ANY")}(${present})`
  const none = present.length === values.length ? undefined : nullTest(relation, column, isNegated)
  if (found === undefined) return none ?? sql.literal(isNegated ? "TRUE" : "FALSE")
  if (none === undefined) return found
  return sql`(${found}${sql.literal(isNegated ? " AND " : " OR ")}${none})`
}
