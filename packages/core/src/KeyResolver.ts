/**
 * Answers what the pure resolvers cannot: keys whose shard a directory or a function of the program knows.
 *
 * Enters: the `Ask`s of `Resolver`. Leaves: for each its shard, or none. Holds: asks of many fibers travel in shared
 * batches, and interrupting one of them disturbs no other; an answer is cached only if it is a registered shard, and
 * only if nothing was invalidated while it was under way. Custom functions are neither batched nor cached: their
 * program knows what may be.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import { Directory, type DirectoryService } from "./Directory.js"
import { type Batcher, makeBatcher } from "./internal/batcher.js"
import { type LruCache, makeLruCache } from "./internal/lruCache.js"
import * as LocalTransaction from "./LocalTransaction.js"
import * as ShardContext from "./ShardContext.js"
import { ResolveFailed, type ShardError, UnknownShard } from "./ShardError.js"
import type { KeyTuple } from "./topology/KeyValue.js"
import type { Owner } from "./topology/Resolver.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * A key that needs I/O to find its shard.
 *
 * @since 0.1.0
 * @category models
 */
export type Ask = Extract<Owner, { readonly _tag: "Ask" }>

/**
 * A function of the program behind `Keyspace.custom`. The key comes as canonical text, as `KeyValue` describes it. It
 * runs without the pinned shard and outside of the transaction of the statement that needs it.
 *
 * @since 0.1.0
 * @category models
 */
export type CustomResolver = (key: KeyTuple) => Effect.Effect<ShardId, ResolveFailed>

/**
 * @since 0.1.0
 * @category models
 */
export interface KeyResolverOptions {
  readonly directory: DirectoryService
  /** By the name that the keyspace gives. */
  readonly custom?: { readonly [name: string]: CustomResolver } | undefined
  /** The registered shards, read whenever a fresh answer arrives. Absent: any answer is believed. */
  readonly shards?: (() => ReadonlyArray<ShardId>) | undefined
  /** Most cached keys, over all directories; the least recently used goes first. 0: no cache. Default 100,000. */
  readonly cacheMax?: number | undefined
  /** How long an answer may be cached. Absent: until it is invalidated or falls out. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Most keys in one query to a directory. Default 1,000. */
  readonly batchKeysMax?: number | undefined
  /** Most queries to one directory at a time; keys asked meanwhile gather for the next. Default 4. */
  readonly batchesMax?: number | undefined
  /** How long a query to a directory may take before its askers get `ResolveFailed`. Default 30 seconds. */
  readonly lookupTimeout?: Duration.DurationInput | undefined
  /** Most custom functions that one `resolve` runs at a time. Default 16. */
  readonly customMax?: number | undefined
}

/**
 * Counters for tests and metrics. `hits` and `misses` count keys looked for in the cache, `batches` directory queries.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyResolverStats {
  readonly hits: number
  readonly misses: number
  readonly batches: number
  readonly cached: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface KeyResolverService {
  /**
   * One answer an ask, in their order; none where no shard holds the key. `ResolveFailed` names the resolver that is
   * unknown, late, or that answered a shard nobody registered; other errors are those of the directory's database.
   */
  readonly resolve: (asks: ReadonlyArray<Ask>) => Effect.Effect<ReadonlyArray<Option.Option<ShardId>>, ShardError>
  /** The cached answer, without an Effect. `undefined`: not known here, ask `resolve`. */
  readonly resolveCached: (ask: Ask) => ShardId | undefined
  /** Forgets a key, a directory, or everything. What is under way then is answered, but not cached. */
  readonly invalidate: (directory?: string, key?: KeyTuple) => void
  readonly stats: () => KeyResolverStats
}

/**
 * @since 0.1.0
 * @category tags
 */
export class KeyResolver extends Context.Tag("@shardlayer/core/KeyResolver")<KeyResolver, KeyResolverService>() {}

