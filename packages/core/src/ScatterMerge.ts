/**
 * Runs a merge: the plan's own statement on each shard, their rows as texts, one answer.
 *
 * Enters: a `Merge`, the shards it is bound to, the program's parameters. Leaves: rows in the form the operation asks
 * for, or a stream of them. Holds: what is kept in memory is bounded by `rowsMax`; a stream in order reads the shards
 * page by page, as fast as its rows are taken; the first failure interrupts the other shards. Each step on a shard is
 * under the policy: limited by itself, and repeated by itself, for a merge only reads.
 *
 * @since 0.1.0
 */
import type { Row } from "@effect/sql/SqlConnection"
import * as Array from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Operation } from "./LightStatement.js"
import * as Distinct from "./merge/Distinct.js"
import * as Groups from "./merge/Groups.js"
import * as KWayMerge from "./merge/KWayMerge.js"
import * as Limit from "./merge/Limit.js"
import { type MergeProblem, tooManyGroups } from "./merge/MergeProblem.js"
import * as RowOrder from "./merge/RowOrder.js"
import * as SortedGroups from "./merge/SortedGroups.js"
import * as Top from "./merge/Top.js"
import * as PartialRows from "./Partial.js"
import * as DeepPage from "./DeepPage.js"
import * as Page from "./plan/Page.js"
import type { DeepStatements, Finish, Fragment, Merge, ParamSource, SortKey, Sorted, TextRow } from "./plan/Merge.js"
import type { ValueKind } from "./plan/ValueKind.js"
import type { Policy } from "./Policy.js"
import * as Staging from "./Staging.js"
import * as ShardCall from "./ShardCall.js"
import {
  type Field,
  type ShardConnection,
  type ShardDriver,
  type TextBound,
  type TextResult,
  unbounded
} from "./ShardConnection.js"
import {
  GatherLimitExceeded,
  MergeLimitExceeded,
  ownFailure,
  type ShardError,
  type StatementFailed
} from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Options {
  readonly driver: (shard: ShardId) => Effect.Effect<ShardDriver, ShardError>
  /** Within a transaction: what shows its own writes, and its time. Its other shards are read beside it. */
  readonly home?: Home | undefined
  readonly policy: Policy
  /**
   * What one statement may hold in memory: rows to combine, and those in bytes; groups and distinct rows where they are
   * not merged in order.
   */
  readonly limits: Limits
}

/** @since 0.1.0 @category models */
export interface Home {
  readonly shard: ShardId
  readonly connection: ShardConnection
}

/** @since 0.1.0 @category models */
export interface Limits extends TextBound {
  /** Rows of several tables, from how many on they are staged (`Staging`) and not shipped as arrays. */
  readonly stagedMin: number
}

