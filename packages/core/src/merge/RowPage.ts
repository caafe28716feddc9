/**
 * Rows as they traveled: cut into values, of which nothing has been made yet.
 *
 * Enters: what a driver received. Leaves: each value as its text, when somebody asks for it. Holds: a page does not
 * change. A merge looks at the sort keys alone, and most of the rest goes from the wire into the program's rows at once.
 *
 * @since 0.1.0
 */
import type { TextRow } from "../plan/Merge.js"

/** @since 0.1.0 @category models */
export interface RowPage {
  /** How many rows. */
  readonly count: number
  /** A value as text; null for NULL. */
  readonly text: (row: number, column: number) => string | null
  readonly row: (row: number) => TextRow
  /** Undefined where values can only be had one by one. */
  readonly places: Places | undefined
}

/**
 * Where a page's values are, for what reads them without cutting them out: texts in UTF-8.
 *
 * @since 0.1.0
 * @category models
 */
export interface Places {
  readonly within: Uint8Array
  /** Two for each value, row by row: where it begins, and where it has ended. It begins at -1 for NULL. */
  readonly bounds: Int32Array
  readonly width: number
  /** All values of a column as numbers. Undefined where one is NULL, or none that `at` reads. Made once. */
  readonly numbers: (column: number, at: NumberAt) => Float64Array | undefined
}

/**
 * Reads a number where it stands, from one place to another; NaN where there is none that it can read.
 *
 * @since 0.1.0
 * @category models
 */
export type NumberAt = (within: Uint8Array, from: number, to: number) => number

/**
 * A page of rows that are there as texts.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofRows = (rows: ReadonlyArray<TextRow>): RowPage => ({
  count: rows.length,
  text: (row, column) => rows[row]?.[column] ?? null,
  row: (row) => rows[row] ?? [],
  places: undefined
})
