/** Drawing ids over a store that is counted, slowed down and broken, on a clock of the test's. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Ids from "../src/Ids.js"
import * as IdStore from "../src/IdStore.js"
import { IdsUnavailable, ShardUnavailable } from "../src/ShardError.js"
import * as Id from "../src/topology/Id.js"
import * as IdLayout from "../src/topology/IdLayout.js"

const start = IdLayout.epochMillis + 86_400_000

const gone = new ShardUnavailable({ shard: "meta", reason: "gone", sent: false })

/** A memory store that can be broken, and counts. */
const makeStore = Effect.map(IdStore.makeMemory, (inner) => {
  const state = { leases: 0, blocks: [] as Array<number>, before: Effect.void as Effect.Effect<void, ShardUnavailable> }
  const store: IdStore.IdStoreService = {
    lease: (request) => {
      state.leases++
      return Effect.zipRight(
        Effect.suspend(() => state.before),
        inner.lease(request)
      )
    },
    release: inner.release,
    allocate: (name, from, count) => {
      state.blocks.push(count)
      return Effect.zipRight(
        Effect.suspend(() => state.before),
        inner.allocate(name, from, count)
      )
    }
  }
  return { store, state, inner }
})

const over = (store: IdStore.IdStoreService, options?: Ids.Options) =>
  Effect.provideService(Ids.make(options), IdStore.IdStore, store)

const snowflakes = (ids: Ids.IdsService, count: number) => ids.draw(Id.snowflake(), "", count)
const partsOf = (id: string | undefined) => IdLayout.parse(IdLayout.snowflake, id ?? "0")
const ascending = (ids: ReadonlyArray<string>) =>
  ids.every((id, index) => index === 0 || BigInt(id) > BigInt(ids[index - 1]!))