/** @since 0.1.0 @category models */
export interface Request {
  readonly merge: Merge
  /** At least two. */
  readonly shards: ReadonlyArray<ShardId>
  /** Where `Combine` is done. */
  readonly coordinator: ShardId
  /** The program's own text, for the server's complaint about a page that is none. */
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/** @since 0.1.0 @category functions */
export const run = (options: Options, request: Request, operation: Operation): Effect.Effect<any, ShardError> =>
  Effect.flatMap(bound(options, request, moment(options, request)), (page) => {
    // Samples and page need a snapshot together, which the transaction's own session does not give.
    const deep = options.home === undefined ? deepOf(request.merge, page.amounts) : undefined
    return deep === undefined
      ? Effect.flatMap(texts(options, request, page), (given) => answered(options, request, page, given, operation))
      : Effect.flatMap(deepTexts(options, request, page, deep), ({ amounts, given }) =>
          answered(options, request, { ...page, amounts }, given, operation)
        )
  })

/** A page so far down that it is worth knowing first where it begins on each shard. */
const deepOf = ({ finish }: Merge, { limit, offset }: Page.Amounts): DeepStatements | undefined =>
  finish._tag === "Rows" && offset >= DeepPage.offsetMin && limit !== 0 ? finish.deep : undefined

const deepTexts = (
  options: Options,
  request: Request,
  page: Bound,
  { page: pageStatement, probe }: DeepStatements
): Effect.Effect<{ readonly given: ReadonlyArray<Given>; readonly amounts: Page.Amounts }, ShardError> => {
  const { merge, shards } = request
  const { policy } = options
  const keys = merge.finish._tag === "Rows" ? merge.finish.order : []
  const statement = (fragment: Fragment, place: number, amounts: Page.Amounts, more: Partial<Sources>) => ({
    sql: fragment.sql,
    params: paramsOf(fragment, { request, amounts, now: page.now, place, rows: [], ...more })
  })
  const callOf = (shard: ShardId): ShardCall.Call => ({ shard, policy, access: "read" })
  const answer = Effect.scoped(
    Effect.gen(function* () {
      // One after another: whoever has a shard's session waits for sessions of later shards only.
      const sessions = yield* Effect.forEach(shards, (shard) =>
        ShardCall.limited(
          callOf(shard),
          Effect.flatMap(options.driver(shard), (driver) => driver.reserve)
        )
      )
      return yield* DeepPage.run({
        sessions,
        order: RowOrder.make(
          keys.map((key, column) => ({ ...key, column })),
          keys.map(({ column }) => merge.kinds[column] ?? { _tag: "Opaque" })
        ),
        amounts: page.amounts,
        probe: (place, amounts, skip, step) => statement(probe, place, amounts, { skip, step }),
        page: (place, amounts, skip) => statement(pageStatement, place, amounts, { skip }),
        limited: (place, step) => ShardCall.limited(callOf(shards[place] ?? first(shards)), step),
        concurrency: policy.concurrency
      })
    })
  )
  // What one shard's page is, the samples of all decide: they are taken anew together.
  return Effect.map(ShardCall.repeated({ policy, access: "read" }, answer), ({ amounts, results }) => ({
    amounts,
    given: results.map((result, place) => ({ shard: shards[place] ?? first(shards), result }))
  }))
}

/**
 * The same over the shards that can be reached (`Partial`); without any there are no rows.
 *
 * @since 0.1.0
 * @category functions
 */
export const runPartial = (
  options: Options,
  request: Request,
  operation: Operation
): Effect.Effect<PartialRows.PartialRows<any>, ShardError> =>
  Effect.flatMap(bound(options, request, anyMoment(options, request)), (page) =>
    Effect.flatMap(textsOrMissing(options, request, page), ({ given, missing }) =>
      given.length === 0
        ? Effect.succeed({ rows: [], missing })
        : Effect.map(answered(options, reachable(request, given), page, given, operation), (rows) => ({
            rows,
            missing
          }))
    )
  )

/** A coordinator that is among the shards that answered. */
const reachable = (request: Request, given: ReadonlyArray<Given>): Request => {
  const shards = given.map(({ shard }) => shard)
  return { ...request, shards, coordinator: shards.find((shard) => shard === request.coordinator) ?? first(shards) }
}

/** The answer out of what shards gave: at least one. */
const answered = (
  options: Options,
  request: Request,
  page: Bound,
  given: ReadonlyArray<Given>,
  operation: Operation
): Effect.Effect<any, ShardError> => {
  const { merge } = request
  const { finish } = merge
  if (finish._tag === "Combine") return combined(options, request, finish, page, given, operation)
  const [source] = given
  if (source === undefined) throw new Error("a merge of nothing")
  const { sorted } = finish
  const held = finished(options, merge, finish, page.amounts, given)
  // What is more than may be held is asked for once more, in an order in which it need not be.
  const rows =
    sorted === undefined
      ? held
      : Effect.catchTag(held, "MergeLimitExceeded", () =>
          Effect.scoped(
            Effect.map(Stream.runCollect(sortedRows(options, request, page, finish, sorted)), Chunk.toReadonlyArray)
          )
        )
  return Effect.flatMap(rows, (all) =>
    Effect.map(options.driver(source.shard), (driver) =>
      present(driver, fieldsOf(merge, source.result), operation, projected(merge, all))
    )
  )
}

/** @since 0.1.0 @category functions */
export const stream = (options: Options, request: Request): Stream.Stream<Row, ShardError> => {
  const { merge, shards } = request
  const streamed = streamedOf(options, request)
  if (streamed === undefined) {
    return Stream.unwrap(
      Effect.map(run(options, request, "execute"), (rows: ReadonlyArray<Row>) => Stream.fromIterable(rows))
    )
  }
  return Stream.unwrap(
    Effect.gen(function* () {
      const page = yield* bound(options, request, moment(options, request))
      const driver = yield* options.driver(first(shards))
      const presenter = driver.presenter(fieldsOf(merge, undefined))
      return Stream.mapChunks(streamed(page), (chunk) =>
        Chunk.unsafeFromArray([...presenter.objects(projected(merge, Chunk.toReadonlyArray(chunk)))])
      )
    })
  )
}

/** The rows as they come; undefined where all must be there before the first one is known. */
const streamedOf = (
  options: Options,
  request: Request
): ((page: Bound) => Stream.Stream<TextRow, ShardError>) | undefined => {
  const { merge } = request
  const { finish } = merge
  if (finish._tag === "Combine") return undefined
  const { sorted } = finish
  if (finish._tag === "Groups" && (sorted === undefined || !isSortedAlready(finish))) return undefined
  if (sorted !== undefined) return (page) => sortedRows(options, request, page, finish, sorted)
  if (finish._tag === "Groups" || (options.home === undefined && isDeepPage(request))) return undefined
  return (page) =>
    mergedRows(
      options,
      request,
      page,
      merge.statement,
      throughRows(options, merge.kinds, finish, finish.order, page.amounts)
    )
}

/** Without a limit what follows the page may be all there is: that is read page by page. */
const isDeepPage = ({ merge, params }: Request): boolean => {
  const amounts = Page.amounts(merge.finish.page, params)
  return amounts?.limit !== undefined && deepOf(merge, amounts) !== undefined
}

/** A stream that may begin anew takes a connection each time it does; another holds one from here on. */
const pagesOf = (
  { driver, home, policy }: Options,
  shard: ShardId,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<Stream.Stream<TextRow, ShardError>, ShardError, Scope.Scope> => {
  const call: ShardCall.Call = { shard, policy, access: "read" }
  if (home?.shard === shard)
    return Effect.succeed(ShardCall.limitedStream(call, home.connection.streamText(sql, params)))
  if (policy.retry !== undefined) {
    const pages = Stream.unwrap(Effect.map(driver(shard), (opened) => opened.streamText(sql, params)))
    return Effect.succeed(ShardCall.stream(call, pages))
  }
  const session = Effect.flatMap(driver(shard), (opened) => opened.reserve)
  return Effect.map(ShardCall.limited(call, session), (held) =>
    ShardCall.limitedStream(call, held.streamText(sql, params))
  )
}

/** One step on one shard, under the policy. */
const ask = <A>(
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
  const { home, policy } = options
  return home?.shard === shard
    ? ShardCall.limited({ shard, policy, access: "read" }, use(home.connection))
    : ask(options, shard, use)
}

/** What a request's parameters come to. */
interface Bound {
  readonly amounts: Page.Amounts
  /** The moment of the statement, where it is needed. */
  readonly now: string | null
  /** Of a statement for the shard of this place in the request. */
  readonly params: (statement: Fragment, place: number) => ReadonlyArray<unknown>
}

const bound = (
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
    params: (statement, place) => paramsOf(statement, { request, amounts, now: known, place, rows: [] })
  }))
}

