/**
 * Draws ids: what the columns of a topology's `generate` get.
 *
 * Enters: a generator, how many. Leaves: that many ids as text, in ascending order, none of them drawn before. Holds: as
 * long as a lease or a block lasts nothing is waited for; the next one is fetched before it ends, once for all that need
 * it, outside of the caller's transaction; a draw waits `waitMillis` at most, then fails with `IdsUnavailable`. Time is
 * the store's, carried on by a clock that does not go back: the machine's own time is not asked.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { type Family, IdStore, type IdStoreService } from "./IdStore.js"
import * as GlobalId from "./protocol/GlobalId.js"
import * as IdLease from "./protocol/IdLease.js"
import { IdsUnavailable, type ShardError } from "./ShardError.js"
import type * as Id from "./topology/Id.js"
import * as IdLayout from "./topology/IdLayout.js"

/** @since 0.1.0 @category models */
export interface Options {
  /**
   * How long a node number is leased, and how far ahead ids may be made. A process that crashes keeps its number so long.
   * Default 60,000.
   */
  readonly leaseMillis?: number | undefined
  /** How long a draw waits for the meta database, or for time to pass. Default 5,000. */
  readonly waitMillis?: number | undefined
}

/** @since 0.1.0 @category models */
export interface IdsService {
  /** `name` is that of a sequence: `Id.sequenceName`. */
  readonly draw: (
    generator: Id.Generator,
    name: string,
    count: number
  ) => Effect.Effect<ReadonlyArray<string>, ShardError>
}

/** @since 0.1.0 @category tags */
export class Ids extends Context.Tag("@shardlayer/core/Ids")<Ids, IdsService>() {}

/** @since 0.1.0 @category constructors */
export const make = (options: Options = {}): Effect.Effect<IdsService, never, IdStore | Scope.Scope> =>
  Effect.gen(function* () {
    const store = yield* IdStore
    const clock = yield* Effect.clock
    const { leaseMillis = 60_000, waitMillis = 5_000 } = options
    let isClosed = false
    const terms: Terms = {
      store,
      clock,
      leaseMillis,
      waitMillis,
      holder: GlobalId.newName(GlobalId.transactionLength, randomFill),
      fork: yield* forking,
      isClosed: () => isClosed
    }
    const snowflake = yield* leased(terms, "snowflake", IdLayout.snowflake)
    const safeSnowflake = yield* leased(terms, "safeSnowflake", IdLayout.safeSnowflake)
    // Ahead of all other finalizers.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
      })
    )
    const uuids = uuidSource(clock)
    const sequences = new Map<string, Source>()
    const sequenceOf = (generator: Id.Sequence, name: string): Source => {
      const known = sequences.get(name) ?? sequenceSource(terms, generator, name)
      sequences.set(name, known)
      return known
    }
    return {
      draw: (generator, name, count) =>
        Effect.suspend(() => {
          switch (generator._tag) {
            case "Snowflake":
              return drawn(terms, snowflake, count)
            case "SafeSnowflake":
              return drawn(terms, safeSnowflake, count)
            case "Uuidv7":
              return Effect.succeed(uuids(count))
            case "Sequence":
              return drawn(terms, sequenceOf(generator, name), count)
          }
        })
    }
  })

/** @since 0.1.0 @category layers */
export const layer = (options?: Options): Layer.Layer<Ids, never, IdStore> => Layer.scoped(Ids, make(options))

interface Terms {
  readonly store: IdStoreService
  readonly clock: Clock.Clock
  readonly leaseMillis: number
  readonly waitMillis: number
  readonly holder: string
  /** Runs beside the fibers that wait, of which any may be interrupted. */
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.RuntimeFiber<A>
  /** Nodes are given back, and nothing is fetched any more. */
  readonly isClosed: () => boolean
}

/** Their end is not waited for: the database that they wait for may be gone. */
const forking: Effect.Effect<Terms["fork"], never, Scope.Scope> = Effect.gen(function* () {
  const run = Runtime.runFork(yield* Effect.runtime())
  const running = new Set<Fiber.RuntimeFiber<unknown>>()
  yield* Effect.addFinalizer(() => Effect.forEach(running, Fiber.interruptFork, { discard: true }))
  return (effect) => {
    const fiber = run(effect)
    running.add(fiber)
    fiber.addObserver(() => running.delete(fiber))
    return fiber
  }
})

