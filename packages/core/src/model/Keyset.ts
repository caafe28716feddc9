/**
 * Pages by the last row seen: the condition that a row comes behind a cursor, and the cursor as a text.
 *
 * Enters: an order that no two rows tie in, the values of its fields in the last row. Leaves: a condition for exactly the
 * rows behind it, NULLs and mixed directions included. Holds: values are PostgreSQL's own text of them, so nothing is
 * lost on the way through a driver's types (a timestamp's microseconds); a field whose schema has no null is taken for a
 * column that is NOT NULL, and a fragment may be NULL.
 *
 * @since 0.1.0
 */
import type { Fragment } from "@effect/sql/Statement"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Compile from "./Compile.js"
import * as Relation from "./Relation.js"

/** @since 0.1.0 @category models */
export type Position = ReadonlyArray<string | null>

/** @since 0.1.0 @category functions */
export const behind = (
  relation: Relation.Relation,
  terms: ReadonlyArray<Compile.OrderTerm>,
  position: Position
): Fragment => {
  const places = terms.map((term, index): Place => {
    const column = Relation.columnBy(relation, term.by)
    const isNullable = typeof term.by !== "string" || Relation.field(relation, term.by).isNullable
    return { ...term, column, isNullable, value: position[index] ?? null }
  })
  return isOneComparison(places) ? rowBehind(relation, places) : eachBehind(relation, places)
}

interface Place extends Compile.OrderTerm {
  readonly column: Fragment
  readonly isNullable: boolean
  readonly value: string | null
}

const isOneComparison = (places: ReadonlyArray<Place>): boolean =>
  places.every(
    ({ isDescending, isNullable, value }) => !isNullable && value !== null && isDescending === places[0]?.isDescending
  )

/** An index over the columns finds its place with it. */
const rowBehind = ({ sql }: Relation.Relation, places: ReadonlyArray<Place>): Fragment => {
  const sign = sql.literal(places[0]?.isDescending === true ? "<" : ">")
  return sql`(${sql.csv(places.map(({ column }) => column))}) ${sign} (${sql.csv(places.map(({ value }) => sql`${value}`))})`
}

/** Equal in all places before one, and behind in that one. The first place bounds all of them, for an index. */
const eachBehind = ({ sql }: Relation.Relation, places: ReadonlyArray<Place>): Fragment => {
  const paths = places.flatMap((place, index) => {
    const later = later_(sql, place, false)
    return later === undefined ? [] : [sql.and([...places.slice(0, index).map((before) => same(sql, before)), later])]
  })
  const [first] = places
  const bound = first === undefined ? undefined : later_(sql, first, true)
  const any = paths.length === 0 ? sql.literal("FALSE") : sql.or(paths)
  return bound === undefined ? any : sql.and([bound, any])
}

type Sql = Relation.Relation["sql"]

const same = (sql: Sql, { column, value }: Place): Fragment =>
  value === null ? sql`${column} IS NULL` : sql`${column} = ${value}`

/** Behind the value, or also equal to it. Undefined: nothing is, or (`orSame`) everything. */
const later_ = (
  sql: Sql,
  { column, isDescending, isNullable, nullsFirst, value }: Place,
  orSame: boolean
): Fragment | undefined => {
  if (value === null) {
    if (nullsFirst) return orSame ? undefined : sql`${column} IS NOT NULL`
    return orSame ? sql`${column} IS NULL` : undefined
  }
  const sign = sql.literal(`${isDescending ? "<" : ">"}${orSame ? "=" : ""}`)
  const later = sql`${column} ${sign} ${value}`
  return isNullable && !nullsFirst ? sql`(${later} OR ${column} IS NULL)` : later
}

/** @since 0.1.0 @category functions */
export const encode = (
  relation: Relation.Relation,
  terms: ReadonlyArray<Compile.OrderTerm>,
  position: Position
): string => Encoding.encodeBase64Url(JSON.stringify([signature(relation, terms), ...position]))

/**
 * None: it is not what `encode` made for this table and order.
 *
 * @since 0.1.0
 * @category functions
 */
export const decode = (
  relation: Relation.Relation,
  terms: ReadonlyArray<Compile.OrderTerm>,
  cursor: string
): Option.Option<Position> => {
  const text = Either.getOrElse(Encoding.decodeBase64UrlString(cursor), () => "")
  return Option.flatMap(parse(text), ([signed, ...position]) =>
    signed === signature(relation, terms) && position.length === terms.length ? Option.some(position) : Option.none()
  )
}

const parse = Schema.decodeOption(Schema.parseJson(Schema.Tuple([Schema.String], Schema.NullOr(Schema.String))))

const signature = (relation: Relation.Relation, terms: ReadonlyArray<Compile.OrderTerm>): string =>
  [
    relation.tableName,
    ...terms.map(
      ({ by, isDescending, nullsFirst }) =>
        `${isDescending ? "-" : "+"}${nullsFirst ? "n" : ""}${typeof by === "string" ? by : textOf(relation, by)}`
    )
  ].join(" ")

/** Its text, and the values in it, which say as much of the order. */
const textOf = ({ sql }: Relation.Relation, fragment: Fragment): string => {
  const [text, params] = sql`${fragment}`.compile()
  return `(${text})${params.map((param) => `,${String(param)}`).join("")}`
}
