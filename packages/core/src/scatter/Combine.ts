/**
 * One PostgreSQL finishes over the shards' rows: as arrays, or staged in temporary tables.
 *
 * Enters: the rows of all shards. Leaves: its answer, in the form that is asked for. Holds: more rows or bytes than
 * the limits are refused before they are sent, and more comparisons than they stand for before these are made.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Finish, Fragment, TextRow } from "../plan/Merge.js"
import * as ShardCall from "../ShardCall.js"
import type { TextBound } from "../ShardConnection.js"
import { GatherLimitExceeded, MergeLimitExceeded, type ShardError } from "../ShardError.js"
import * as Staging from "../Staging.js"
import { ask, type Bound, exceeded, type Given, type Options, paramsOf, type Request } from "./Parts.js"

/** @since 0.1.0 @category functions */
export const combined = (
  options: Options,
  request: Request,
  finish: Extract<Finish, { readonly _tag: "Combine" }>,
  page: Bound,
  given: ReadonlyArray<Given>,
  form: ShardCall.Form
): Effect.Effect<any, ShardError> => {
  const rows = given.flatMap(({ result }) => result.rows)
  const { limits } = options
  const problem = tooMuch(finish, limits, given)
  if (problem !== undefined) return Effect.fail(problem)
  const bind = (fragment: Fragment, of: ReadonlyArray<TextRow> = rows): Staging.Bound => ({
    sql: fragment.sql,
    params: paramsOf(fragment, { request, amounts: page.amounts, now: page.now, place: 0, rows: of })
  })
  const { crossed, gathered, staged, statement } = finish
  const isCostly = crossed && combinationsIn(rows, 2) > limits.rowsMax * pairsPerRow
  const costly = new GatherLimitExceeded({ tables: gathered, max: limits.rowsMax, what: "cost" })
  return ask(options, options.coordinator ?? request.coordinator, (driver) => {
    const inline = Effect.suspend(() => {
      const { params, sql } = bind(statement)
      return isCostly ? Effect.fail(costly) : ShardCall.runIn(driver, form, sql, params)
    })
    if (staged === undefined || (!isCostly && !isStaged(rows, staged.tables.length, limits.stagedMin))) return inline
    const over = bind(staged.statement)
    const scans = Staging.byScan(rows, staged.tables.length)
    const answer = Staging.run(driver, {
      tables: staged.tables.map(({ rows: fragment, ...table }, scan) => ({
        ...table,
        rows: scans[scan] ?? [],
        bind: (some) => bind(fragment, some)
      })),
      prepare: staged.prepare,
      use: (session) =>
        Effect.zipRight(
          isCostly ? Staging.checkCost(session, over, costly) : Effect.void,
          ShardCall.runIn(session, form, over.sql, over.params)
        )
    })
    return Staging.orInline(answer, inline)
  })
}

const tooMuch = (
  { gathered }: Extract<Finish, { readonly _tag: "Combine" }>,
  limits: TextBound,
  given: ReadonlyArray<Given>
): GatherLimitExceeded | MergeLimitExceeded | undefined => {
  const found = exceeded(
    limits,
    given.map(({ result }) => result)
  )
  if (found === undefined) return undefined
  const { max, what } = found
  return gathered.length > 0
    ? new GatherLimitExceeded({ tables: gathered, max, what })
    : new MergeLimitExceeded({ max, what: `${what} to combine` })
}

/**
 * Many rows, or rows of three tables and more. Without statistics PostgreSQL expects next to nothing of the second join, and
 * then compares what comes of it with every row of the third table.
 */
const isStaged = (rows: ReadonlyArray<TextRow>, tables: number, stagedMin: number): boolean =>
  rows.length >= stagedMin || (tables > 2 && combinationsIn(rows, 3) >= stagedMin * combinationsStaged)

/** Ten millions at the default, some seconds of one PostgreSQL; making tables takes some hundredths of one. */
const combinationsStaged = 1_000

/**
 * Rows to compare pair by pair, a row that may be held: a few seconds of one PostgreSQL at the default. Beyond it
 * PostgreSQL is asked what the statement costs, with statistics and indexes, and a unit a row that may be held is allowed:
 * a lookup by index is about 8 of them, a pair compared about 0.01.
 */
const pairsPerRow = 25

/** Of the rows of the largest scans, one of each. */
const combinationsIn = (rows: ReadonlyArray<TextRow>, scans: number): number => {
  const counts = new Map<string, number>()
  for (const [scan] of rows) counts.set(scan ?? "", (counts.get(scan ?? "") ?? 0) + 1)
  const largest = [...counts.values()].sort((one, other) => other - one).slice(0, scans)
  return largest.length < scans ? 0 : largest.reduce((product, count) => product * count, 1)
}