const moment = (options: Options, { merge, shards }: Request): Effect.Effect<string | null, ShardError> => {
  const { now } = merge
  return now === undefined ? Effect.succeed(null) : momentOn(options, options.home?.shard ?? first(shards), now)
}

const momentOn = (options: Options, shard: ShardId, now: string): Effect.Effect<string | null, ShardError> =>
  Effect.map(
    part(options, shard, (driver) => driver.executeText(now, [], unbounded)),
    ({ rows }) => rows[0]?.[0] ?? null
  )

/** Of the first shard that answers. */
const anyMoment = (options: Options, { merge, shards }: Request): Effect.Effect<string | null, ShardError> => {
  const { now } = merge
  if (now === undefined) return Effect.succeed(null)
  const [one, ...others] = shards.map((shard) => momentOn(options, shard, now))
  if (one === undefined) throw new Error("a merge over no shards")
  return others.reduce(
    (before, next) => Effect.catchAll(before, (error) => (ShardCall.isUnavailable(error) ? next : Effect.fail(error))),
    one
  )
}

interface Sources {
  readonly request: Request
  readonly amounts: Page.Amounts
  readonly now: string | null
  readonly place: number
  readonly rows: ReadonlyArray<TextRow>
  readonly skip?: number
  readonly step?: number
}

