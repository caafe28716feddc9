import { TransactionConnection } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { describe, expect } from "vitest"
import * as Directory from "../src/Directory.js"
import * as KeyResolver from "../src/KeyResolver.js"
import * as ShardContext from "../src/ShardContext.js"
import { ResolveFailed, ShardUnavailable } from "../src/ShardError.js"
import type { KeyTuple } from "../src/topology/KeyValue.js"
import * as ShardId from "../src/topology/ShardId.js"

const one = ShardId.make("shard_1")
const two = ShardId.make("shard_2")

const lookup = (key: KeyTuple, directory = "tenants"): KeyResolver.Ask => ({
  _tag: "Ask",
  resolver: { _tag: "Lookup", directory },
  keyspace: "tenant",
  key
})

const custom = (key: KeyTuple, name = "byPlan"): KeyResolver.Ask => ({
  _tag: "Ask",
  resolver: { _tag: "Custom", name },
  keyspace: "tenant",
  key
})

/** A directory in memory that records each query, and can be held up before it answers. */
const recorded = (gate: Effect.Effect<void> = Effect.void) =>
  Effect.map(Directory.makeMemory, (memory) => {
    const queries: Array<ReadonlyArray<KeyTuple>> = []
    const directory: Directory.DirectoryService = {
      ...memory,
      lookup: (name, keys) =>
        Effect.suspend(() => {
          queries.push(keys)
          return Effect.flatMap(memory.lookup(name, keys), (answers) => Effect.as(gate, answers))
        })
    }
    return { directory, queries }
  })

