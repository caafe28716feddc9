/**
 * Runs a merge: the plan's own statement on each shard, their rows as texts, one answer.
 *
 * Enters: a `Merge`, the shards it is bound to, the program's parameters. Leaves: rows in the form that is asked
 * for, or a stream of them. Holds: what is kept in memory is bounded by `rowsMax`; a stream in order reads the shards
 * page by page, as fast as its rows are taken; the first failure interrupts the other shards. Each step on a shard is
 * under the policy: limited by itself, and repeated by itself, for a merge only reads.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as DeepPage from "./DeepPage.js"
import * as Landmarks from "./Landmarks.js"
import * as RowOrder from "./merge/RowOrder.js"
import * as Windows from "./merge/Windows.js"
import type * as PartialRows from "./Partial.js"
import type { DeepStatements, Fragment, Merge, TextRow } from "./plan/Merge.js"
import * as Page from "./plan/Page.js"
import type { RowPage } from "./merge/RowPage.js"
import * as Combine from "./scatter/Combine.js"
import * as Parts from "./scatter/Parts.js"
import * as Reduced from "./scatter/Reduced.js"
import * as Steps from "./scatter/Steps.js"
import * as ShardCall from "./ShardCall.js"
import { type Field, type Presenter, type ShardDriver, type TextResult, unbounded } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category functions */
export const run = (
  options: Parts.Options,
  request: Parts.Request,
  form: ShardCall.Form
): Effect.Effect<any, ShardError> =>
  Effect.flatMap(Parts.bound(options, request, Parts.moment(options, request)), (page) => {
    const { finish } = request.merge
    if (finish._tag === "Groups" && finish.packed !== undefined) {
      const rows = Steps.counted(options, request, page, finish, finish.packed)
      const source = { shard: Parts.first(request.shards), result: undefined }
      return presented(options, request, source, form, orSorted(options, request, page, finish, rows))
    }
    const deep = deepOf(options, request.merge, page.amounts)
    return deep === undefined
      ? Effect.flatMap(texts(options, request, page), (given) => answered(options, request, page, given, form))
      : Effect.flatMap(deepTexts(options, request, page, deep), ({ amounts, given }) =>
          answered(options, request, { ...page, amounts }, given, form)
        )
  })

/** In a transaction there is no snapshot for steps that belong together: what its own session shows may change. */
const texts = (
  options: Parts.Options,
  request: Parts.Request,
  page: Parts.Bound
): Effect.Effect<ReadonlyArray<Parts.Given>, ShardError> => {
  const { finish } = request.merge
  const reduction = finish._tag === "Combine" && options.home === undefined ? finish.reduction : undefined
  return reduction === undefined
    ? Parts.texts(options, request, page)
    : Reduced.texts(options, request, page, reduction)
}

/** A page so far down that it is worth guessing where it begins on each shard. What is written is asked for once. */
const deepOf = (
  { access }: Parts.Options,
  { finish }: Merge,
  { limit, offset }: Page.Amounts
): DeepStatements | undefined =>
  access === undefined && finish._tag === "Rows" && offset >= DeepPage.offsetMin && limit !== 0
    ? finish.deep
    : undefined

/** The shards' rows, and how many of the merged ones are still to be skipped. */
interface Deep {
  readonly given: ReadonlyArray<Parts.Given>
  readonly amounts: Page.Amounts
}

/**
 * Mostly one statement a shard, from where the page is guessed to be. Where its rows do not prove that it is there, the
 * shards are asked for samples first, or for all that is skipped: samples and page need a snapshot together, which a
 * transaction's own session does not give.
 */
