/**
 * A page far down that nothing is known of, or where what was known did not hold: no shard ships the rows that are skipped.
 *
 * Enters: a session a shard, the plan's probe and page statements, the amounts. Leaves: each shard's rows from where it
 * can matter, and how many of the merged ones are still to be skipped. Mostly two round trips a shard: sort keys at even
 * distances, then the rows behind those that are certain to be skipped (`merge/Skips`). Holds: all steps of a shard see
 * one snapshot; sessions are taken in the order of the shards, so that two such pages cannot wait for each other.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { upTo } from "./internal/sideBySide.js"
import type { RowOrder } from "./merge/RowOrder.js"
import * as Skips from "./merge/Skips.js"
import type { TextRow } from "./plan/Merge.js"
import type { Amounts } from "./plan/Page.js"
import { type ShardSession, type TextResult, unbounded } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"

/**
 * Below this many skipped rows a guess that misses costs more than what shipping them takes.
 *
 * @since 0.1.0
 * @category constants
 */
export const offsetMin = 500

/**
 * Below this many skipped rows two more round trips cost more than shipping them.
 *
 * @since 0.1.0
 * @category constants
 */
export const probedMin = 2_000

/** @since 0.1.0 @category models */
export interface Request {
  /** In a snapshot each. */
  readonly sessions: ReadonlyArray<ShardSession>
  /** Of the probe's rows. */
  readonly order: RowOrder
  readonly amounts: Amounts
  readonly probe: (place: number, amounts: Amounts, skip: number, step: number) => Statement
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
  /** Rows that each shard left out in front. */
  readonly skips: ReadonlyArray<number>
}

/** @since 0.1.0 @category functions */
export const run = (request: Request): Effect.Effect<Answer, ShardError> => {
  const { amounts, page } = request
  return Effect.gen(function* () {
    let skips: ReadonlyArray<number> = request.sessions.map(() => 0)
    let rest = amounts
    for (let round = 0; round < roundsMax && rest.offset >= probedMin; round++) {
      const { isWhole, more } = yield* probed(request, rest.offset, skips)
      const sum = more.reduce((all, skip) => all + skip, 0)
      skips = skips.map((skip, place) => skip + (more[place] ?? 0))
      rest = { ...rest, offset: rest.offset - sum }
      if (isWhole || sum === 0) break
    }
    const results = yield* onAll(request, (session, place) => text(session, page(place, rest, skips[place] ?? 0)))
    yield* onAll(request, (session) => session.rollback)
    return { results, amounts: rest, skips }
  })
}

/** One is enough where the shards hold about the same; each further one serves those that hold much more than others. */
const roundsMax = 8

interface Probed {
  readonly more: ReadonlyArray<number>
  /** No shard has more rows than were looked at. */
  readonly isWhole: boolean
}

/** How many more rows each shard can leave out, `offset` of all being still to be skipped. */
const probed = (request: Request, offset: number, skips: ReadonlyArray<number>): Effect.Effect<Probed, ShardError> => {
  const { order, probe, sessions } = request
  const step = Skips.stepFor(offset, sessions.length)
  // A shard's fair share and some: rows beyond it are looked at only if the shard turns out to hold more.
  const depth = Math.min(offset, Math.ceil((offset / sessions.length) * 1.25) + 2 * step)
  return Effect.map(
    onAll(request, (session, place) =>
      text(session, probe(place, { offset: 0, limit: depth }, skips[place] ?? 0, step))
    ),
    (samples) => ({
      more: Skips.skipsOf(order, samples.map(rowsOf), step, depth, offset),
      isWhole: samples.every(({ rows }) => rows.length < Math.floor(depth / step))
    })
  )
}

const onAll = <A>(
  { concurrency, limited, sessions }: Request,
  use: (session: ShardSession, place: number) => Effect.Effect<A, ShardError>
): Effect.Effect<ReadonlyArray<A>, ShardError> =>
  upTo(concurrency, sessions, (session, place) => limited(place, use(session, place)))

const text = (session: ShardSession, { params, sql }: Statement): Effect.Effect<TextResult, ShardError> =>
  session.executeText(sql, params, unbounded)

const rowsOf = ({ rows }: TextResult): ReadonlyArray<TextRow> => rows