/** Where ids come from, at once, as far as the last lease or block goes. */
interface Source {
  readonly name: string
  readonly take: (count: number) => ReadonlyArray<string>
  /** It is time to fetch more. */
  readonly isLow: () => boolean
  /** Fetches more: one at a time, however many wait. `count` are missing. */
  readonly refill: (count: number) => Deferred.Deferred<void, ShardError>
  /** Filled and empty again, it is filled once more after so long: what is missing is time, or a block that others took. */
  readonly pauseMillis: number
  /** Why there may be nothing to take although it was filled just now. */
  readonly spent: string
}

const drawn = (terms: Terms, source: Source, count: number): Effect.Effect<ReadonlyArray<string>, ShardError> => {
  const ids = source.take(count)
  if (ids.length === count) {
    if (source.isLow()) source.refill(0)
    return Effect.succeed(ids)
  }
  return awaited(terms, source, count, [...ids])
}

/** What is missing after the last lease or block: of the next one, or of those that follow as time passes. */
const awaited = (
  { waitMillis }: Terms,
  source: Source,
  count: number,
  ids: Array<string>
): Effect.Effect<ReadonlyArray<string>, ShardError> => {
  let isSpent = false
  const round: Effect.Effect<ReadonlyArray<string>, ShardError> = Effect.suspend(() =>
    Effect.flatMap(Deferred.await(source.refill(count - ids.length)), () => {
      const more = source.take(count - ids.length)
      for (const id of more) ids.push(id)
      if (ids.length === count) {
        if (source.isLow()) source.refill(0)
        return Effect.succeed(ids)
      }
      isSpent = more.length === 0
      return isSpent && source.pauseMillis > 0
        ? Effect.zipRight(Effect.sleep(Duration.millis(source.pauseMillis)), round)
        : round
    })
  )
  return Effect.timeoutFail(round, {
    duration: Duration.millis(waitMillis),
    onTimeout: () =>
      new IdsUnavailable(
        isSpent
          ? { generator: source.name, kind: "TooFast", reason: source.spent }
          : {
              generator: source.name,
              kind: "MetaUnreachable",
              reason: `the meta database did not answer within ${waitMillis} ms`
            }
      )
  })
}

/** One fetch at a time: who comes meanwhile waits for the one that runs. */
const single = (terms: Terms, name: string, fetch: Effect.Effect<void, ShardError>) => {
  let running: Deferred.Deferred<void, ShardError> | undefined
  return (): Deferred.Deferred<void, ShardError> => {
    if (running !== undefined) return running
    const done = Deferred.unsafeMake<void, ShardError>(FiberId.none)
    if (terms.isClosed()) {
      Deferred.unsafeDone(done, Effect.fail(closed(name)))
      return done
    }
    running = done
    const bounded = fetch.pipe(
      Effect.mapError((error) => unreachable(name, error)),
      // A fetch that hangs makes room for another, which may have more luck.
      Effect.timeoutFail({
        duration: Duration.millis(2 * terms.waitMillis),
        onTimeout: () =>
          new IdsUnavailable({
            generator: name,
            kind: "MetaUnreachable",
            reason: `the meta database did not answer within ${2 * terms.waitMillis} ms`
          })
      }),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          running = undefined
          Deferred.unsafeDone(done, Exit.isSuccess(exit) ? Effect.void : Effect.failCause(exit.cause))
        })
      )
    )
    terms.fork(Effect.ignore(bounded))
    return done
  }
}

const closed = (generator: string): IdsUnavailable =>
  new IdsUnavailable({ generator, kind: "MetaUnreachable", reason: "the router has ended" })

const unreachable = (generator: string, error: ShardError): ShardError => {
  switch (error._tag) {
    case "ShardUnavailable":
    case "AcquireTimeout":
    case "StatementFailed":
    case "ShardTimeout":
      return new IdsUnavailable({ generator, kind: "MetaUnreachable", reason: error.message, cause: error })
    default:
      return error
  }
}

/** A lease as a process sees it; its own clock counts from the answer on. */
interface Held {
  readonly span: IdLease.Span
  readonly storeMillis: number
  readonly answeredMillis: number
  /** Beyond it the number may be somebody else's. Counted from before the lease was asked for. */
  readonly deadlineMillis: number
}

