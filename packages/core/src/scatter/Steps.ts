/**
 * From the shards' rows to those of the answer, by the steps of `merge/`.
 *
 * Enters: the rows of each shard, or pages of them. Leaves: the answer's rows, at once or as a stream. Holds: what is kept
 * in memory beside the answer is bounded by the limits; a stream asks only the shards without which it cannot go on.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Distinct from "../merge/Distinct.js"
import * as Groups from "../merge/Groups.js"
import * as KWayMerge from "../merge/KWayMerge.js"
import * as Limit from "../merge/Limit.js"
import { type MergeProblem, tooManyGroups } from "../merge/MergeProblem.js"
import * as PackedValues from "../merge/PackedValues.js"
import * as PageMerge from "../merge/PageMerge.js"
import * as RowOrder from "../merge/RowOrder.js"
import * as SortedGroups from "../merge/SortedGroups.js"
import * as Top from "../merge/Top.js"
import type { Finish, Fragment, Merge, Packed, Sorted, SortKey, TextRow } from "../plan/Merge.js"
import * as Page from "../plan/Page.js"
import type { ValueKind } from "../plan/ValueKind.js"
import type { RowPage } from "../merge/RowPage.js"
import type { TextResult } from "../ShardConnection.js"
import { MergeLimitExceeded, ownFailure, type ShardError, type StatementFailed } from "../ShardError.js"
import { type Bound, type Given, type Options, pagesOf, type Request, textsOn, valuesMax } from "./Parts.js"

/**
 * A finish that is done here.
 *
 * @since 0.1.0
 * @category models
 */
export type Steps = Exclude<Finish, { readonly _tag: "Combine" }>

