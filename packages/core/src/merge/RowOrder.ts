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
import type { NumberAt, RowPage } from "./RowPage.js"
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
  /** The keys of all rows of a page. */
  readonly keysOf: (page: RowPage) => PageKeys
  /** Two rows, each by its number in the page of its keys. */
  readonly comparePaged: (left: PageKeys, leftRow: number, right: PageKeys, rightRow: number) => Ordering
}

/**
 * One column for each sort key. For the order that made it, and no other.
 *
 * @since 0.1.0
 * @category models
 */
export type PageKeys = ReadonlyArray<KeyColumn>

/**
 * Of a page: numbers where every value is one, and none is NULL or NaN. They compare without being looked at.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyColumn = Float64Array | ReadonlyArray<KeyValue>

/**
 * Without keys all rows are equal.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (keys: ReadonlyArray<SortKey>, kinds: ReadonlyArray<ValueKind>): RowOrder => {
  const columns = keys.map((key) => columnOrder(key, kinds))
  const [first] = columns
  const paged = pagedOrder(columns)
  if (first === undefined) return { ...paged, decode: () => null, compare: () => 0 }
  if (columns.length === 1)
    return { ...paged, decode: first.decode, compare: (left, right) => first.compare(one(left), one(right)) }
  return {
    ...paged,
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
  readonly column: number
  readonly descending: boolean
  readonly decodeText: (text: string) => KeyValue
  readonly decodeAt: NumberAt | undefined
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
    column,
    descending,
    decodeText,
    decodeAt: Compare.decoderAt(kind),
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

const pagedOrder = (columns: ReadonlyArray<ColumnOrder>): Pick<RowOrder, "keysOf" | "comparePaged"> => {
  const descending = columns.map((column) => column.descending)
  return {
    keysOf: (page) => columns.map((column) => keyColumn(column, page)),
    comparePaged: (left, leftRow, right, rightRow) => {
      for (let index = 0; index < columns.length; index++) {
        const leftKeys = left[index]!
        const rightKeys = right[index]!
        if (leftKeys instanceof Float64Array && rightKeys instanceof Float64Array) {
          const one = leftKeys[leftRow]!
          const other = rightKeys[rightRow]!
          if (one !== other) return one < other === descending[index] ? 1 : -1
        } else {
          const ordering = columns[index]!.compare(leftKeys[leftRow]!, rightKeys[rightRow]!)
          if (ordering !== 0) return ordering
        }
      }
      return 0
    }
  }
}

const keyColumn = (order: ColumnOrder, page: RowPage): KeyColumn => {
  const numbers = order.decodeAt && page.places?.numbers(order.column, order.decodeAt)
  return numbers ?? Array.from({ length: page.count }, (_, row) => keyAt(order, page, row))
}

const keyAt = ({ column, decodeText }: ColumnOrder, page: RowPage, row: number): KeyValue => {
  const text = page.text(row, column)
  return text === null ? null : decodeText(text)
}