/**
 * Batches run in fibers of their own, in the context that `make` saw: never in the transaction, the span or under the
 * pinned shard of whoever asked first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: KeyResolverOptions): Effect.Effect<KeyResolverService> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const runtime = yield* Effect.runtime()
    const cache = makeLruCache<ShardId>({
      entriesMax: options.cacheMax ?? 100_000,
      timeToLiveMillis: options.timeToLive === undefined ? Infinity : Duration.toMillis(options.timeToLive),
      nowMillis: () => clock.unsafeCurrentTimeMillis()
    })
    const lookups = makeLookups(options, cache, (effect) => void Runtime.runFork(runtime)(effect))
    const custom = makeCustom(options)
    let hits = 0
    let misses = 0

    const resolveCached = (ask: Ask): ShardId | undefined => {
      if (ask.resolver._tag === "Custom") return undefined
      const shard = cache.get(ask.resolver.directory, textOf(ask.key))
      if (shard === undefined) misses++
      else hits++
      return shard
    }

    const resolve: KeyResolverService["resolve"] = (asks) =>
      Effect.suspend(() => {
        const answers = asks.map((ask) => Option.fromNullable(resolveCached(ask)))
        const answer: Answer = (index, shard) => void (answers[index] = shard)
        const open = openAsks(asks, answers)
        // One kind alone, the usual case, runs without sibling fibers: a failure stays a plain failure.
        const stages = [
          ...(open.lookups.length === 0 ? [] : [lookups.resolve(open.lookups, answer)]),
          ...(open.customs.length === 0 ? [] : [custom.resolve(open.customs, answer)])
        ]
        return Effect.as(Effect.all(stages, { concurrency: stages.length > 1 ? 2 : 1, discard: true }), answers)
      })

    return {
      resolve,
      resolveCached,
      invalidate: lookups.invalidate,
      stats: () => ({ hits, misses, batches: lookups.batches(), cached: cache.size() })
    }
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Omit<KeyResolverOptions, "directory">): Layer.Layer<KeyResolver, never, Directory> =>
  Layer.effect(
    KeyResolver,
    Effect.flatMap(Directory, (directory) => make({ ...options, directory }))
  )

/** A question with its place among the answers. */
interface Open {
  /** The directory or the custom resolver. */
  readonly name: string
  readonly key: KeyTuple
  readonly index: number
}

const openAsks = (asks: ReadonlyArray<Ask>, answers: ReadonlyArray<Option.Option<ShardId>>) => {
  const lookups: Array<Open> = []
  const customs: Array<Open> = []
  asks.forEach(({ key, resolver }, index) => {
    const cached = answers[index]
    if (cached !== undefined && Option.isSome(cached)) return
    if (resolver._tag === "Lookup") lookups.push({ name: resolver.directory, key, index })
    else customs.push({ name: resolver.name, key, index })
  })
  return { lookups, customs }
}

type Answer = (index: number, shard: Option.Option<ShardId>) => void

interface DirectoryState {
  readonly batcher: Batcher<KeyTuple, Option.Option<ShardId>, ShardError>
  /** Counts invalidations: answers of an earlier generation are not cached. */
  generation: number
}

const makeLookups = (
  options: KeyResolverOptions,
  cache: LruCache<ShardId>,
  fork: (effect: Effect.Effect<void>) => void
) => {
  const states = new Map<string, DirectoryState>()
  let batches = 0

  const stateOf = (directory: string): DirectoryState => {
    const known = states.get(directory)
    if (known !== undefined) return known
    const state: DirectoryState = {
      generation: 0,
      batcher: makeBatcher({
        run: (keys) => runBatch(state, directory, keys),
        keyText: textOf,
        fork,
        keysMax: options.batchKeysMax ?? 1_000,
        batchesMax: options.batchesMax ?? 4
      })
    }
    states.set(directory, state)
    return state
  }

  const runBatch = (state: DirectoryState, directory: string, keys: ReadonlyArray<KeyTuple>) =>
    Effect.suspend(() => {
      batches++
      const { generation } = state
      return Effect.tap(lookup(options, directory, keys), (shards) => {
        if (state.generation === generation) remember(options, cache, { directory, keys, shards })
      })
    })

  const invalidate: KeyResolverService["invalidate"] = (directory, key) => {
    for (const [name, state] of states) if (directory === undefined || name === directory) state.generation++
    if (directory === undefined) return cache.clear()
    if (key === undefined) return cache.deleteGroup(directory)
    cache.delete(directory, textOf(key))
  }

  return {
    resolve: (open: ReadonlyArray<Open>, answer: Answer) =>
      awaitAnswers(options, (directory) => stateOf(directory).batcher, open, answer),
    invalidate,
    batches: () => batches
  }
}