describe("Ids", () => {
  it.scoped("leases once for all that draw, and again when half of the lease is over", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const { state, store } = yield* makeStore
      const ids = yield* over(store)
      const drawn = yield* Effect.all(
        Array.from({ length: 50 }, () => snowflakes(ids, 10)),
        { concurrency: "unbounded" }
      )
      expect(new Set(drawn.flat()).size).toBe(500)
      expect(state.leases).toBe(1)
      expect(partsOf(drawn[0]?.[0])).toEqual({ tick: 86_400_000, node: 0, counter: 0 })
      yield* TestClock.adjust("29 seconds")
      yield* snowflakes(ids, 1)
      expect(state.leases).toBe(1)
      yield* TestClock.adjust("2 seconds")
      yield* snowflakes(ids, 1)
      yield* Effect.yieldNow()
      expect(state.leases).toBe(2)
      const [late] = yield* snowflakes(ids, 1)
      expect(partsOf(late)).toMatchObject({ tick: 86_431_000, node: 0 })
    })
  )

  it.scoped("draws on while a lease lasts and the store is gone, then fails, and goes on when it is back", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const { state, store } = yield* makeStore
      const ids = yield* over(store)
      const before = yield* snowflakes(ids, 1)
      state.before = Effect.fail(gone)
      yield* TestClock.adjust("59 seconds")
      const during = yield* snowflakes(ids, 1)
      yield* TestClock.adjust("2 seconds")
      const error = yield* Effect.flip(snowflakes(ids, 1))
      expect(error).toMatchObject({ _tag: "IdsUnavailable", kind: "MetaUnreachable", cause: gone, isRetryable: true })
      state.before = Effect.void
      const after = yield* snowflakes(ids, 1)
      expect(ascending([...before, ...during, ...after])).toBe(true)
    })
  )

  it.scoped("asks first after it was stopped beyond its lease, and takes another node if its own is another's", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const { state, store } = yield* makeStore
      const one = yield* over(store)
      const before = yield* snowflakes(one, 5_000)
      yield* TestClock.adjust("1 hour")
      const other = yield* over(store)
      const theirs = yield* snowflakes(other, 5_000)
      expect(partsOf(theirs[0]).node).toBe(partsOf(before[0]).node)
      const leases = state.leases
      const after = yield* snowflakes(one, 5_000)
      expect(state.leases).toBe(leases + 1)
      expect(partsOf(after[0]).node).toBe(1)
      expect(new Set([...before, ...theirs, ...after]).size).toBe(15_000)
      expect(ascending([...before, ...after])).toBe(true)
    })
  )

  it.scoped("does not ask the time of the machine, which may go back", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const { store } = yield* makeStore
      const real = yield* Effect.clock
      let wallMillis = start
      let nanos = 0n
      const clock: Clock.Clock = {
        ...real,
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => wallMillis,
        unsafeCurrentTimeNanos: () => nanos,
        currentTimeMillis: Effect.sync(() => wallMillis),
        currentTimeNanos: Effect.sync(() => nanos),
        sleep: (duration) => real.sleep(duration)
      }
      const ids = yield* Effect.withClock(over(store), clock)
      const drawn = [...(yield* Effect.withClock(snowflakes(ids, 3), clock))]
      const uuids = [...(yield* Effect.withClock(ids.draw(Id.uuidv7(), "", 3), clock))]
      wallMillis -= 3_600_000
      nanos += 5_000_000n
      drawn.push(...(yield* snowflakes(ids, 3)))
      uuids.push(...(yield* ids.draw(Id.uuidv7(), "", 5_000)))
      expect(ascending(drawn)).toBe(true)
      expect(partsOf(drawn[3]).tick).toBe(86_400_005)
      expect(uuids).toEqual([...new Set(uuids)].sort())
    })
  )

  it.scoped("waits for a store that does not answer as long as is said, and not twice", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const { state, store } = yield* makeStore
      const ids = yield* over(store, { waitMillis: 1_000 })
      const gate = yield* Deferred.make<void>()
      state.before = Deferred.await(gate)
      const waiting = yield* Effect.fork(Effect.flip(snowflakes(ids, 1)))
      const blocked = yield* Effect.fork(Effect.flip(ids.draw(Id.sequence(), "s", 1)))
      yield* TestClock.adjust("1 seconds")
      expect(yield* Fiber.join(waiting)).toBeInstanceOf(IdsUnavailable)
      expect(yield* Fiber.join(blocked)).toMatchObject({ kind: "MetaUnreachable", generator: "s" })
      // What was asked for still comes, and is used.
      yield* Deferred.succeed(gate, undefined)
      expect((yield* snowflakes(ids, 1)).length).toBe(1)
      expect(yield* ids.draw(Id.sequence(), "s", 1)).toEqual(["1"])
      expect([state.leases, state.blocks]).toEqual([1, [1_000]])
      // An interrupted draw takes nobody's fetch along.
      state.before = Effect.sleep("100 millis")
      const first = yield* Effect.fork(ids.draw(Id.sequence(), "t", 1))
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(ids.draw(Id.sequence(), "t", 1))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("100 millis")
      expect(yield* Fiber.join(second)).toEqual(["1"])
    })
  )

  it.scoped("makes no more ids than there are, ahead of time as far as the lease goes", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const { store } = yield* makeStore
      const ids = yield* over(store, { leaseMillis: 1_000, waitMillis: 500 })
      const draw = (count: number) => ids.draw(Id.safeSnowflake(), "", count)
      const drawn = [...(yield* draw(10_240))]
      const waiting = yield* Effect.fork(Effect.flip(draw(1)))
      yield* TestClock.adjust("50 millis")
      const patient = yield* Effect.fork(draw(1_000))
      yield* TestClock.adjust("450 millis")
      drawn.push(...(yield* Fiber.join(patient)))
      expect(yield* Fiber.status(waiting)).toMatchObject({ _tag: "Done" })
      const tooMany = yield* Effect.fork(Effect.flip(draw(100_000)))
      yield* TestClock.adjust("500 millis")
      expect(yield* Fiber.join(tooMany)).toMatchObject({ kind: "TooFast" })
      expect(new Set(drawn).size).toBe(drawn.length)
      expect(ascending(drawn)).toBe(true)
      expect(drawn.every((id) => Number.isSafeInteger(Number(id)))).toBe(true)
    })
  )

  it.scoped("gives its nodes back, for others to go on behind what it made", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const { store } = yield* makeStore
      const scope = yield* Scope.make()
      const ids = yield* Scope.extend(over(store), scope)
      const before = yield* snowflakes(ids, 100_000)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 second")
      const other = yield* over(store)
      const after = yield* snowflakes(other, 10)
      expect(partsOf(after[0]).node).toBe(0)
      expect(partsOf(after[0]).tick).toBeGreaterThan(partsOf(before.at(-1)).tick)
      expect((yield* Effect.flip(snowflakes(ids, 1)))._tag).toBe("IdsUnavailable")
    })
  )

  it.scoped("takes blocks of a sequence ahead, one at a time, and loses none of a block", () =>
    Effect.gen(function* () {
      const { state, store } = yield* makeStore
      const ids = yield* over(store)
      const draw = (count: number) => ids.draw(Id.sequence({ block: 10 }), "s", count)
      const drawn = yield* Effect.forEach(
        Array.from({ length: 95 }),
        () => Effect.zipLeft(draw(1), Effect.yieldNow()),
        { concurrency: 8 }
      )
      expect(
        drawn
          .flat()
          .map(Number)
          .sort((one, other) => one - other)
      ).toEqual(drawn.map((_, index) => index + 1))
      expect(state.blocks).toEqual(Array.from({ length: 10 }, () => 10))
      // More than a block at once: a block of its own.
      expect((yield* draw(1_000)).map(Number)).toEqual(Array.from({ length: 1_000 }, (_, index) => 96 + index))
      yield* Effect.yieldNow()
      expect(state.blocks.slice(10)).toEqual([995, 10])
      state.before = Effect.fail(gone)
      expect((yield* draw(10)).length).toBe(10)
      expect(yield* Effect.flip(draw(1))).toMatchObject({ _tag: "IdsUnavailable", cause: gone })
      state.before = Effect.void
      expect(yield* draw(1)).toEqual(["1106"])
    })
  )
})