const deepTexts = (
  options: Parts.Options,
  request: Parts.Request,
  page: Parts.Bound,
  deep: DeepStatements
): Effect.Effect<Deep, ShardError> => {
  const { merge, params, shards } = request
  const { amounts } = page
  const landmarks = Landmarks.of(deep, shards, merge.finish.page, params)
  const foundIn = (windows: ReadonlyArray<Windows.Window>, given: ReadonlyArray<Parts.Given>): Deep | undefined => {
    const rows = given.map(({ result }) => result.rows)
    const withTies = merge.finish.page?.withTies === true
    const found = Windows.found(deepOrder(merge), windows, rows, amounts, withTies)
    const [source] = given
    if (found === undefined || source === undefined) return undefined
    landmarks.learn(amounts, found)
    const result = { ...source.result, rows: found.rows }
    return { given: [{ ...source, result }], amounts: { ...amounts, offset: found.offset } }
  }
  const asked =
    options.home === undefined && amounts.offset >= DeepPage.probedMin
      ? probedTexts(options, request, page, deep)
      : Effect.map(Parts.texts(options, request, page), (given) => ({
          given,
          amounts,
          windows: given.map(() => ({ skip: 0, rows: Page.depth(amounts) ?? undefined }))
        }))
  const searched = Effect.map(asked, ({ windows, ...own }) => foundIn(windows, own.given) ?? own)
  return Effect.suspend(() => {
    const windows = landmarks.guess(shards.length, amounts)
    if (windows === undefined) return searched
    return Effect.flatMap(windowTexts(options, request, page, deep, windows), (given) => {
      const found = foundIn(windows, given)
      return found === undefined ? searched : Effect.succeed(found)
    })
  })
}

const windowTexts = (
  options: Parts.Options,
  request: Parts.Request,
  page: Parts.Bound,
  deep: DeepStatements,
  windows: ReadonlyArray<Windows.Window>
): Effect.Effect<ReadonlyArray<Parts.Given>, ShardError> =>
  Parts.texts(
    options,
    { ...request, merge: { ...request.merge, statement: deep.page } },
    {
      ...page,
      params: (statement, place) => {
        const window = windows[place]
        const amounts = { offset: 0, limit: window?.rows }
        return Parts.paramsOf(statement, { request, amounts, now: page.now, place, rows: [], skip: window?.skip ?? 0 })
      }
    }
  )

const deepOrder = ({ finish, kinds }: Merge): RowOrder.RowOrder =>
  RowOrder.make(finish._tag === "Rows" ? finish.order : [], kinds)

const probedTexts = (
  options: Parts.Options,
  request: Parts.Request,
  page: Parts.Bound,
  { page: pageStatement, probe }: DeepStatements
): Effect.Effect<Deep & { readonly windows: ReadonlyArray<Windows.Window> }, ShardError> => {
  const { merge, shards } = request
  const { policy } = options
  const keys = merge.finish._tag === "Rows" ? merge.finish.order : []
  const statement = (fragment: Fragment, place: number, amounts: Page.Amounts, more: Partial<Parts.Sources>) => ({
    sql: fragment.sql,
    params: Parts.paramsOf(fragment, { request, amounts, now: page.now, place, rows: [], ...more })
  })
  const callOf = (shard: ShardId): ShardCall.Call => ({ shard, policy, access: "read" })
  const answer = Effect.scoped(
    Effect.gen(function* () {
      const sessions = yield* Parts.snapshots(options, shards)
      return yield* DeepPage.run({
        sessions,
        order: RowOrder.make(
          keys.map((key, column) => ({ ...key, column })),
          keys.map(({ column }) => merge.kinds[column] ?? { _tag: "Opaque" })
        ),
        amounts: page.amounts,
        probe: (place, amounts, skip, step) => statement(probe, place, amounts, { skip, step }),
        page: (place, amounts, skip) => statement(pageStatement, place, amounts, { skip }),
        limited: (place, step) => ShardCall.limited(callOf(shards[place] ?? Parts.first(shards)), step),
        concurrency: policy.concurrency
      })
    })
  )
  // What one shard's page is, the samples of all decide: they are taken anew together.
  return Effect.map(ShardCall.repeated({ policy, access: "read" }, answer), ({ amounts, results, skips }) => ({
    amounts,
    windows: skips.map((skip) => ({ skip, rows: Page.depth(amounts) ?? undefined, isCertain: true })),
    given: results.map((result, place) => ({ shard: shards[place] ?? Parts.first(shards), result }))
  }))
}

