/**
 * The shards' parts of a merge: what each is asked, and what it gives.
 *
 * Enters: a request. Leaves: rows as texts, of each shard at once or page by page. Holds: each step on a shard is under the
 * policy, limited by itself and, outside of a transaction, repeated by itself; a transaction's own shard is read in it.
 *
 * @since 0.1.0
 */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { upTo } from "../internal/sideBySide.js"
import * as PartialRows from "../Partial.js"
import { type Fragment, type Merge, type ParamSource, statementOn, type TextRow } from "../plan/Merge.js"
import * as Page from "../plan/Page.js"
import type { Policy } from "../Policy.js"
import type { ReadView } from "../ReadView.js"
import type { RowPage } from "../merge/RowPage.js"
import * as ShardCall from "../ShardCall.js"
import {
  type ShardConnection,
  type ShardDriver,
  type ShardSession,
  type TextBound,
  type TextResult,
  unbounded
} from "../ShardConnection.js"
import type { ShardError } from "../ShardError.js"
import type { ShardId } from "../topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Options {
  readonly driver: (shard: ShardId) => Effect.Effect<ShardDriver, ShardError>
  /** Within a transaction: what shows its own writes, and its time. Other shards are read beside it. */
  readonly home?: Home | undefined
  /** Outside of a transaction: the one view that all of it is read in. */
  readonly view?: ReadView | undefined
  /** Where `Combine` is done, whatever the request says: no other takes its place. */
  readonly coordinator?: ShardId | undefined
  readonly policy: Policy
  /** A write's shards are asked once, in its transaction. */
  readonly access?: "write"
  /**
   * What one statement may hold in memory: rows to combine, and those in bytes; groups and distinct rows where they are
   * not merged in order.
   */
  readonly limits: Limits
}

/** @since 0.1.0 @category models */
export interface Home {
  /** The first participant. */
  readonly shard: ShardId
  /** Undefined for shards that do not take part. */
  readonly connection: (shard: ShardId) => ShardConnection | undefined
}

/** @since 0.1.0 @category models */
export interface Limits extends TextBound {
  /** Rows of several tables, from how many on they are staged (`Staging`) and not shipped as arrays. */
  readonly stagedMin: number
  /** Rows of one shard, beyond which a gather that can is reduced (`Reduced`). */
  readonly reducedMin: number
  /** Keys that a gather is reduced by. */
  readonly keysMax: number
}

/** @since 0.1.0 @category models */
export interface Request {
  readonly merge: Merge
  /** At least two. */
  readonly shards: ReadonlyArray<ShardId>
  /** One of them, where `Combine` is done unless that is chosen. */
  readonly coordinator: ShardId
  /** The program's own text, for the server's complaint about a page that is none. */
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/**
 * What a request's parameters come to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bound {
  readonly amounts: Page.Amounts
  /** The moment of the statement, where it is needed. */
  readonly now: string | null
  /** Of a statement for the shard of this place in the request. */
  readonly params: (statement: Fragment, place: number) => ReadonlyArray<unknown>
}

/** @since 0.1.0 @category functions */
export const bound = (
  options: Options,
  request: Request,
  now: Effect.Effect<string | null, ShardError>
): Effect.Effect<Bound, ShardError> => {
  const { merge, params, shards, sql } = request
  const amounts = Page.amounts(merge.finish.page, params)
  if (amounts === undefined) {
    // No number of rows: PostgreSQL says so in its own words.
    return Effect.zipRight(
      ask(options, first(shards), (driver) => driver.execute(sql, params)),
      Effect.dieMessage("a page that PostgreSQL takes and the router does not understand")
    )
  }
  return Effect.map(now, (known) => ({
    amounts,
    now: known,
    params: (statement, place) =>
      paramsOf(statement, { request, amounts, now: known, place, rows: [], valuesMax: valuesMax(options, merge) })
  }))
}

/** @since 0.1.0 @category functions */
export const moment = (options: Options, { merge, shards }: Request): Effect.Effect<string | null, ShardError> => {
  const { now } = merge
  return now === undefined ? Effect.succeed(null) : momentOn(options, options.home?.shard ?? first(shards), now)
}

const momentOn = (options: Options, shard: ShardId, now: string): Effect.Effect<string | null, ShardError> =>
  Effect.map(
    part(options, shard, (driver) => driver.executeText(now, [], unbounded)),
    ({ rows }) => rows[0]?.[0] ?? null
  )

/**
 * Of the first shard that answers.
 *
 * @since 0.1.0
 * @category functions
 */
