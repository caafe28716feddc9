/**
 * The order of whole rows: ORDER BY, with DESC and NULLS FIRST or LAST.
 *
 * Enters the sort keys and the kinds of the rows' columns. Leaves an order in two steps, so that a row's keys are decoded
 * once however often they are compared. Holds: rows compare as PostgreSQL compares them; what the keys do not tell apart
 * is equal.
 *
 * @since 0.1.0
 */
import type { Ordering } from "effect/Ordering"
import type { SortKey, TextRow } from "../plan/Merge.js"
import type { ValueKind } from "../plan/ValueKind.js"
import * as Compare from "./Compare.js"

/**
 * What is compared of a row: the value of the one sort key, or one value a key. For the order that made it, and no other.
 *
 * @since 0.1.0
 * @category models
 */
export type RowKey = KeyValue | ReadonlyArray<KeyValue>

/** @since 0.1.0 @category models */
export type KeyValue = Compare.SortValue | null

/** @since 0.1.0 @category models */
export interface RowOrder {
  readonly decode: (row: TextRow) => RowKey
  readonly compare: (left: RowKey, right: RowKey) => Ordering
}

/**
 * Without keys all rows are equal.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (keys: ReadonlyArray<SortKey>, kinds: ReadonlyArray<ValueKind>): RowOrder => {
  const columns = keys.map((key) => columnOrder(key, kinds))
  const [first] = columns
  if (first === undefined) return { decode: () => null, compare: () => 0 }
  if (columns.length === 1)
    return { decode: first.decode, compare: (left, right) => first.compare(one(left), one(right)) }
  return {
    decode: (row) => columns.map((column) => column.decode(row)),
    compare: (left, right) => compareMany(columns, many(left), many(right))
  }
}

/**
 * Rows in order; those that are equal stay as they were.
 *
 * @since 0.1.0
 * @category functions
 */
export const sort = (order: RowOrder, rows: ReadonlyArray<TextRow>): ReadonlyArray<TextRow> =>
  rows
    .map((row) => ({ row, key: order.decode(row) }))
    .sort((left, right) => order.compare(left.key, right.key))
    .map(({ row }) => row)

interface ColumnOrder {
  readonly decode: (row: TextRow) => KeyValue
  readonly compare: (left: KeyValue, right: KeyValue) => Ordering
}

const columnOrder = (key: SortKey, kinds: ReadonlyArray<ValueKind>): ColumnOrder => {
  const kind = kinds[key.column]
  if (kind === undefined) throw new Error(`a plan sorts by column ${key.column} of ${kinds.length}`)
  const decodeText = Compare.decoder(kind)
  const { column } = key
  const { descending } = key
  const nullLeft = key.nullsFirst ? -1 : 1
  const nullRight = key.nullsFirst ? 1 : -1
  return {
    decode: (row) => {
      const text = row[column]
      return text === null || text === undefined ? null : decodeText(text)
    },
    compare: (left, right) => {
      if (left === null) return right === null ? 0 : nullLeft
      if (right === null) return nullRight
      return descending ? Compare.compareDecoded(right, left) : Compare.compareDecoded(left, right)
    }
  }
}

const compareMany = (
  columns: ReadonlyArray<ColumnOrder>,
  left: ReadonlyArray<KeyValue>,
  right: ReadonlyArray<KeyValue>
): Ordering => {
  for (let index = 0; index < columns.length; index++) {
    const ordering = columns[index]!.compare(left[index]!, right[index]!)
    if (ordering !== 0) return ordering
  }
  return 0
}

/** The types cannot say which order made a key; `RowKey` does. */
const one = (key: RowKey): KeyValue => key as KeyValue
const many = (key: RowKey): ReadonlyArray<KeyValue> => key as ReadonlyArray<KeyValue>
