/**
 * Answers that were given before, for as long as whoever asks takes them for good, and until their tables change.
 *
 * Enters: a key that stands for one answer, the `Reactivity` keys it depends on, how old it may be, the read itself.
 * Leaves: rows of the caller's own. Holds: a read that began before an invalidation is never kept after it, nor joined;
 * callers of one key share one read, which goes on until the last of them has left; failures are given to all who wait
 * and kept for nobody; entries, and the rows of each, are bounded.
 *
 * Effect's `Cache` is not what this stands on: there an entry that is invalidated while its lookup is under way comes back
 * when that ends, the lookup runs in the fiber that came first and fails for all others when that one is interrupted, and
 * the age belongs to the entry, not to who asks.
 *
 * @since 0.1.0
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { type LruCache, makeLruCache } from "./internal/lruCache.js"
import { copyRows } from "./internal/rowCopy.js"

/**
 * Of reads that fail with `E`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResultCache<E> {
  readonly get: <R>(asked: Asked, read: Effect.Effect<Rows, E, R>) => Effect.Effect<Rows, E, R>
  readonly stats: () => Stats
}

/** @since 0.1.0 @category models */
export type Rows = ReadonlyArray<unknown>

/** @since 0.1.0 @category models */
export interface Asked {
  /** Equal for equal answers. Under one that is too long to keep (`keyUnitsMax`) callers still share their reads. */
  readonly key: string
  /** What invalidates the answer. Each stands there once. */
  readonly dependsOn: ReadonlyArray<string>
  /** How long ago the read of an answer may have begun. */
  readonly timeToLiveMillis: number
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly reactivity: Reactivity.Reactivity.Service
  /** The least recently used goes first. 0: nothing is kept, reads are shared. */
  readonly entriesMax: number
  /** Answers of more rows are given, and not kept. */
  readonly rowsMax: number
}

/**
 * Counters for tests and metrics. A caller is a hit (an answer that was kept), joined (a read that was under way) or a
 * miss.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stats {
  readonly entries: number
  readonly hits: number
  readonly joined: number
  readonly misses: number
  /** Answers that went because there were too many. */
  readonly evictions: number
  /** Answers and reads that went because of what they depend on. */
  readonly invalidations: number
}

/**
 * The longest key that is kept, in UTF-16 code units: text and parameters.
 *
 * @since 0.1.0
 * @category constants
 */
export const keyUnitsMax = 65_536

/** @since 0.1.0 @category constructors */
export const make = <E>(options: Options): ResultCache<E> => new Results<E>(options)

/** A read under way, or the answer that came of it. */
class Entry<E> {
  waiting = 1
  isShared = false
  hasEnded = false
  reader: Fiber.RuntimeFiber<void> | undefined
  rows: Rows | undefined
  /** Takes it out of `Reactivity`. Undefined: that was done, and nobody may find this entry any more. */
  unregister: (() => void) | undefined
  readonly answer = Deferred.unsafeMake<Rows, E>(FiberId.none)

  constructor(
    readonly key: string,
    readonly beganMillis: number
  ) {}
}

/** The cache of answers has one group. */
const group = ""

class Results<E> implements ResultCache<E> {
  private readonly kept: LruCache<Entry<E>>
  private readonly reads = new Map<string, Entry<E>>()
  private hits = 0
  private joined = 0
  private misses = 0
  private evictions = 0
  private invalidations = 0

  constructor(private readonly options: Options) {
    this.kept = makeLruCache<Entry<E>>({
      entriesMax: options.entriesMax,
      // How old is too old, each caller says.
      timeToLiveMillis: Infinity,
      nowMillis: () => 0,
      onEvict: (entry) => {
        this.evictions++
        this.forget(entry)
      }
    })
  }

  readonly get = <R>(asked: Asked, read: Effect.Effect<Rows, E, R>): Effect.Effect<Rows, E, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.withFiberRuntime<Rows, E, R>((fiber) => {
        const nowMillis = Context.get(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeMillis()
        const rows = this.keptFor(asked, nowMillis)
        if (rows !== undefined) return Effect.succeed(copyRows(rows))
        const under = this.reads.get(asked.key)
        const entry = under === undefined ? this.begin(asked, nowMillis) : this.join(under)
        const own = Effect.map(Deferred.await(entry.answer), (found) => (entry.isShared ? copyRows(found) : found))
        const waiting = Effect.ensuring(restore(own), this.leave(entry))
        return under === undefined ? Effect.zipRight(this.start(entry, read), waiting) : waiting
      })
    )

  readonly stats: ResultCache<E>["stats"] = () => ({
    entries: this.kept.size(),
    hits: this.hits,
    joined: this.joined,
    misses: this.misses,
    evictions: this.evictions,
    invalidations: this.invalidations
  })

  private keptFor({ key, timeToLiveMillis }: Asked, nowMillis: number): Rows | undefined {
    const entry = this.kept.get(group, key)
    if (entry === undefined) return undefined
    if (nowMillis - entry.beganMillis < timeToLiveMillis) {
      this.hits++
      return entry.rows
    }
    this.forget(entry)
    return undefined
  }

  /** Registered before anything is read: what changes from now on is noticed. */
  private begin({ dependsOn, key }: Asked, nowMillis: number): Entry<E> {
    const entry = new Entry<E>(key, nowMillis)
    this.misses++
    this.reads.set(key, entry)
    entry.unregister = this.options.reactivity.unsafeRegister(dependsOn, () => {
      this.invalidations++
      this.forget(entry)
    })
    return entry
  }

  private join(entry: Entry<E>): Entry<E> {
    this.joined++
    entry.waiting++
    entry.isShared = true
    return entry
  }

  /** In a fiber of its own, which outlives the caller that came first if others wait. */
  private start<R>(entry: Entry<E>, read: Effect.Effect<Rows, E, R>): Effect.Effect<void, never, R> {
    const reading = Effect.flatMap(Effect.exit(Effect.interruptible(read)), (exit) =>
      Effect.sync(() => this.end(entry, exit))
    )
    return Effect.map(Effect.forkDaemon(reading), (reader) => {
      entry.reader = reader
    })
  }

  private end(entry: Entry<E>, exit: Exit.Exit<Rows, E>): void {
    if (Exit.isSuccess(exit) && this.isKept(entry, exit.value)) {
      entry.rows = exit.value
      entry.isShared = true
      this.reads.delete(entry.key)
      this.kept.set(group, entry.key, entry)
    } else {
      this.forget(entry)
    }
    entry.hasEnded = true
    Deferred.unsafeDone(entry.answer, exit)
  }

  private isKept({ key, unregister }: Entry<E>, rows: Rows): boolean {
    const { entriesMax, rowsMax } = this.options
    return unregister !== undefined && entriesMax > 0 && rows.length <= rowsMax && key.length <= keyUnitsMax
  }

  /** The last to leave a read ends it, and waits until the server has let go, as without a cache. */
  private leave(entry: Entry<E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      entry.waiting--
      if (entry.waiting > 0 || entry.hasEnded) return Effect.void
      this.forget(entry)
      return entry.reader === undefined ? Effect.void : Fiber.interrupt(entry.reader)
    })
  }

  private forget(entry: Entry<E>): void {
    const { key, unregister } = entry
    if (unregister === undefined) return
    entry.unregister = undefined
    unregister()
    if (this.reads.get(key) === entry) this.reads.delete(key)
    if (this.kept.get(group, key) === entry) this.kept.delete(group, key)
  }
}
