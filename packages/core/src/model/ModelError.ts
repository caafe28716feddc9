/**
 * What a model says beyond the errors of statements: that it does not fit its table, that a row is not there, that a
 * cursor is not one of this query.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * The model and the topology disagree about the table: told when the model is made, before any statement.
 *
 * @since 0.1.0
 * @category errors
 */
export class ModelInvalid extends Data.TaggedError("ModelInvalid")<{
  readonly table: string
  readonly reason: string
}> {
  override get message() {
    return `the model of table ${this.table} does not fit: ${this.reason}`
  }
}

/**
 * One row was expected and there is none.
 *
 * @since 0.1.0
 * @category errors
 */
export class RowNotFound extends Data.TaggedError("RowNotFound")<{
  readonly table: string
  /** What was looked for, as the program gave it. */
  readonly id: unknown
}> {
  override get message() {
    return `table ${this.table} has no such row`
  }
}

/**
 * The text is no cursor, or it is one of another table or another order.
 *
 * @since 0.1.0
 * @category errors
 */
export class CursorInvalid extends Data.TaggedError("CursorInvalid")<{
  readonly table: string
  readonly cursor: string
}> {
  override get message() {
    return `the cursor is none of this query on table ${this.table}`
  }
}