/** @since 0.1.0 @category functions */
export const finished = (
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

/**
 * How many different values the shards have, which give them packed: each shard's are counted when they come, and not held
 * until all are there. One that has more than may be held does not end the others: they may be sessions that are used again.
 *
 * @since 0.1.0
 * @category functions
 */
export const counted = (
  options: Options,
  request: Request,
  page: Bound,
  finish: Extract<Finish, { readonly _tag: "Groups" }>,
  { order, statement, width }: Packed
): Effect.Effect<ReadonlyArray<TextRow>, ShardError> =>
  Effect.suspend(() => {
    const max = valuesMax(options, request.merge)
    const values = PackedValues.make({ width, order, valuesMax: max })
    const asked: Request = { ...request, merge: { ...request.merge, statement } }
    let state: Either.Either<void, MergeProblem> = Either.void
    const add = ({ rows, truncated }: TextResult): void => {
      const hex = rows[0]?.[0] ?? null
      const isCut = truncated !== undefined || (hex !== null && PackedValues.imagesIn(hex, width) > max)
      if (isCut) state = Either.left(tooManyGroups(max))
      else if (hex !== null && Either.isRight(state)) state = values.add(hex)
    }
    return Effect.forEach(
      request.shards,
      (shard, place) =>
        Effect.map(textsOn(options, asked, page, shard, place, options.limits), ({ result }) => add(result)),
      { concurrency: options.policy.concurrency, discard: true }
    ).pipe(
      Effect.flatMap(() => {
        const number = Either.flatMap(state, values.count)
        if (Either.isLeft(number)) return Effect.fail(problem(number.left, finish))
        const row = finish.aggregates.map(() => String(number.right))
        const limit = limitOf(finish.page, page.amounts, RowOrder.make(finish.order, finish.kinds))
        return Effect.succeed(limit.take([row]))
      })
    )
  })

/**
 * Rows that repeat each other, or groups, in an order in which they need not be held.
 *
 * @since 0.1.0
 * @category functions
 */
export const sortedRows = (
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

/**
 * What becomes of the rows once they are merged.
 *
 * @since 0.1.0
 * @category models
 */
export interface Through<A> {
  readonly order: RowOrder.RowOrder
  /** The rows that are certain, from which it leaves; it does not keep their pages. */
  readonly take: (merge: PageMerge.PageMerge) => Either.Either<ReadonlyArray<A>, MergeProblem>
  /** What is left when all have gone through. */
  readonly end: () => Either.Either<ReadonlyArray<A>, MergeProblem>
  readonly done: () => boolean
}

/** @since 0.1.0 @category functions */
export const mergedRows = <A>(
  options: Options,
  request: Request,
  page: Bound,
  statement: Fragment,
  through: Through<A>
): Stream.Stream<A, ShardError> =>
  Stream.unwrapScoped(
    // Connections one after another: whoever has that of a shard waits for those of later shards only.
    Effect.map(
      Effect.forEach(request.shards, (shard, place) =>
        Effect.flatMap(pagesOf(options, shard, statement.sql, page.params(statement, place)), Stream.toPull)
      ),
      (pulls) => throughPulls(through, pulls, request.merge.finish)
    )
  )

type Pull<A> = Effect.Effect<Chunk.Chunk<A>, Option.Option<ShardError>>

/** Merges pages as they come, and asks only the shards without which it cannot go on. */
const throughPulls = <A>(
  through: Through<A>,
  pulls: ReadonlyArray<Pull<RowPage>>,
  finish: Finish
): Stream.Stream<A, ShardError> => {
  const merge = PageMerge.make(through.order, pulls.length)
  let ended = false
  const feed = (index: number): Effect.Effect<void, Option.Option<ShardError>> =>
    Effect.matchEffect(pulls[index]!, {
      onSuccess: (pages) =>
        Effect.sync(() => {
          for (const page of pages) merge.push(index, page)
        }),
      onFailure: (end) => (Option.isNone(end) ? Effect.sync(() => merge.end(index)) : Effect.fail(end))
    })
  const feedAll = ([first, ...others]: ReadonlyArray<number>): Effect.Effect<void, Option.Option<ShardError>> =>
    first !== undefined && others.length === 0
      ? feed(first)
      : Effect.forEach(first === undefined ? [] : [first, ...others], feed, { concurrency: "unbounded", discard: true })
  const pull: Pull<A> = Effect.suspend(() => {
    if (ended || through.done()) return Effect.fail(Option.none())
    const taken = through.take(merge)
    ended = merge.done()
    const all = ended ? Either.flatMap(taken, (rows) => Either.map(through.end(), (last) => joined(rows, last))) : taken
    if (Either.isLeft(all)) return Effect.fail(Option.some(problem(all.left, finish)))
    if (all.right.length > 0) return Effect.succeed(Chunk.unsafeFromArray(all.right))
    if (ended) return Effect.fail(Option.none())
    return Effect.zipRight(feedAll(merge.wanting()), pull)
  })
  return Stream.fromPull(Effect.succeed(pull) as Effect.Effect<Pull<A>, never, Scope.Scope>)
}

const joined = <A>(rows: ReadonlyArray<A>, last: ReadonlyArray<A>): ReadonlyArray<A> =>
  last.length === 0 ? rows : [...rows, ...last]

/**
 * Rows of which the page that is asked for is cut out, and nothing else is done: made one by one, when they leave.
 *
 * @since 0.1.0
 * @category functions
 */
export const throughCut = <A>(
  order: RowOrder.RowOrder,
  { limit = Infinity, offset }: Page.Amounts,
  make: (page: RowPage, row: number) => A
): Through<A> => {
  let skip = offset
  let left = limit
  return {
    order,
    take: (merge) => {
      if (skip > 0) skip -= merge.pull(() => {}, skip)
      const rows: Array<A> = []
      if (skip === 0) left -= merge.pull((page, row) => rows.push(make(page, row)), Math.min(left, chunkRows))
      return Either.right(rows)
    },
    end: () => Either.right([]),
    done: () => left <= 0
  }
}

/** Rows that leave together: few enough that they are used up, and their memory taken back, while they are young. */
const chunkRows = 1_000

/** Steps that look at whole rows, one chunk after the other. */
const throughSteps = (
  order: RowOrder.RowOrder,
  {
    done,
    end,
    take
  }: Pick<Through<TextRow>, "done" | "end"> & {
    readonly take: (rows: ReadonlyArray<TextRow>) => Either.Either<ReadonlyArray<TextRow>, MergeProblem>
  }
): Through<TextRow> => ({
  order,
  take: (merge) => {
    const rows: Array<TextRow> = []
    merge.pull((page, row) => rows.push(page.row(row)))
    return take(rows)
  },
  end,
  done
})

/** @since 0.1.0 @category functions */
export const throughRows = (
  options: Options,
  kinds: ReadonlyArray<ValueKind>,
  finish: Extract<Finish, { readonly _tag: "Rows" }>,
  keys: ReadonlyArray<SortKey>,
  amounts: Page.Amounts
): Through<TextRow> => {
  // Ties are those of the program's own keys.
  const limit = limitOf(finish.page, amounts, RowOrder.make(finish.order, kinds))
  const distinct = distinctOf(options, kinds, finish, keys)
  return throughSteps(RowOrder.make(keys, kinds), {
    take: (rows) => Either.map(distinct?.filter(rows) ?? Either.right(rows), limit.take),
    end: () => Either.right([]),
    done: limit.done
  })
}

const throughGroups = (
  { limits: { rowsMax } }: Options,
  { kinds }: Merge,
  finish: Extract<Finish, { readonly _tag: "Groups" }>,
  sorted: Sorted,
  amounts: Page.Amounts
): Through<TextRow> => {
  const { aggregates, keys } = finish
  const counted = sorted.order[keys.length]?.column
  const groups = SortedGroups.make({ aggregates, keys, kinds, counted, valuesMax: rowsMax })
  const order = RowOrder.make(sorted.order, sorted.kinds)
  const final = RowOrder.make(finish.order, finish.kinds)
  const limit = limitOf(finish.page, amounts, final)
  if (isSortedAlready(finish)) {
    return throughSteps(order, {
      take: (rows) => Either.map(groups.add(rows), limit.take),
      end: () => Either.map(groups.finish(), limit.take),
      done: limit.done
    })
  }
  const top = Top.make({
    order: final,
    rowsMax: Page.depth(amounts) ?? undefined,
    ties: finish.page?.withTies === true
  })
  const none: ReadonlyArray<TextRow> = []
  return throughSteps(order, {
    take: (rows) => Either.map(groups.add(rows), (complete) => (top.add(complete), none)),
    end: () => Either.map(groups.finish(), (last) => (top.add(last), limit.take(top.finish()))),
    done: () => false
  })
}

/**
 * The order that the groups come in is the one they are asked for.
 *
 * @since 0.1.0
 * @category functions
 */
export const isSortedAlready = ({ keys, order, sorted }: Extract<Finish, { readonly _tag: "Groups" }>): boolean =>
  order.every(({ column, descending, nullsFirst }, index) => {
    const key = sorted?.order[index]
    return (
      key !== undefined && key.column === keys[column] && key.descending === descending && key.nullsFirst === nullsFirst
    )
  })

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
