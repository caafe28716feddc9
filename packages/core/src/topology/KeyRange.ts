/**
 * Intervals of one key column's values, in PostgreSQL's order of its type (`KeyOrder`).
 *
 * Enters: comparisons with canonical texts. Leaves: ranges without those that no value can be in. Holds: no value that
 * satisfies a comparison is outside of its range. Ranges of integers end at integers, whatever number they were
 * compared with.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as KeyOrder from "./KeyOrder.js"
import * as KeyType from "./KeyType.js"
import * as KeyValue from "./KeyValue.js"

/** @since 0.1.0 @category models */
export type Comparison = "<" | "<=" | ">" | ">="

/** @since 0.1.0 @category models */
export interface Edge {
  /** Canonical text. */
  readonly part: string
  /** The value itself belongs to the range. */
  readonly isInside: boolean
}

/**
 * A missing edge is open to that side. NULL is in no range.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyRange {
  readonly from: Edge | undefined
  readonly to: Edge | undefined
}

/**
 * The one value.
 *
 * @since 0.1.0
 * @category constructors
 */
export const point = (part: string): KeyRange => {
  const edge: Edge = { part, isInside: true }
  return { from: edge, to: edge }
}

/**
 * The values that compare like this with another; undefined: none. An integer may be compared with any numeric.
 *
 * @since 0.1.0
 * @category constructors
 */
export const compared = (type: KeyType.KeyType, operator: Comparison, part: string): KeyRange | undefined => {
  if (KeyType.family(type) === "integer") return comparedInteger(operator, part)
  switch (operator) {
    case "<":
    case "<=":
      return { from: undefined, to: { part, isInside: operator === "<=" } }
    case ">":
    case ">=":
      return { from: { part, isInside: operator === ">=" }, to: undefined }
  }
}

/** NaN is above all numbers, as Infinity is above all integers. */
const comparedInteger = (operator: Comparison, part: string): KeyRange | undefined => {
  const isBelow = operator === "<" || operator === "<="
  if (part === "NaN" || part === "Infinity") return isBelow ? everything : undefined
  if (part === "-Infinity") return isBelow ? undefined : everything
  const { ceiling, floor } = wholeAround(part)
  switch (operator) {
    case "<":
      return { from: undefined, to: inside(ceiling - 1n) }
    case "<=":
      return { from: undefined, to: inside(floor) }
    case ">":
      return { from: inside(floor + 1n), to: undefined }
    case ">=":
      return { from: inside(ceiling), to: undefined }
  }
}

const everything: KeyRange = { from: undefined, to: undefined }

const inside = (value: bigint): Edge => ({ part: String(value), isInside: true })

const wholeAround = (decimal: string): { readonly floor: bigint; readonly ceiling: bigint } => {
  const [integer = "0", fraction] = decimal.split(".")
  const truncated = BigInt(integer)
  if (fraction === undefined) return { floor: truncated, ceiling: truncated }
  return decimal.startsWith("-")
    ? { floor: truncated - 1n, ceiling: truncated }
    : { floor: truncated, ceiling: truncated + 1n }
}

/** @since 0.1.0 @category guards */
export const contains = (type: KeyType.KeyType, range: KeyRange, part: string): boolean => {
  const compare = KeyOrder.compare(type)
  return !isBelow(compare, part, range.from) && !isAbove(compare, part, range.to)
}

type Compare = ReturnType<typeof KeyOrder.compare>

const isBelow = (compare: Compare, part: string, from: Edge | undefined): boolean => {
  if (from === undefined) return false
  const order = compare(part, from.part)
  return order < 0 || (order === 0 && !from.isInside)
}

const isAbove = (compare: Compare, part: string, to: Edge | undefined): boolean => {
  if (to === undefined) return false
  const order = compare(part, to.part)
  return order > 0 || (order === 0 && !to.isInside)
}

/**
 * All values of the one lie below all of the other.
 *
 * @since 0.1.0
 * @category guards
 */
export const isBefore = (type: KeyType.KeyType, left: KeyRange, right: KeyRange): boolean =>
  endsBefore(KeyOrder.compare(type), left.to, right.from)

/** All values up to the one edge lie below all from the other on. */
const endsBefore = (compare: Compare, to: Edge | undefined, from: Edge | undefined): boolean => {
  if (to === undefined || from === undefined) return false
  const order = compare(to.part, from.part)
  return order < 0 || (order === 0 && !(to.isInside && from.isInside))
}

/**
 * The same values as ranges that are ascending and disjoint.
 *
 * @since 0.1.0
 * @category combinators
 */
export const union = (type: KeyType.KeyType, ranges: ReadonlyArray<KeyRange>): ReadonlyArray<KeyRange> => {
  if (ranges.length < 2) return ranges
  const compare = KeyOrder.compare(type)
  const merged: Array<KeyRange> = []
  for (const range of [...ranges].sort((left, right) => compareFrom(compare, left.from, right.from))) {
    const last = merged[merged.length - 1]
    if (last === undefined || endsBefore(compare, last.to, range.from)) merged.push(range)
    else if (compareTo(compare, range.to, last.to) > 0) merged[merged.length - 1] = { from: last.from, to: range.to }
  }
  return merged
}

const compareFrom = (compare: Compare, left: Edge | undefined, right: Edge | undefined): number => {
  if (left === undefined || right === undefined) return Number(left !== undefined) - Number(right !== undefined)
  return compare(left.part, right.part) || Number(right.isInside) - Number(left.isInside)
}

const compareTo = (compare: Compare, left: Edge | undefined, right: Edge | undefined): number => {
  if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined)
  return compare(left.part, right.part) || Number(left.isInside) - Number(right.isInside)
}

/**
 * The values in both lists of ascending, disjoint ranges, as such a list.
 *
 * @since 0.1.0
 * @category combinators
 */
export const intersection = (
  type: KeyType.KeyType,
  left: ReadonlyArray<KeyRange>,
  right: ReadonlyArray<KeyRange>
): ReadonlyArray<KeyRange> => {
  const compare = KeyOrder.compare(type)
  const common: Array<KeyRange> = []
  for (let i = 0, j = 0; i < left.length && j < right.length;) {
    const [one, other] = [left[i]!, right[j]!]
    const from = compareFrom(compare, one.from, other.from) > 0 ? one.from : other.from
    const isFirst = compareTo(compare, one.to, other.to) < 0
    const to = isFirst ? one.to : other.to
    if (!endsBefore(compare, to, from)) common.push({ from, to })
    if (isFirst) i++
    else j++
  }
  return common
}

/**
 * So many integers of ranges are looked at one by one: more are on most shards anyway.
 *
 * @since 0.1.0
 * @category constants
 */
export const keysMax = 100

/**
 * The values one by one: single ones, and those of ranges that hold at most `keysMax` integers together.
 *
 * @since 0.1.0
 * @category getters
 */
export const valuesOf = (type: KeyType.KeyType, ranges: ReadonlyArray<KeyRange>): ReadonlyArray<string> | undefined => {
  const values: Array<string> = []
  let left = BigInt(keysMax)
  for (const { from, to } of ranges) {
    if (from === undefined || to === undefined) return undefined
    if (from.part === to.part) {
      values.push(from.part)
      continue
    }
    if (KeyType.family(type) !== "integer") return undefined
    left -= BigInt(to.part) - BigInt(from.part) + 1n
    if (left < 0n) return undefined
    for (let value = BigInt(from.part); value <= BigInt(to.part); value++) values.push(String(value))
  }
  // Numbers beyond the key's type are no keys.
  return values.filter((value) => Either.isRight(KeyValue.canonical(type, value)))
}