/** One query to the directory. In bounded time: a few that never end would hold all of `batchesMax`, and later asks. */
const lookup = (
  options: KeyResolverOptions,
  directory: string,
  keys: ReadonlyArray<KeyTuple>
): Effect.Effect<ReadonlyArray<Option.Option<ShardId>>, ShardError> => {
  const duration = Duration.decode(options.lookupTimeout ?? "30 seconds")
  return options.directory.lookup(directory, keys).pipe(
    Effect.timeoutFail({
      duration,
      onTimeout: () =>
        new ResolveFailed({ resolver: directory, reason: `no answer within ${Duration.toMillis(duration)} ms` })
    }),
    Effect.filterOrDieMessage(
      (shards) => shards.length === keys.length,
      `directory ${directory} did not answer each of ${keys.length} keys`
    ),
    Effect.withSpan("shardlayer.directory.lookup", {
      root: true,
      attributes: { "shardlayer.directory": directory, "shardlayer.keys": keys.length },
      captureStackTrace: false
    })
  )
}

const remember = (
  options: KeyResolverOptions,
  cache: LruCache<ShardId>,
  found: {
    readonly directory: string
    readonly keys: ReadonlyArray<KeyTuple>
    readonly shards: ReadonlyArray<Option.Option<ShardId>>
  }
): void =>
  found.shards.forEach((shard, index) => {
    const key = found.keys[index]
    if (key === undefined || Option.isNone(shard) || !isRegistered(options, shard.value)) return
    cache.set(found.directory, textOf(key), shard.value)
  })

/** Asks the batchers, and waits until each has answered or one has failed. Whoever stops waiting leaves them all. */
const awaitAnswers = (
  options: KeyResolverOptions,
  batcherOf: (directory: string) => DirectoryState["batcher"],
  open: ReadonlyArray<Open>,
  answer: Answer
): Effect.Effect<void, ShardError> =>
  Effect.async<void, ShardError>((resume) => {
    let missing = open.length
    const leaveAll = () => leave.forEach((leaveOne) => leaveOne())
    const fail = (failure: Effect.Effect<never, ShardError>) => {
      leaveAll()
      resume(failure)
    }
    const leave = open.map(({ index, key, name }) =>
      batcherOf(name).ask(key, (exit) => {
        if (Exit.isFailure(exit)) return fail(Effect.failCause(exit.cause))
        const refusal = Option.flatMap(exit.value, (shard) => unregistered(options, name, key, shard))
        if (Option.isSome(refusal)) return fail(Effect.fail(refusal.value))
        answer(index, exit.value)
        if (--missing === 0) resume(Effect.void)
      })
    )
    return Effect.sync(leaveAll)
  })

const makeCustom = (options: KeyResolverOptions) => {
  const functions = new Map(Object.entries(options.custom ?? {}))

  const resolveOne = (name: string, key: KeyTuple): Effect.Effect<ShardId, ResolveFailed> => {
    const resolver = functions.get(name)
    if (resolver === undefined) {
      const known = [...functions.keys()].join(", ") || "none"
      return Effect.fail(
        new ResolveFailed({ resolver: name, reason: `no custom resolver of this name was given; there are: ${known}` })
      )
    }
    return resolver(key).pipe(
      ShardContext.cleared,
      LocalTransaction.withoutTransaction,
      Effect.tap((shard) => Option.getOrElse(unregistered(options, name, key, shard), () => Effect.void))
    )
  }

  const resolve = (open: ReadonlyArray<Open>, answer: Answer): Effect.Effect<void, ShardError> =>
    Effect.forEach(
      open,
      ({ index, key, name }) => Effect.map(resolveOne(name, key), (shard) => answer(index, Option.some(shard))),
      { concurrency: open.length > 1 ? (options.customMax ?? 16) : 1, discard: true }
    )

  return { resolve }
}

const isRegistered = (options: KeyResolverOptions, shard: ShardId): boolean =>
  options.shards === undefined || options.shards().includes(shard)

/** The refusal of an answer that names a shard nobody registered. */
const unregistered = (
  options: KeyResolverOptions,
  resolver: string,
  key: KeyTuple,
  shard: ShardId
): Option.Option<ResolveFailed> => {
  if (isRegistered(options, shard)) return Option.none()
  const cause = new UnknownShard({ shard, known: options.shards?.() ?? [] })
  const parts = key.map((part) => part ?? "NULL").join(", ")
  return Option.some(new ResolveFailed({ resolver, reason: `its answer for key (${parts}): ${cause.message}`, cause }))
}

/**
 * The key as one string, equal for equal keys only; of one column the column itself. PostgreSQL has no text with a NUL,
 * so a NUL can tell the parts apart, and NULL from any text.
 */
const textOf = (key: KeyTuple): string => {
  const [first] = key
  if (key.length === 1) return first ?? "\u0000"
  return key.map((part) => (part === null ? "\u0000n" : `\u0000v${part}`)).join("")
}