export const anyMoment = (options: Options, { merge, shards }: Request): Effect.Effect<string | null, ShardError> => {
  const { now } = merge
  if (now === undefined) return Effect.succeed(null)
  const [one, ...others] = shards.map((shard) => momentOn(options, shard, now))
  if (one === undefined) throw new Error("a merge over no shards")
  return others.reduce(
    (before, next) => Effect.catchAll(before, (error) => (ShardCall.isUnavailable(error) ? next : Effect.fail(error))),
    one
  )
}

/** @since 0.1.0 @category models */
export interface Sources {
  readonly request: Request
  readonly amounts: Page.Amounts
  readonly now: string | null
  readonly place: number
  readonly rows: ReadonlyArray<TextRow>
  readonly skip?: number
  readonly step?: number
  readonly reducing?: Reducing
  /** Those of a shard that may be held, where they come packed. */
  readonly valuesMax?: number
}

/**
 * What is known of the sources of a reduction: their keys, and those that are asked now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reducing {
  readonly keys: ReadonlyArray<ReadonlyArray<string> | undefined>
  readonly asked: ReadonlySet<number>
  readonly rowsMax: number
  readonly keysMax: number
}

/** @since 0.1.0 @category functions */
export const paramsOf = (
  fragment: Fragment,
  { amounts, now, place, reducing, request, rows, skip, step, valuesMax = 0 }: Sources
): ReadonlyArray<unknown> =>
  fragment.params.map((source) => {
    switch (source._tag) {
      case "Given":
        return request.params[source.index - 1]
      case "Depth":
        return Page.depth(amounts)
      case "Skip":
        return skip ?? 0
      case "Step":
        return step ?? 1
      case "Now":
        return now
      case "First":
        return place === 0
      case "Column":
        return columnOf(rows, source)
      case "Keys":
        return reducing?.keys[source.source] ?? null
      case "Asked":
        return reducing?.asked.has(source.source) ?? false
      // One more than that is looked at, to know that there are more.
      case "KeyRows":
        return (reducing?.rowsMax ?? 0) + 1
      case "KeyDepth":
        return (reducing?.keysMax ?? 0) + 1
      case "Held":
        return valuesMax + 1
    }
  })

/**
 * How many packed values one statement may hold: as many as rows, and no more bytes of them, in hex as they travel, than
 * those of rows. A server makes one bytea of them, and the driver one string, which neither does without bound.
 *
 * @since 0.1.0
 * @category getters
 */
export const valuesMax = ({ limits: { bytesMax, rowsMax } }: Options, { finish }: Merge): number => {
  const width = finish._tag === "Groups" ? finish.packed?.width : undefined
  return width === undefined ? 0 : Math.min(rowsMax, Math.floor(Math.min(bytesMax, hexMax) / (2 * width)))
}

/** A bytea's text may have 2^30 characters, and a string of this process 2^29 - 24. */
const hexMax = 2 ** 28

const columnOf = (
  rows: ReadonlyArray<TextRow>,
  { column, scan }: Extract<ParamSource, { readonly _tag: "Column" }>
): TextRow => {
  if (scan === undefined) return rows.map((row) => row[column] ?? null)
  const tag = String(scan)
  return rows.flatMap((row) => (row[0] === tag ? [row[column + 1] ?? null] : []))
}

/**
 * The rows of one shard, in the form they came.
 *
 * @since 0.1.0
 * @category models
 */
export interface Given {
  readonly shard: ShardId
  readonly result: TextResult
}

/** @since 0.1.0 @category functions */
export const texts = (
  options: Options,
  request: Request,
  page: Bound
): Effect.Effect<ReadonlyArray<Given>, ShardError> =>
  upTo(options.policy.concurrency, request.shards, (shard, place) =>
    textsOn(options, request, page, shard, place, boundOf(options, request))
  )

/** Rows as they are make up the answer, which the program asked for; what is held beside it is bounded. */
const boundOf = ({ limits }: Options, { merge }: Request): TextBound =>
  merge.finish._tag === "Rows" ? unbounded : limits

/** @since 0.1.0 @category functions */
export const textsOrMissing = (options: Options, request: Request, page: Bound) =>
  Effect.map(
    Effect.forEach(
      request.shards,
      (shard, place) =>
        PartialRows.orMissing(shard, textsOn(options, request, page, shard, place, boundOf(options, request))),
      { concurrency: options.policy.concurrency }
    ),
    (answers) => ({ given: Array.getRights(answers), missing: Array.getLefts(answers) })
  )

/**
 * What there is more of, in all results together, than may be held.
 *
 * @since 0.1.0
 * @category getters
 */