describe("KeyResolver: lookups", () => {
  it.effect("sends what 64 fibers ask in one tick as one query, equal keys once", () =>
    Effect.gen(function* () {
      const { directory, queries } = yield* recorded()
      for (let key = 0; key < 32; key++) yield* directory.assign("tenants", [`${key}`], key % 2 === 0 ? one : two)
      const resolver = yield* KeyResolver.make({ directory })
      const answers = yield* Effect.forEach(
        Array.from({ length: 64 }, (_, index) => index % 32),
        (key) => resolver.resolve([lookup([`${key}`])]),
        { concurrency: "unbounded" }
      )
      expect(answers).toEqual(Array.from({ length: 64 }, (_, index) => [Option.some(index % 2 === 0 ? one : two)]))
      expect(queries.map((keys) => keys.length)).toEqual([32])
      expect(resolver.stats()).toEqual({ hits: 0, misses: 64, batches: 1, cached: 32 })
    })
  )

  it.effect("answers in the order asked, from cache, directory and functions together", () =>
    Effect.gen(function* () {
      const { directory, queries } = yield* recorded()
      yield* directory.assign("tenants", ["a"], one)
      yield* directory.assign("tenants", ["b", null], two)
      yield* directory.assign("regions", ["a"], two)
      const resolver = yield* KeyResolver.make({ directory, custom: { byPlan: () => Effect.succeed(two) } })
      yield* resolver.resolve([lookup(["a"])])
      const asks = [custom(["x"]), lookup(["nobody"]), lookup(["a"], "regions"), lookup(["a"]), lookup(["b", null])]
      expect(yield* resolver.resolve(asks)).toEqual([
        Option.some(two),
        Option.none(),
        Option.some(two),
        Option.some(one),
        Option.some(two)
      ])
      expect(queries).toEqual([[["a"]], [["nobody"], ["b", null]], [["a"]]])
      expect(yield* resolver.resolve([])).toEqual([])
    })
  )

  it.effect("caches shards, never misses", () =>
    Effect.gen(function* () {
      const { directory, queries } = yield* recorded()
      const resolver = yield* KeyResolver.make({ directory })
      expect(resolver.resolveCached(lookup(["a"]))).toBe(undefined)
      expect(yield* resolver.resolve([lookup(["a"])])).toEqual([Option.none()])
      yield* directory.assign("tenants", ["a"], two)
      expect(yield* resolver.resolve([lookup(["a"])])).toEqual([Option.some(two)])
      expect(queries.length).toBe(2)
      expect(resolver.resolveCached(lookup(["a"]))).toBe(two)
      expect(resolver.resolveCached(lookup([null]))).toBe(undefined)
      expect(yield* resolver.resolve([lookup(["a"])])).toEqual([Option.some(two)])
      expect(queries.length).toBe(2)
    })
  )

  it.effect("keeps the cache within its bound, the most recently used keys inside", () =>
    Effect.gen(function* () {
      const { directory } = yield* recorded()
      const keys = Array.from({ length: 1_000 }, (_, index) => `${index}`)
      yield* Effect.forEach(keys, (key) => directory.assign("tenants", [key], one))
      const resolver = yield* KeyResolver.make({ directory, cacheMax: 10 })
      for (const key of keys) {
        yield* resolver.resolve([lookup([key])])
        expect(resolver.resolveCached(lookup(["0"]))).toBe(one)
        expect(resolver.stats().cached).toBeLessThanOrEqual(10)
      }
      expect(keys.filter((key) => resolver.resolveCached(lookup([key])) !== undefined)).toEqual([
        "0",
        ...keys.slice(-9)
      ])
      const uncached = yield* KeyResolver.make({ directory, cacheMax: 0 })
      yield* uncached.resolve([lookup(["0"])])
      expect(uncached.resolveCached(lookup(["0"]))).toBe(undefined)
    })
  )

  it.effect("forgets an answer when its time is over", () =>
    Effect.gen(function* () {
      const { directory } = yield* recorded()
      yield* directory.assign("tenants", ["a"], one)
      const resolver = yield* KeyResolver.make({ directory, timeToLive: "10 seconds" })
      yield* resolver.resolve([lookup(["a"])])
      yield* directory.assign("tenants", ["a"], two, { replace: true })
      yield* TestClock.adjust("9 seconds")
      expect(resolver.resolveCached(lookup(["a"]))).toBe(one)
      yield* TestClock.adjust("1 seconds")
      expect(resolver.resolveCached(lookup(["a"]))).toBe(undefined)
      expect(yield* resolver.resolve([lookup(["a"])])).toEqual([Option.some(two)])
    })
  )

  it.effect("invalidates one key, one directory and no other, or everything", () =>
    Effect.gen(function* () {
      const { directory } = yield* recorded()
      const asks = [lookup(["a"]), lookup(["b"]), lookup(["a"], "tenants2")]
      yield* directory.assign("tenants", ["a"], one)
      yield* directory.assign("tenants", ["b"], one)
      yield* directory.assign("tenants2", ["a"], one)
      const resolver = yield* KeyResolver.make({ directory })
      const cached = () => asks.map((ask) => resolver.resolveCached(ask))
      yield* resolver.resolve(asks)
      resolver.invalidate("tenants", ["a"])
      expect(cached()).toEqual([undefined, one, one])
      yield* resolver.resolve(asks)
      resolver.invalidate("tenants")
      expect(cached()).toEqual([undefined, undefined, one])
      yield* resolver.resolve(asks)
      resolver.invalidate()
      expect(cached()).toEqual([undefined, undefined, undefined])
      expect(resolver.stats().cached).toBe(0)
    })
  )

  it.effect("does not cache what was under way when it was invalidated", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { directory, queries } = yield* recorded(Deferred.await(gate))
      yield* directory.assign("tenants", ["a"], one)
      const resolver = yield* KeyResolver.make({ directory })
      const early = yield* Effect.fork(resolver.resolve([lookup(["a"])]))
      yield* until(() => queries.length === 1)
      yield* directory.assign("tenants", ["a"], two, { replace: true })
      resolver.invalidate("tenants", ["a"])
      const late = yield* Effect.fork(resolver.resolve([lookup(["a"])]))
      yield* until(() => queries.length === 2)
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(early)).toEqual([Option.some(one)])
      expect(yield* Fiber.join(late)).toEqual([Option.some(two)])
      expect(resolver.resolveCached(lookup(["a"]))).toBe(two)
    })
  )

  it.effect("interrupting one waiting fiber leaves the shared batch to the others", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { directory, queries } = yield* recorded(Deferred.await(gate))
      yield* directory.assign("tenants", ["a"], one)
      yield* directory.assign("tenants", ["b"], two)
      const resolver = yield* KeyResolver.make({ directory })
      const asked = yield* Effect.forEach(["a", "a", "b", "b"], (key) => Effect.fork(resolver.resolve([lookup([key])])))
      yield* until(() => queries.length === 1)
      yield* Fiber.interrupt(asked[0]!)
      yield* Fiber.interrupt(asked[3]!)
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(asked[1]!)).toEqual([Option.some(one)])
      expect(yield* Fiber.join(asked[2]!)).toEqual([Option.some(two)])
      expect(queries).toEqual([[["a"], ["b"]]])
    })
  )

  it.effect("bounds the keys of a batch and the batches under way; what comes meanwhile gathers", () =>
    Effect.gen(function* () {
      let underWay = 0
      let most = 0
      const sizes: Array<number> = []
      const memory = yield* Directory.makeMemory
      const directory: Directory.DirectoryService = {
        ...memory,
        lookup: (_, keys) =>
          Effect.gen(function* () {
            most = Math.max(most, ++underWay)
            sizes.push(keys.length)
            yield* Effect.sleep("10 millis")
            underWay--
            return keys.map(() => Option.some(one))
          })
      }
      const resolver = yield* KeyResolver.make({ directory, batchKeysMax: 100, batchesMax: 2 })
      const asks = Array.from({ length: 1_050 }, (_, index) => lookup([`${index}`]))
      const all = yield* Effect.fork(
        Effect.forEach(asks, (ask) => resolver.resolve([ask]), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 seconds")
      expect((yield* Fiber.join(all)).length).toBe(1_050)
      expect(most).toBe(2)
      expect(sizes).toEqual([...Array.from({ length: 10 }, () => 100), 50])
    })
  )

  it.effect("a failure reaches all who wait for that batch, and nobody after it", () =>
    Effect.gen(function* () {
      const down = new ShardUnavailable({ shard: "meta", reason: "gone", sent: false })
      let failures = 1
      const memory = yield* Directory.makeMemory
      yield* memory.assign("tenants", ["a"], one)
      const directory: Directory.DirectoryService = {
        ...memory,
        lookup: (name, keys) => Effect.suspend(() => (failures-- > 0 ? Effect.fail(down) : memory.lookup(name, keys)))
      }
      const resolver = yield* KeyResolver.make({ directory })
      const exits = yield* Effect.forEach(["a", "b"], (key) => Effect.exit(resolver.resolve([lookup([key])])), {
        concurrency: "unbounded"
      })
      expect(exits).toEqual([Exit.fail(down), Exit.fail(down)])
      expect(yield* resolver.resolve([lookup(["a"])])).toEqual([Option.some(one)])
    })
  )

  it.effect("a query that does not end fails its askers in time, and frees its place", () =>
    Effect.gen(function* () {
      let hanging = true
      const memory = yield* Directory.makeMemory
      yield* memory.assign("tenants", ["a"], one)
      const directory: Directory.DirectoryService = {
        ...memory,
        lookup: (name, keys) => Effect.suspend(() => (hanging ? Effect.never : memory.lookup(name, keys)))
      }
      const resolver = yield* KeyResolver.make({ directory, batchesMax: 1, lookupTimeout: "2 seconds" })
      const first = yield* Effect.fork(Effect.flip(resolver.resolve([lookup(["a"])])))
      yield* until(() => resolver.stats().batches === 1)
      const second = yield* Effect.fork(resolver.resolve([lookup(["a"])]))
      yield* TestClock.adjust("1 seconds")
      hanging = false
      expect(resolver.stats().batches).toBe(1)
      yield* TestClock.adjust("1 seconds")
      expect(yield* Fiber.join(first)).toMatchObject({ _tag: "ResolveFailed", resolver: "tenants" })
      expect(yield* Fiber.join(second)).toEqual([Option.some(one)])
    })
  )

  it.effect("a directory row that names an unregistered shard is an error naming both, for that key only", () =>
    Effect.gen(function* () {
      const { directory } = yield* recorded()
      yield* directory.assign("tenants", ["a"], ShardId.make("shard_9"))
      yield* directory.assign("tenants", ["b"], two)
      const resolver = yield* KeyResolver.make({ directory, shards: () => [one, two] })
      const [bad, good] = yield* Effect.all(
        [Effect.flip(resolver.resolve([lookup(["a"])])), resolver.resolve([lookup(["b"])])],
        { concurrency: "unbounded" }
      )
      expect(bad).toBeInstanceOf(ResolveFailed)
      expect(bad.message).toContain("tenants")
      expect(bad.message).toContain("shard_9")
      expect(good).toEqual([Option.some(two)])
      expect(resolver.resolveCached(lookup(["a"]))).toBe(undefined)
    })
  )

  it.effect("a lookup runs outside of the asker's transaction and pinned shard", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const memory = yield* Directory.makeMemory
      const directory: Directory.DirectoryService = {
        ...memory,
        lookup: (name, keys) => Effect.zipRight(observe(seen), memory.lookup(name, keys))
      }
      const resolver = yield* KeyResolver.make({
        directory,
        custom: { byPlan: () => Effect.as(observe(seen), one) }
      })
      yield* insideTransaction(
        ShardContext.pinned(resolver.resolve([lookup(["a"]), custom(["b"])]), { _tag: "Shard", shard: two })
      )
      expect(seen).toEqual([
        { transaction: false, pin: undefined },
        { transaction: false, pin: undefined }
      ])
    })
  )
})

