/**
 * The values that one key column may have: any, or points and ranges.
 *
 * Enters: what a constraint says of the column, its parameters known. Leaves: sets that can be united, intersected and,
 * where they are small, listed. Holds: unions and intersections are exact.
 *
 * @since 0.1.0
 */
import * as KeyRange from "../topology/KeyRange.js"
import type { KeyType } from "../topology/KeyType.js"
import type { KeyPart } from "../topology/KeyValue.js"

/** @since 0.1.0 @category models */
export type ColumnValues =
  | { readonly _tag: "Any" }
  | {
      readonly _tag: "Some"
      readonly points: ReadonlySet<string>
      readonly hasNull: boolean
      /** Ascending and disjoint; points may lie in them. */
      readonly ranges: ReadonlyArray<KeyRange.KeyRange>
    }

type Some = Extract<ColumnValues, { readonly _tag: "Some" }>

/** @since 0.1.0 @category constructors */
export const any: ColumnValues = { _tag: "Any" }

/** @since 0.1.0 @category constructors */
export const none: ColumnValues = { _tag: "Some", points: new Set(), hasNull: false, ranges: [] }

/** @since 0.1.0 @category constructors */
export const ofParts = (parts: ReadonlyArray<KeyPart>): ColumnValues => ({
  _tag: "Some",
  points: new Set(parts.filter((part) => part !== null)),
  hasNull: parts.includes(null),
  ranges: []
})

/** @since 0.1.0 @category constructors */
export const ofRange = (range: KeyRange.KeyRange): ColumnValues => ({
  _tag: "Some",
  points: new Set(),
  hasNull: false,
  ranges: [range]
})

/** @since 0.1.0 @category guards */
export const isEmpty = (values: ColumnValues): boolean =>
  values._tag === "Some" && values.points.size === 0 && !values.hasNull && values.ranges.length === 0

/** @since 0.1.0 @category guards */
export const contains = (type: KeyType, values: ColumnValues, part: KeyPart): boolean => {
  if (values._tag === "Any") return true
  if (part === null) return values.hasNull
  return values.points.has(part) || values.ranges.some((range) => KeyRange.contains(type, range, part))
}

/** @since 0.1.0 @category combinators */
export const union = (type: KeyType, all: ReadonlyArray<ColumnValues>): ColumnValues => {
  const some = all.filter((values) => values._tag === "Some")
  if (some.length < all.length) return any
  const [first] = some
  if (first !== undefined && some.length === 1) return first
  return {
    _tag: "Some",
    points: new Set(some.flatMap((values) => [...values.points])),
    hasNull: some.some((values) => values.hasNull),
    ranges: KeyRange.union(
      type,
      some.flatMap((values) => values.ranges)
    )
  }
}

/** @since 0.1.0 @category combinators */
export const intersection = (type: KeyType, left: ColumnValues, right: ColumnValues): ColumnValues => {
  if (left._tag === "Any") return right
  if (right._tag === "Any") return left
  const ranges = KeyRange.intersection(type, left.ranges, right.ranges)
  return {
    _tag: "Some",
    points: new Set([
      ...[...left.points].filter((part) => contains(type, right, part)),
      ...[...right.points].filter((part) => contains(type, left, part)),
      ...ranges.flatMap((range) => singleValue(range) ?? [])
    ]),
    hasNull: left.hasNull && right.hasNull,
    ranges: ranges.filter((range) => singleValue(range) === undefined)
  }
}

/** `k >= 5 and k <= 5` names a key. */
const singleValue = ({ from, to }: KeyRange.KeyRange): string | undefined =>
  from !== undefined && from.part === to?.part ? from.part : undefined

/**
 * Points and ranges as ranges, ascending and disjoint.
 *
 * @since 0.1.0
 * @category getters
 */
export const rangesOf = (type: KeyType, values: Some): ReadonlyArray<KeyRange.KeyRange> =>
  KeyRange.union(type, [...[...values.points].map(KeyRange.point), ...values.ranges])

/**
 * The values one by one, if they are points, and ranges of few integers.
 *
 * @since 0.1.0
 * @category getters
 */
export const partsOf = (type: KeyType, values: ColumnValues): ReadonlyArray<KeyPart> | undefined => {
  if (values._tag === "Any") return undefined
  const listed = KeyRange.valuesOf(type, values.ranges)
  if (listed === undefined) return undefined
  return [...new Set<KeyPart>([...values.points, ...listed, ...(values.hasNull ? [null] : [])])]
}