/**
 * The same over the shards that can be reached (`Partial`); without any there are no rows.
 *
 * @since 0.1.0
 * @category functions
 */
export const runPartial = (
  options: Parts.Options,
  request: Parts.Request,
  form: ShardCall.Form
): Effect.Effect<PartialRows.PartialRows<any>, ShardError> =>
  Effect.flatMap(Parts.bound(options, request, Parts.anyMoment(options, request)), (page) =>
    Effect.flatMap(Parts.textsOrMissing(options, request, page), ({ given, missing }) =>
      given.length === 0
        ? Effect.succeed({ rows: [], missing })
        : Effect.map(answered(options, reachable(request, given), page, given, form), (rows) => ({
            rows,
            missing
          }))
    )
  )

/** A coordinator that is among the shards that answered. */
const reachable = (request: Parts.Request, given: ReadonlyArray<Parts.Given>): Parts.Request => {
  const shards = given.map(({ shard }) => shard)
  return {
    ...request,
    shards,
    coordinator: shards.find((shard) => shard === request.coordinator) ?? Parts.first(shards)
  }
}

/** The answer out of what shards gave: at least one. */
const answered = (
  options: Parts.Options,
  request: Parts.Request,
  page: Parts.Bound,
  given: ReadonlyArray<Parts.Given>,
  form: ShardCall.Form
): Effect.Effect<any, ShardError> => {
  const { merge } = request
  const { finish } = merge
  if (finish._tag === "Combine") {
    return Effect.zipRight(
      options.view?.end ?? Effect.void,
      Combine.combined(options, request, finish, page, given, form)
    )
  }
  const [source] = given
  if (source === undefined) throw new Error("a merge of nothing")
  const held = Steps.finished(options, merge, finish, page.amounts, given)
  return presented(options, request, source, form, orSorted(options, request, page, finish, held))
}

/** What is more than may be held is asked for once more, in an order in which it need not be. */
const orSorted = (
  options: Parts.Options,
  request: Parts.Request,
  page: Parts.Bound,
  finish: Steps.Steps,
  held: Effect.Effect<ReadonlyArray<TextRow>, ShardError>
): Effect.Effect<ReadonlyArray<TextRow>, ShardError> => {
  const { sorted } = finish
  return sorted === undefined
    ? held
    : Effect.catchTag(held, "MergeLimitExceeded", () =>
        Effect.map(Stream.runCollect(Steps.sortedRows(options, request, page, finish, sorted)), Chunk.toReadonlyArray)
      )
}

/** `result`: of the shard, for types that it numbers itself. */
interface Source {
  readonly shard: ShardId
  readonly result: TextResult | undefined
}

const presented = (
  options: Parts.Options,
  { merge }: Parts.Request,
  { result, shard }: Source,
  form: ShardCall.Form,
  rows: Effect.Effect<ReadonlyArray<TextRow>, ShardError>
): Effect.Effect<any, ShardError> =>
  Effect.flatMap(rows, (all) =>
    Effect.map(options.driver(shard), (driver) => present(driver, fieldsOf(merge, result), form, projected(merge, all)))
  )

/**
 * How the rows of a stream look: as the driver gives them, or as the texts that came.
 *
 * @since 0.1.0
 * @category models
 */
export type Form = "objects" | "texts"

/**
 * The same rows, all at once.
 *
 * @since 0.1.0
 * @category functions
 */
export const atOnce = (
  form: Form,
  run: (form: ShardCall.Form) => Effect.Effect<any, ShardError>
): Effect.Effect<ReadonlyArray<any>, ShardError> =>
  form === "texts"
    ? Effect.map(run({ _tag: "Texts", bound: unbounded }), ({ rows }: TextResult) => rows)
    : run("execute")