describe("KeyResolver: custom functions", () => {
  it.effect("an unknown name fails with that name and the known ones", () =>
    Effect.gen(function* () {
      const directory = yield* Directory.makeMemory
      const resolver = yield* KeyResolver.make({ directory, custom: { byPlan: () => Effect.succeed(one) } })
      for (const name of ["byColor", "toString", "constructor"]) {
        const error = yield* Effect.flip(resolver.resolve([custom(["a"], name)]))
        expect(error).toMatchObject({ _tag: "ResolveFailed", resolver: name })
        expect(error.message).toContain("byPlan")
      }
    })
  )

  it.effect("an unregistered shard is an error naming resolver, key and shard", () =>
    Effect.gen(function* () {
      const directory = yield* Directory.makeMemory
      const resolver = yield* KeyResolver.make({
        directory,
        shards: () => [one],
        custom: { byPlan: () => Effect.succeed(two) }
      })
      const error = yield* Effect.flip(resolver.resolve([custom(["a", null])]))
      expect(error).toMatchObject({ _tag: "ResolveFailed", resolver: "byPlan", cause: { _tag: "UnknownShard" } })
      expect(error.message).toBe(
        "resolver byPlan could not find the shard: its answer for key (a, NULL): " +
          "no shard is called shard_2; there are shard_1"
      )
    })
  )

  it.effect("are asked each time, a bounded number at once, and their failure is passed on", () =>
    Effect.gen(function* () {
      let calls = 0
      let underWay = 0
      let most = 0
      const failure = new ResolveFailed({ resolver: "broken", reason: "no plan" })
      const directory = yield* Directory.makeMemory
      const resolver = yield* KeyResolver.make({
        directory,
        customMax: 3,
        custom: {
          byPlan: (key) =>
            Effect.gen(function* () {
              calls++
              most = Math.max(most, ++underWay)
              yield* Effect.yieldNow()
              underWay--
              return key[0] === "1" ? one : two
            }),
          broken: () => Effect.fail(failure)
        }
      })
      const asks = Array.from({ length: 20 }, (_, index) => custom([`${index % 2}`]))
      const expected = asks.map((ask) => Option.some(ask.key[0] === "1" ? one : two))
      expect(yield* resolver.resolve(asks)).toEqual(expected)
      expect(yield* resolver.resolve(asks)).toEqual(expected)
      expect(calls).toBe(40)
      expect(most).toBe(3)
      expect(yield* Effect.flip(resolver.resolve([custom(["a"], "broken")]))).toBe(failure)
    })
  )
})

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.zipRight(Effect.yieldNow(), until(condition))))

const observe = (seen: Array<unknown>) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const { pin } = yield* ShardContext.current
    seen.push({ transaction: Option.isSome(Context.getOption(context, TransactionConnection)), pin })
  })

const insideTransaction = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.mapInputContext(effect, (context: Context.Context<never>) =>
    Context.add(context, TransactionConnection, [{} as never, 0])
  )