const paramsOf = (
  fragment: Fragment,
  { amounts, now, place, request, rows, skip, step }: Sources
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
    }
  })

const columnOf = (
  rows: ReadonlyArray<TextRow>,
  { column, scan }: Extract<ParamSource, { readonly _tag: "Column" }>
): TextRow => {
  if (scan === undefined) return rows.map((row) => row[column] ?? null)
  const tag = String(scan)
  return rows.flatMap((row) => (row[0] === tag ? [row[column + 1] ?? null] : []))
}

/** The rows of one shard, in the form they came. */
interface Given {
  readonly shard: ShardId
  readonly result: TextResult
}

const texts = (options: Options, request: Request, page: Bound): Effect.Effect<ReadonlyArray<Given>, ShardError> =>
  Effect.forEach(request.shards, (shard, place) => textsOn(options, request, page, shard, place), {
    concurrency: options.policy.concurrency
  })

const textsOrMissing = (options: Options, request: Request, page: Bound) =>
  Effect.map(
    Effect.forEach(
      request.shards,
      (shard, place) => PartialRows.orMissing(shard, textsOn(options, request, page, shard, place)),
      { concurrency: options.policy.concurrency }
    ),
    (answers) => ({ given: Array.getRights(answers), missing: Array.getLefts(answers) })
  )

const textsOn = (
  options: Options,
  { merge }: Request,
  page: Bound,
  shard: ShardId,
  place: number
): Effect.Effect<Given, ShardError> =>
  Effect.map(
    part(options, shard, (driver) =>
      // Rows as they are make up the answer, which the program asked for; what is held beside it is bounded.
      driver.executeText(
        merge.statement.sql,
        page.params(merge.statement, place),
        merge.finish._tag === "Rows" ? unbounded : options.limits
      )
    ),
    (result) => ({ shard, result })
  )

const combined = (
  options: Options,
  request: Request,
  finish: Extract<Finish, { readonly _tag: "Combine" }>,
  page: Bound,
  given: ReadonlyArray<Given>,
  operation: Operation
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
  const isCostly = crossed && pairsIn(rows) > limits.rowsMax * pairsPerRow
  const costly = new GatherLimitExceeded({ tables: gathered, max: limits.rowsMax * costPerRow, what: "cost" })
  return ask(options, request.coordinator, (driver) => {
    const whole = bind(statement)
    const inline = isCostly ? Effect.fail(costly) : runAs(driver, operation, whole.sql, whole.params)
    if (staged === undefined || (!isCostly && rows.length < limits.stagedMin)) return inline
    const over = bind(staged.statement)
    const answer = Staging.run(driver, {
      tables: staged.tables.map(({ name, rows: fragment }, scan) => ({
        name,
        pages: Staging.pagesOf(rows, scan).map((some) => bind(fragment, some))
      })),
      prepare: staged.prepare,
      use: (session) =>
        Effect.zipRight(
          isCostly ? Staging.checkCost(session, over, costly) : Effect.void,
          runAs(session, operation, over.sql, over.params)
        )
    })
    return Staging.orInline(answer, inline)
  })
}

const tooMuch = (
  { gathered }: Extract<Finish, { readonly _tag: "Combine" }>,
  { bytesMax, rowsMax }: TextBound,
  given: ReadonlyArray<Given>
): GatherLimitExceeded | MergeLimitExceeded | undefined => {
  const isOver = (what: "rows" | "bytes", max: number) =>
    given.some(({ result }) => result.truncated === what) ||
    given.reduce((sum, { result }) => sum + (what === "rows" ? result.rows.length : result.bytes), 0) > max
  const error = (what: "rows" | "bytes", max: number) =>
    gathered.length > 0
      ? new GatherLimitExceeded({ tables: gathered, max, what })
      : new MergeLimitExceeded({ max, what: `${what} to combine` })
  if (isOver("rows", rowsMax)) return error("rows", rowsMax)
  return isOver("bytes", bytesMax) ? error("bytes", bytesMax) : undefined
}