/** Gives its node number back at the end of the scope. */
const leased = (terms: Terms, family: Family, layout: IdLayout.Layout): Effect.Effect<Source, never, Scope.Scope> => {
  const { clock, holder, leaseMillis, store } = terms
  const monotonic = (): number => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
  let held: Held | undefined
  let last: IdLease.Last | undefined
  const fetch = Effect.suspend(() => {
    const askedMillis = monotonic()
    const request = { family, holder, leaseMillis, nodes: IdLayout.nodes(layout), node: held?.span.node }
    return Effect.map(store.lease(request), (lease) => {
      const span = IdLease.span(layout, lease)
      held = {
        // Leased again, what is left of the old span is its own as well.
        span: {
          ...span,
          fromTick: held?.span.node === span.node ? Math.min(held.span.fromTick, span.fromTick) : span.fromTick
        },
        storeMillis: lease.nowMillis,
        answeredMillis: monotonic(),
        deadlineMillis: askedMillis + leaseMillis
      }
    })
  })
  const refill = single(terms, family, fetch)
  const nowMillis = ({ answeredMillis, storeMillis }: Held): number => storeMillis + monotonic() - answeredMillis
  const source: Source = {
    name: family,
    take: (count) => {
      if (held === undefined || terms.isClosed() || monotonic() >= held.deadlineMillis) return []
      const taken = IdLease.take(layout, held.span, last, nowMillis(held), count)
      last = taken.last
      return taken.ids
    },
    isLow: () => {
      if (held === undefined) return true
      const ahead = held.span.untilTick - Math.max(last?.tick ?? 0, IdLayout.tickOf(layout, nowMillis(held)))
      return monotonic() > held.deadlineMillis - leaseMillis / 2 || ahead * layout.tickMillis < leaseMillis / 2
    },
    refill,
    // A clock that has to move on.
    pauseMillis: 25,
    spent: `all ids of the next ${leaseMillis} ms are used up: ${IdLayout.perTick(layout)} in ${layout.tickMillis} ms`
  }
  const release = Effect.suspend(() => {
    if (held === undefined) return Effect.void
    const { fromTick, node } = held.span
    const tick = last?.node === node ? Math.max(fromTick, last.tick + 1) : fromTick
    return store.release({ family, holder, node, untilMillis: IdLayout.millisOf(layout, tick) })
  })
  // A finalizer cannot be interrupted; what it waits for, elsewhere, can.
  const released = Effect.suspend(() => Fiber.await(terms.fork(Effect.ignore(release))))
  return Effect.as(
    Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(released), Duration.millis(releaseMillis))),
    source
  )
}

const releaseMillis = 1_000

interface Block {
  next: bigint
  readonly end: bigint
}

const sequenceSource = (terms: Terms, { block, start }: Id.Sequence, name: string): Source => {
  const blocks: Array<Block> = []
  let missing = 0
  const left = (): number => blocks.reduce((sum, { end, next }) => sum + Number(end - next), 0)
  const fetch = Effect.suspend(() => {
    const count = Math.max(block, missing)
    missing = 0
    return Effect.map(terms.store.allocate(name, start, count), (first) => {
      blocks.push({ next: BigInt(first), end: BigInt(first) + BigInt(count) })
    })
  })
  const refill = single(terms, name, fetch)
  return {
    name,
    take: (count) => {
      const ids: Array<string> = []
      while (ids.length < count && blocks[0] !== undefined) {
        const [first] = blocks
        ids.push(first.next.toString())
        first.next += 1n
        if (first.next === first.end) blocks.shift()
      }
      return ids
    },
    isLow: () => left() <= block / 5,
    refill: (count) => {
      missing = Math.max(missing, count)
      return refill()
    },
    pauseMillis: 0,
    spent: `other statements use up its blocks of ${block} as they come`
  }
}

const uuidSource = (clock: Clock.Clock) => {
  const { uuidRandomBytes } = IdLayout
  const pool = new Uint8Array(uuidRandomBytes * 256)
  let used = pool.length
  let state: IdLayout.UuidState | undefined
  const one = (): string => {
    if (used === pool.length) {
      randomFill(pool)
      used = 0
    }
    const random = pool.subarray(used, used + uuidRandomBytes)
    used += uuidRandomBytes
    const [id, next] = IdLayout.nextUuid(state, clock.unsafeCurrentTimeMillis(), random)
    state = next
    return id
  }
  return (count: number): ReadonlyArray<string> => Array.from({ length: count }, one)
}

/** Every runtime has it; the types of core know no runtime. */
const { crypto } = globalThis as unknown as {
  readonly crypto: { readonly getRandomValues: (bytes: Uint8Array) => Uint8Array }
}

const randomFill = (bytes: Uint8Array): Uint8Array => crypto.getRandomValues(bytes)
