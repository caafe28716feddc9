/**
 * Values of generated columns, drawn for rows.
 *
 * Enters: the columns, how many rows or the rows themselves. Leaves: as many values, in the order of the rows. Holds:
 * nothing is drawn for no rows.
 */
import * as Effect from "effect/Effect"
import type { IdsService } from "../Ids.js"
import type { Drawn } from "../plan/Generated.js"
import { OperationRefused, type ShardError } from "../ShardError.js"

export type Column = Pick<Drawn, "generator" | "name">

export const noIds = () =>
  new OperationRefused({ operation: "a generated column", reason: "the router was made without Ids" })

/** So many values of a column. */
export const draw = (
  ids: IdsService | undefined,
  { generator, name }: Column,
  count: number
): Effect.Effect<ReadonlyArray<string>, ShardError> =>
  ids === undefined ? Effect.fail(noIds()) : ids.draw(generator, name, count)

/** Rows with values of these columns behind their own. */
export const extended = <A>(
  ids: IdsService | undefined,
  draws: ReadonlyArray<Column>,
  rows: ReadonlyArray<A>,
  extend: (row: A, values: ReadonlyArray<string>) => A
): Effect.Effect<ReadonlyArray<A>, ShardError> =>
  draws.length === 0 || rows.length === 0
    ? Effect.succeed(rows)
    : Effect.map(
        Effect.forEach(draws, (each) => draw(ids, each, rows.length)),
        (columns) =>
          rows.map((row, index) =>
            extend(
              row,
              columns.map((values) => {
                const value = values[index]
                if (value === undefined) throw new Error("fewer values were drawn than were asked for")
                return value
              })
            )
          )
      )