/** Rows to compare pair by pair, a row that may be held: a few seconds of one PostgreSQL at the default. */
const pairsPerRow = 25

/**
 * Beyond it PostgreSQL is asked what the statement costs, with statistics and indexes. A lookup by index is about 8 of its
 * units, a pair compared about 0.01: at the default some ten seconds.
 */
const costPerRow = 10

/** Of the two largest scans. */
const pairsIn = (rows: ReadonlyArray<TextRow>): number => {
  const counts = new Map<string, number>()
  for (const [scan] of rows) counts.set(scan ?? "", (counts.get(scan ?? "") ?? 0) + 1)
  const [first = 0, second = 0] = [...counts.values()].sort((one, other) => other - one)
  return first * second
}

/**
 * One statement on one connection, in the form that the operation asks for.
 *
 * @since 0.1.0
 * @category functions
 */
export const runAs = (
  connection: Pick<ShardConnection, "execute" | "executeValues" | "executeRaw">,
  operation: Operation,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<any, ShardError> => {
  switch (operation) {
    case "execute":
    case "executeWithoutTransform":
    case "executeUnprepared":
      return connection.execute(sql, params)
    case "executeValues":
      return connection.executeValues(sql, params)
    case "executeRaw":
      return connection.executeRaw(sql, params)
  }
}

/** A finish that is done here. */
type Steps = Exclude<Finish, { readonly _tag: "Combine" }>

const finished = (
  options: Options,
  merge: Merge,
  finish: Steps,
  amounts: Page.Amounts,
  given: ReadonlyArray<Given>
): Effect.Effect<ReadonlyArray<TextRow>, ShardError> => {
  const results = given.map(({ result }) => result)
  const rows =
    finish._tag === "Rows"
      ? rowsOf(options, merge, finish, amounts, results)
      : groupsOf(options, merge, finish, amounts, results)
  return Either.isRight(rows) ? Effect.succeed(rows.right) : Effect.fail(problem(rows.left, finish))
}

const rowsOf = (
  options: Options,
  merge: Merge,
  finish: Extract<Finish, { readonly _tag: "Rows" }>,
  amounts: Page.Amounts,
  results: ReadonlyArray<TextResult>
): Either.Either<ReadonlyArray<TextRow>, MergeProblem> => {
  const order = RowOrder.make(finish.order, merge.kinds)
  const inputs = results.map((result) => result.rows)
  // Without repeats and ties, no row after the page is looked at.
  const isCut = finish.distinct === undefined && finish.page?.withTies !== true
  const wanted = isCut ? (Page.depth(amounts) ?? Infinity) : Infinity
  const rows = finish.order.length === 0 ? inputs.flat() : KWayMerge.mergeSorted(order, inputs, wanted)
  return Either.map(
    distinctOf(options, merge.kinds, finish, finish.order)?.filter(rows) ?? Either.right(rows),
    limitOf(finish.page, amounts, order).take
  )
}

const groupsOf = (
  options: Options,
  merge: Merge,
  finish: Extract<Finish, { readonly _tag: "Groups" }>,
  amounts: Page.Amounts,
  results: ReadonlyArray<TextResult>
): Either.Either<ReadonlyArray<TextRow>, MergeProblem> => {
  const { rowsMax } = options.limits
  if (results.some(({ truncated }) => truncated !== undefined)) return Either.left(tooManyGroups(rowsMax))
  const { aggregates, keys } = finish
  const groups = Groups.make({ aggregates, keys, kinds: merge.kinds, groupsMax: rowsMax })
  for (const { rows } of results) {
    const added = groups.add(rows)
    if (Either.isLeft(added)) return Either.left(added.left)
  }
  return Either.map(groups.finish(), (rows) => {
    const order = RowOrder.make(finish.order, finish.kinds)
    const sorted = finish.order.length === 0 ? rows : RowOrder.sort(order, rows)
    return limitOf(finish.page, amounts, order).take(sorted)
  })
}

/** Rows in an order that keeps those together which repeat each other need not be remembered. */
const distinctOf = (
  { limits: { rowsMax } }: Options,
  kinds: ReadonlyArray<ValueKind>,
  { distinct }: Extract<Finish, { readonly _tag: "Rows" }>,
  order: ReadonlyArray<SortKey>
): Distinct.Distinct | undefined => {
  if (distinct === undefined) return undefined
  const end = order.findIndex(({ column }) => !distinct.includes(column))
  const leading = end < 0 ? order : order.slice(0, end)
  return distinct.every((column) => leading.some((key) => key.column === column))
    ? Distinct.adjacent(distinct, kinds)
    : Distinct.hashed(distinct, kinds, rowsMax)
}

const limitOf = (
  page: Extract<Finish, { readonly _tag: "Rows" }>["page"],
  { limit, offset }: Page.Amounts,
  order: RowOrder.RowOrder
): Limit.Limit => Limit.make({ offset, limit, ties: page?.withTies === true ? order : undefined })

/** What rows go through, one chunk after the other, once they are merged. */
interface Through {
  readonly order: RowOrder.RowOrder
  readonly take: (rows: ReadonlyArray<TextRow>) => Either.Either<ReadonlyArray<TextRow>, MergeProblem>
  /** What is left when all have gone through. */
  readonly end: () => Either.Either<ReadonlyArray<TextRow>, MergeProblem>
  readonly done: () => boolean
}

const throughRows = (
  options: Options,
  kinds: ReadonlyArray<ValueKind>,
  finish: Extract<Finish, { readonly _tag: "Rows" }>,
  keys: ReadonlyArray<SortKey>,
  amounts: Page.Amounts
): Through => {
  const order = RowOrder.make(keys, kinds)
  // Ties are those of the program's own keys.
  const limit = limitOf(finish.page, amounts, RowOrder.make(finish.order, kinds))
  const distinct = distinctOf(options, kinds, finish, keys)
  return {
    order,
    take: (rows) => Either.map(distinct?.filter(rows) ?? Either.right(rows), limit.take),
    end: () => Either.right([]),
    done: limit.done
  }
}

const throughGroups = (
  { limits: { rowsMax } }: Options,
  { kinds }: Merge,
  finish: Extract<Finish, { readonly _tag: "Groups" }>,
  sorted: Sorted,
  amounts: Page.Amounts
): Through => {
  const { aggregates, keys } = finish
  const counted = sorted.order[keys.length]?.column
  const groups = SortedGroups.make({ aggregates, keys, kinds, counted, valuesMax: rowsMax })
  const order = RowOrder.make(sorted.order, sorted.kinds)
  const final = RowOrder.make(finish.order, finish.kinds)
  const limit = limitOf(finish.page, amounts, final)
  if (isSortedAlready(finish)) {
    return {
      order,
      take: (rows) => Either.map(groups.add(rows), limit.take),
      end: () => Either.map(groups.finish(), limit.take),
      done: limit.done
    }
  }
  const top = Top.make({
    order: final,
    rowsMax: Page.depth(amounts) ?? undefined,
    ties: finish.page?.withTies === true
  })
  const none: ReadonlyArray<TextRow> = []
  return {
    order,
    take: (rows) => Either.map(groups.add(rows), (complete) => (top.add(complete), none)),
    end: () => Either.map(groups.finish(), (last) => (top.add(last), limit.take(top.finish()))),
    done: () => false
  }
}

/** The order that the groups come in is the one they are asked for. */
const isSortedAlready = ({ keys, order, sorted }: Extract<Finish, { readonly _tag: "Groups" }>): boolean =>
  order.every(({ column, descending, nullsFirst }, index) => {
    const key = sorted?.order[index]
    return (
      key !== undefined && key.column === keys[column] && key.descending === descending && key.nullsFirst === nullsFirst
    )
  })

/** Rows that repeat each other, or groups, in an order in which they need not be held. */
const sortedRows = (
  options: Options,
  request: Request,
  page: Bound,
  finish: Steps,
  sorted: Sorted
): Stream.Stream<TextRow, ShardError> =>
  mergedRows(
    options,
    request,
    page,
    sorted.statement,
    finish._tag === "Rows"
      ? throughRows(options, sorted.kinds, finish, sorted.order, page.amounts)
      : throughGroups(options, request.merge, finish, sorted, page.amounts)
  )

const mergedRows = (
  options: Options,
  request: Request,
  page: Bound,
  statement: Fragment,
  through: Through
): Stream.Stream<TextRow, ShardError> =>
  Stream.unwrapScoped(
    // Connections one after another: whoever has that of a shard waits for those of later shards only.
    Effect.map(
      Effect.forEach(request.shards, (shard, place) =>
        Effect.flatMap(pagesOf(options, shard, statement.sql, page.params(statement, place)), (pages) =>
          // One page ahead of the one that is being merged.
          Stream.toPull(Stream.bufferChunks(pages, { capacity: 1 }))
        )
      ),
      (pulls) => throughPulls(through, pulls, request.merge.finish)
    )
  )

type Pull = Effect.Effect<Chunk.Chunk<TextRow>, Option.Option<ShardError>>

/** Merges pages as they come, and asks only the shards without which it cannot go on. */
const throughPulls = (
  through: Through,
  pulls: ReadonlyArray<Pull>,
  finish: Finish
): Stream.Stream<TextRow, ShardError> => {
  const merge = KWayMerge.make(through.order, pulls.length)
  let ended = false
  const feed = (index: number): Effect.Effect<void, Option.Option<ShardError>> =>
    Effect.matchEffect(pulls[index]!, {
      onSuccess: (rows) => Effect.sync(() => merge.push(index, Chunk.toReadonlyArray(rows))),
      onFailure: (end) => (Option.isNone(end) ? Effect.sync(() => merge.end(index)) : Effect.fail(end))
    })
  const pull: Pull = Effect.suspend(() => {
    if (ended || through.done()) return Effect.fail(Option.none())
    const rows = merge.pull()
    ended = merge.done()
    const taken = through.take(rows)
    const all = ended ? Either.flatMap(taken, (page) => Either.map(through.end(), (last) => [...page, ...last])) : taken
    if (Either.isLeft(all)) return Effect.fail(Option.some(problem(all.left, finish)))
    if (all.right.length > 0) return Effect.succeed(Chunk.unsafeFromArray([...all.right]))
    if (ended) return Effect.fail(Option.none())
    return Effect.zipRight(Effect.forEach(merge.wanting(), feed, { concurrency: "unbounded", discard: true }), pull)
  })
  return Stream.fromPull(Effect.succeed(pull) as Effect.Effect<Pull, never, Scope.Scope>)
}

const problem = (found: MergeProblem, finish: Finish): MergeLimitExceeded | StatementFailed => {
  switch (found._tag) {
    case "TooManyGroups":
      return new MergeLimitExceeded({
        max: found.groupsMax,
        what: finish._tag === "Rows" ? "distinct rows" : "groups"
      })
    case "OutOfRange":
      return ownFailure({ shard: "(merged)", kind: "InvalidValue", code: "22003", reason: found.message })
  }
}

const projected = (merge: Merge, rows: ReadonlyArray<TextRow>): ReadonlyArray<TextRow> => {
  const { outputs } = merge
  // Mostly the answer is the first columns, in order, and often it is all of them.
  if (outputs.every(({ column }, index) => column === index)) {
    const width = outputs.length
    return rows[0]?.length === width ? rows : rows.map((row) => row.slice(0, width))
  }
  return rows.map((row) => outputs.map(({ column }) => row[column] ?? null))
}

const fieldsOf = (merge: Merge, result: TextResult | undefined): ReadonlyArray<Field> =>
  merge.outputs.map(({ name, shard, type }) => ({
    name,
    type: type === 0 ? (result?.fields[shard]?.dataTypeID ?? 0) : type
  }))

const present = (
  driver: ShardDriver,
  fields: ReadonlyArray<Field>,
  operation: Operation,
  rows: ReadonlyArray<TextRow>
): unknown => {
  const presenter = driver.presenter(fields)
  switch (operation) {
    case "execute":
    case "executeWithoutTransform":
    case "executeUnprepared":
      return presenter.objects(rows)
    case "executeValues":
      return presenter.arrays(rows)
    case "executeRaw":
      return presenter.raw(rows)
  }
}

const first = (shards: ReadonlyArray<ShardId>): ShardId => {
  const [shard] = shards
  if (shard === undefined) throw new Error("a merge over no shards")
  return shard
}