/** @since 0.1.0 @category functions */
export const stream = (
  options: Parts.Options,
  request: Parts.Request,
  form: Form = "objects"
): Stream.Stream<any, ShardError> => {
  const { merge, shards } = request
  const streamed = streamedOf(options, request)
  if (streamed === undefined) {
    return Stream.unwrap(
      Effect.map(
        atOnce(form, (as) => run(options, request, as)),
        Stream.fromIterable
      )
    )
  }
  return Stream.unwrap(
    Effect.gen(function* () {
      const page = yield* Parts.bound(options, request, Parts.moment(options, request))
      const presenter =
        form === "texts"
          ? undefined
          : (yield* options.driver(Parts.first(shards))).presenter(fieldsOf(merge, undefined))
      return streamed(page, presenter)
    })
  )
}

/** As objects, or as texts where there is no presenter. */
type Streamed = (page: Parts.Bound, presenter: Presenter | undefined) => Stream.Stream<any, ShardError>

/** The rows as they come; undefined where all must be there before the first one is known. */
const streamedOf = (options: Parts.Options, request: Parts.Request): Streamed | undefined => {
  const { merge } = request
  const { finish } = merge
  if (finish._tag === "Combine") return undefined
  const { sorted } = finish
  if (finish._tag === "Groups" && finish.packed !== undefined) return undefined
  if (finish._tag === "Groups" && (sorted === undefined || !Steps.isSortedAlready(finish))) return undefined
  if (sorted !== undefined) {
    return (page, presenter) => shaped(merge, presenter, Steps.sortedRows(options, request, page, finish, sorted))
  }
  if (finish._tag === "Groups" || isDeepPage(options, request)) return undefined
  return (page, presenter) => {
    const merged = <A>(through: Steps.Through<A>) => Steps.mergedRows(options, request, page, merge.statement, through)
    if (finish.distinct !== undefined || finish.page?.withTies === true) {
      return shaped(
        merge,
        presenter,
        merged(Steps.throughRows(options, merge.kinds, finish, finish.order, page.amounts))
      )
    }
    const order = RowOrder.make(finish.order, merge.kinds)
    return merged<unknown>(Steps.throughCut(order, page.amounts, madeOf(merge, presenter)))
  }
}

const shaped = (
  merge: Merge,
  presenter: Presenter | undefined,
  rows: Stream.Stream<TextRow, ShardError>
): Stream.Stream<any, ShardError> =>
  Stream.mapChunks(rows, (chunk) => {
    const texts = projected(merge, Chunk.toReadonlyArray(chunk))
    return Chunk.unsafeFromArray(presenter === undefined ? texts : presenter.objects(texts))
  })

const madeOf = ({ outputs }: Merge, presenter: Presenter | undefined): ((page: RowPage, row: number) => unknown) => {
  const columns = outputs.map(({ column }) => column)
  return presenter === undefined
    ? (page, row) => columns.map((column) => page.text(row, column))
    : presenter.paged(columns)
}

/** Without a limit what follows the page may be all there is: that is read page by page. */
const isDeepPage = (options: Parts.Options, { merge, params }: Parts.Request): boolean => {
  const amounts = Page.amounts(merge.finish.page, params)
  if (options.home !== undefined || amounts?.limit === undefined || amounts.offset < DeepPage.probedMin) return false
  return deepOf(options, merge, amounts) !== undefined
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

const textsOf = (fields: ReadonlyArray<Field>, rows: ReadonlyArray<TextRow>): TextResult => ({
  fields: fields.map(({ name, type }) => ({ name, dataTypeID: type })),
  rows,
  truncated: undefined,
  bytes: rows.reduce((sum, row) => row.reduce((length, text) => length + (text?.length ?? 0), sum), 0)
})

const present = (
  driver: ShardDriver,
  fields: ReadonlyArray<Field>,
  form: ShardCall.Form,
  rows: ReadonlyArray<TextRow>
): unknown => {
  const presenter = driver.presenter(fields)
  if (typeof form !== "string") return textsOf(fields, rows)
  switch (form) {
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