export const exceeded = (
  { bytesMax, rowsMax }: TextBound,
  results: ReadonlyArray<TextResult>
): { readonly what: "rows" | "bytes"; readonly max: number } | undefined => {
  const isOver = (what: "rows" | "bytes", max: number) =>
    results.some(({ truncated }) => truncated === what) ||
    results.reduce((sum, { bytes, rows }) => sum + (what === "rows" ? rows.length : bytes), 0) > max
  if (isOver("rows", rowsMax)) return { what: "rows", max: rowsMax }
  return isOver("bytes", bytesMax) ? { what: "bytes", max: bytesMax } : undefined
}

/**
 * Of the shard of this place in the request.
 *
 * @since 0.1.0
 * @category functions
 */
export const textsOn = (
  options: Options,
  { merge }: Request,
  page: Bound,
  shard: ShardId,
  place: number,
  bound: TextBound
): Effect.Effect<Given, ShardError> => {
  const statement = statementOn(merge, shard)
  return Effect.map(
    part(options, shard, (driver) => driver.executeText(statement.sql, page.params(statement, place), bound)),
    (result) => ({ shard, result })
  )
}

/**
 * A session a shard, for steps that belong together: in the view, or in a snapshot of its own. Taken one after another:
 * whoever has a shard's session waits for sessions of later shards only.
 *
 * @since 0.1.0
 * @category functions
 */
export const snapshots = (
  { driver, policy, view }: Options,
  shards: ReadonlyArray<ShardId>
): Effect.Effect<ReadonlyArray<ShardSession>, ShardError, Scope.Scope> => {
  const limited = <A, R>(shard: ShardId, step: Effect.Effect<A, ShardError, R>) =>
    ShardCall.limited({ shard, policy, access: "read" }, step)
  const taken = Effect.forEach(shards, (shard) => {
    const session = view?.session(shard)
    if (session !== undefined) return Effect.succeed({ shard, session, isViewed: true })
    const reserved = Effect.flatMap(driver(shard), (opened) => opened.reserve)
    return Effect.map(limited(shard, reserved), (own) => ({ shard, session: own, isViewed: false }))
  })
  const all = Effect.flatMap(taken, (sessions) =>
    Effect.forEach(
      sessions,
      ({ isViewed, session, shard }) => {
        const begun = session.control("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return Effect.as(isViewed ? Effect.void : limited(shard, begun), session)
      },
      { concurrency: policy.concurrency }
    )
  )
  return view === undefined ? all : Effect.zipRight(view.restore, all)
}

/**
 * A stream that may begin anew takes a connection each time it does; another holds one from here on.
 *
 * @since 0.1.0
 * @category functions
 */
export const pagesOf = (
  { driver, home, policy, view }: Options,
  shard: ShardId,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<Stream.Stream<RowPage, ShardError>, ShardError, Scope.Scope> => {
  const call: ShardCall.Call = { shard, policy, access: "read" }
  const inside = view?.session(shard) ?? home?.connection(shard)
  if (inside !== undefined) return Effect.succeed(ShardCall.limitedStream(call, inside.streamPages(sql, params)))
  if (policy.retry !== undefined) {
    const pages = Stream.unwrap(Effect.map(driver(shard), (opened) => opened.streamPages(sql, params)))
    return Effect.succeed(ShardCall.stream(call, pages))
  }
  const session = Effect.flatMap(driver(shard), (opened) => opened.reserve)
  return Effect.map(ShardCall.limited(call, session), (held) =>
    ShardCall.limitedStream(call, held.streamPages(sql, params))
  )
}

/**
 * One step on one shard, under the policy.
 *
 * @since 0.1.0
 * @category functions
 */
export const ask = <A>(
  { driver, policy }: Options,
  shard: ShardId,
  use: (driver: ShardDriver) => Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> => ShardCall.run({ shard, policy, access: "read" }, Effect.flatMap(driver(shard), use))

/** The same where the transaction's own writes have to be seen. */
const part = <A>(
  options: Options,
  shard: ShardId,
  use: (connection: ShardConnection) => Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> => {
  const { home, policy, view } = options
  const inside = view?.session(shard) ?? home?.connection(shard)
  return inside === undefined
    ? ask(options, shard, use)
    : ShardCall.limited({ shard, policy, access: options.access ?? "read" }, use(inside))
}

/** @since 0.1.0 @category functions */
export const first = (shards: ReadonlyArray<ShardId>): ShardId => {
  const [shard] = shards
  if (shard === undefined) throw new Error("a merge over no shards")
  return shard
}
