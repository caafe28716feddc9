/**
 * Many rows gathered of which few can be joined: the keys of the small side first, then only the rows that have one.
 *
 * Enters: a request whose plan has a `Reduction`. Leaves: the shards' rows, perhaps without some that cannot matter.
 * Holds: it begins as any gather; only where that is more than a gather is staged for it is given up, and begun anew in
 * one snapshot a shard. Sources are asked in rounds: a scan that keys have made small may be a source for others then.
 * Keys that are too many are left out, and if all are, the whole is gathered, in the snapshot that is there.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { upTo } from "../internal/sideBySide.js"
import type { Fragment, Reduction } from "../plan/Merge.js"
import * as ShardCall from "../ShardCall.js"
import type { ShardSession, TextBound, TextResult } from "../ShardConnection.js"
import type { ShardError } from "../ShardError.js"
import { type Bound, first, type Given, type Options, paramsOf, type Reducing, type Request } from "./Parts.js"
import * as Parts from "./Parts.js"

/** @since 0.1.0 @category functions */
export const texts = (
  options: Options,
  request: Request,
  page: Bound,
  reduction: Reduction
): Effect.Effect<ReadonlyArray<Given>, ShardError> => {
  const { limits, policy } = options
  const few: TextBound = {
    rowsMax: Math.min(limits.rowsMax, limits.reducedMin),
    bytesMax: limits.bytesMax,
    cancels: true
  }
  const whole = upTo(policy.concurrency, request.shards, (shard, place) =>
    Effect.filterOrFail(
      Parts.textsOn(options, request, page, shard, place, few),
      ({ result }) => result.truncated === undefined,
      () => new ManyRows()
    )
  ).pipe(
    // Few of each shard can be too many together.
    Effect.filterOrFail(
      (given) => isWithin(limits, given),
      () => new ManyRows()
    )
  )
  return Effect.catchIf(
    whole,
    (error) => error._tag === "ManyRows",
    () => ShardCall.repeated({ policy, access: "read" }, reduced(options, request, page, reduction))
  )
}

/** Worth a second try: what is under way on the other shards is given up. */
class ManyRows extends Data.TaggedError("ManyRows") {}

const isWithin = ({ bytesMax, rowsMax }: TextBound, given: ReadonlyArray<Given>): boolean =>
  given.reduce((sum, { result }) => sum + result.rows.length, 0) <= rowsMax &&
  given.reduce((sum, { result }) => sum + result.bytes, 0) <= bytesMax

/** All that one shard is asked sees one snapshot: a row without a key then has none in its rows either. */
const reduced = (
  options: Options,
  request: Request,
  page: Bound,
  reduction: Reduction
): Effect.Effect<ReadonlyArray<Given>, ShardError> => {
  const { limits, policy } = options
  const { shards } = request
  return Effect.scoped(
    Effect.gen(function* () {
      const sessions = yield* Parts.snapshots(options, shards)
      const onAll = <A>(
        use: (session: ShardSession, place: number) => Effect.Effect<A, ShardError>
      ): Effect.Effect<ReadonlyArray<A>, ShardError> =>
        upTo(policy.concurrency, sessions, (session, place) =>
          ShardCall.limited({ shard: shards[place] ?? first(shards), policy, access: "read" }, use(session, place))
        )
      const ask: Ask = (fragment, reducing, bound) =>
        onAll((session, place) =>
          session.executeText(
            fragment.sql,
            paramsOf(fragment, { request, amounts: page.amounts, now: page.now, place, rows: [], reducing }),
            bound
          )
        )
      const keys = yield* keysOf(ask, reduction, limits)
      const results = yield* ask(reduction.statement, keys, limits)
      yield* onAll((session) => session.rollback)
      return results.map((result, place) => ({ shard: shards[place] ?? first(shards), result }))
    })
  )
}

/** A statement on each shard, with what is known of the keys. */
type Ask = (
  fragment: Fragment,
  reducing: Reducing,
  bound: TextBound
) => Effect.Effect<ReadonlyArray<TextResult>, ShardError>

/** Key sets only shrink from round to round, and each round that goes on has made one smaller; few rounds do most of it. */
const keysOf = (
  ask: Ask,
  { edges, keys: statement, sources }: Reduction,
  { bytesMax, keysMax }: Options["limits"]
): Effect.Effect<Reducing, ShardError> =>
  Effect.gen(function* () {
    const keys: Array<ReadonlyArray<string> | undefined> = sources.map(() => undefined)
    let asked: ReadonlySet<number> = new Set(sources.keys())
    const reducing = (): Reducing => ({ keys, asked, keysMax, rowsMax: keysMax * rowsPerKey })
    for (let round = 0; asked.size > 0 && round < sources.length; round++) {
      const results = yield* ask(statement, reducing(), { rowsMax: Infinity, bytesMax })
      if (results.some(({ truncated }) => truncated !== undefined)) break
      const smaller = new Set<number>()
      for (const source of asked) {
        const found = fewKeys(results, source, reducing())
        if (found === undefined || found.length >= (keys[source]?.length ?? Infinity)) continue
        keys[source] = found
        smaller.add(source)
      }
      asked = worthAsking({ edges, sources }, keys, smaller)
    }
    return reducing()
  })

/**
 * The sources whose scan became smaller, if that could make another scan smaller than it is by now. What made the scan
 * itself small is no news to where that came from.
 */
const worthAsking = (
  { edges, sources }: Pick<Reduction, "edges" | "sources">,
  keys: ReadonlyArray<ReadonlyArray<string> | undefined>,
  smaller: ReadonlySet<number>
): ReadonlySet<number> => {
  const scanOf = (source: number): number | undefined => sources[source]?.scan
  const fewest = (scan: number | undefined, besides: number | undefined): number =>
    edges.reduce(
      (least, edge) =>
        edge.scan === scan && scanOf(edge.source) !== besides
          ? Math.min(least, keys[edge.source]?.length ?? Infinity)
          : least,
      Infinity
    )
  const shrunk = new Set(edges.flatMap(({ scan, source }) => (smaller.has(source) ? [scan] : [])))
  const worth = edges.flatMap(({ scan, source }) => {
    const own = scanOf(source)
    const isNews = own !== undefined && shrunk.has(own) && fewest(scan, undefined) > fewest(own, scan)
    return isNews ? [source] : []
  })
  return new Set(worth)
}

/**
 * Rows of a source that are looked at on one shard, a key that may be sent. More of them are no small side, and looking
 * for keys in all of them would take as long as gathering them.
 */
const rowsPerKey = 10

/** What the shards gave for a source; undefined where one of them stopped early, or all together gave too many. */
const fewKeys = (
  results: ReadonlyArray<TextResult>,
  source: number,
  { keysMax, rowsMax }: Reducing
): ReadonlyArray<string> | undefined => {
  const tag = String(source)
  const all = new Set<string>()
  for (const { rows } of results) {
    let seen = 0
    for (const [of, key, count] of rows) {
      if (of !== tag) continue
      seen += Number(count)
      all.add(key ?? "")
    }
    if (seen > rowsMax || all.size > keysMax) return undefined
  }
  return [...all]
}
