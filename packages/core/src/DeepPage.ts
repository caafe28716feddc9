/**
 * A page far down: no shard ships the rows that are skipped.
 *
 * Enters: a session a shard, the plan's probe and page statements, the amounts. Leaves: each shard's rows from where it
 * can matter, and how many of the merged ones are still to be skipped. Two round trips a shard: sort keys at even
 * distances, then the rows behind those that are certain to be skipped (`merge/Skips`). Holds: both steps of a shard see
 * one snapshot; sessions are taken in the order of the shards, so that two such pages cannot wait for each other.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RowOrder } from "./merge/RowOrder.js"
import * as Skips from "./merge/Skips.js"
import type { TextRow } from "./plan/Merge.js"
import type { Amounts } from "./plan/Page.js"
import type { ShardSession, TextResult } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"

/**
 * Below this many skipped rows a second round trip costs more than shipping them.
 *
 * @since 0.1.0
 * @category constants
 */
export const offsetMin = 2_000

/** @since 0.1.0 @category models */
export interface Request {
  readonly sessions: ReadonlyArray<ShardSession>
  /** Of the probe's rows. */
  readonly order: RowOrder
  readonly amounts: Amounts
  readonly probe: (place: number, amounts: Amounts, step: number) => Statement
  readonly page: (place: number, amounts: Amounts, skip: number) => Statement
  /** A step on the shard of this place, in the time that it may take. */
  readonly limited: <A>(place: number, step: Effect.Effect<A, ShardError>) => Effect.Effect<A, ShardError>
  /** Shards that run a step at a time. */
  readonly concurrency: number
}

/** @since 0.1.0 @category models */
export interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/** @since 0.1.0 @category models */
export interface Answer {
  readonly results: ReadonlyArray<TextResult>
  readonly amounts: Amounts
}

/** @since 0.1.0 @category functions */
export const run = (request: Request): Effect.Effect<Answer, ShardError> => {
  const { amounts, concurrency, limited, order, page, probe, sessions } = request
  const { limit, offset } = amounts
  const step = Skips.stepFor(offset, sessions.length)
  const onAll = <A>(use: (session: ShardSession, place: number) => Effect.Effect<A, ShardError>) =>
    Effect.forEach(sessions, (session, place) => limited(place, use(session, place)), { concurrency })
  return Effect.gen(function* () {
    yield* onAll((session) => session.control("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    const samples = yield* onAll((session, place) => text(session, probe(place, { offset: 0, limit: offset }, step)))
    const skips = Skips.skipsOf(order, samples.map(rowsOf), step, offset)
    const rest: Amounts = { offset: offset - skips.reduce((sum, skip) => sum + skip, 0), limit }
    const results = yield* onAll((session, place) => text(session, page(place, rest, skips[place] ?? 0)))
    yield* onAll((session) => session.rollback)
    return { results, amounts: rest }
  })
}

const text = (session: ShardSession, { params, sql }: Statement): Effect.Effect<TextResult, ShardError> =>
  session.executeText(sql, params, Infinity)

const rowsOf = ({ rows }: TextResult): ReadonlyArray<TextRow> => rows
