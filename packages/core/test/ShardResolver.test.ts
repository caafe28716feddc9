import { TransactionConnection } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { it } from "@effect/vitest"
import * as ShardContext from "@shardlayer/core/ShardContext"
import * as ShardResolver from "@shardlayer/core/ShardResolver"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { describe, expect } from "vitest"
import { shard1, shard2 } from "./support.js"

class Where extends Request.TaggedClass("Where")<string, string, { readonly id: number }> {}

/** Says where its batches run: on which shard, in which transaction. */
const make = (options: ShardResolver.Options) =>
  Effect.gen(function* () {
    const batches: Array<string> = []
    const where = RequestResolver.makeBatched((asks: ReadonlyArray<Where>) =>
      Effect.gen(function* () {
        const { pin } = yield* ShardContext.current
        const transaction = Context.getOption(yield* Effect.context<never>(), TransactionConnection)
        const depth = transaction._tag === "Some" ? ` in ${transaction.value[1]}` : ""
        const place = `${pin === undefined ? "none" : ShardContext.describe(pin)}${depth}`
        batches.push(`${asks.map(({ id }) => id).join()} on ${place}`)
        yield* Effect.forEach(asks, (ask) =>
          ask.id < 0 ? Request.fail(ask, `${ask.id}`) : Request.succeed(ask, `${ask.id} on ${place}`)
        )
      })
    )
    const loader = yield* ShardResolver.dataLoader(where, options)
    return { batches, ask: (id: number) => Effect.request(new Where({ id }), loader) }
  })

const onShard = <A, E>(effect: Effect.Effect<A, E>, shard: typeof shard1) =>
  ShardContext.pinned(effect, { _tag: "Shard", shard })

/** Each in a fiber of its own: nothing batches them but the loader. */
const apart = (effects: ReadonlyArray<Effect.Effect<unknown, unknown>>) =>
  Effect.map(
    Effect.forEach(effects, (effect) => Effect.fork(effect)),
    Fiber.all
  )

describe("ShardResolver.dataLoader", () => {
  it.scoped("gathers what fibers ask at one place, and runs it there", () =>
    Effect.gen(function* () {
      const { ask, batches } = yield* make({ window: "10 millis" })
      const fibers = yield* apart([
        ask(1),
        onShard(ask(2), shard1),
        onShard(ask(3), shard2),
        onShard(ask(4), shard1),
        ask(5),
        onShard(ShardContext.unchecked(ask(6)), shard1)
      ])
      yield* TestClock.adjust("9 millis")
      expect(batches).toEqual([])
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(fibers)).toEqual([
        "1 on none",
        "2 on shard_1",
        "3 on shard_2",
        "4 on shard_1",
        "5 on none",
        "6 on shard_1"
      ])
      expect(batches.toSorted()).toEqual(["1,5 on none", "2,4 on shard_1", "3 on shard_2", "6 on shard_1"])
    })
  )

  it.scoped("keeps transactions apart", () =>
    Effect.gen(function* () {
      const { ask, batches } = yield* make({ window: 0 })
      const transaction = (depth: number) =>
        Effect.provideService(TransactionConnection, [undefined as never as Connection, depth])
      const own = transaction(7)
      const fibers = yield* apart([
        ask(1),
        own(Effect.zip(ask(2), ask(3), { concurrent: true })),
        transaction(8)(ask(4))
      ])
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(fibers)).toEqual(["1 on none", ["2 on none in 7", "3 on none in 7"], "4 on none in 8"])
      expect(batches.toSorted()).toEqual(["1 on none", "2,3 on none in 7", "4 on none in 8"])
    })
  )

  it.scoped("a full batch waits no longer, and takes nobody else", () =>
    Effect.gen(function* () {
      const { ask, batches } = yield* make({ window: "1 hour", batchMax: 2 })
      const fibers = yield* apart([1, 2, 3, 4, 5].map(ask))
      while (batches.length < 2) yield* Effect.yieldNow()
      expect(batches.toSorted()).toEqual(["1,2 on none", "3,4 on none"])
      yield* TestClock.adjust("1 hour")
      expect(yield* Fiber.join(fibers)).toHaveLength(5)
      const { ask: single } = yield* make({ window: "1 hour", batchMax: 1 })
      expect(yield* single(9)).toBe("9 on none")
    })
  )

  it.scoped("a failure is that of its request; who was interrupted takes no part", () =>
    Effect.gen(function* () {
      const { ask, batches } = yield* make({ window: "10 millis" })
      const gone = yield* Effect.fork(ask(1))
      const fibers = yield* apart([Effect.either(ask(-2)), Effect.either(ask(3))])
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(gone)
      yield* TestClock.adjust("10 millis")
      expect(yield* Fiber.join(fibers)).toMatchObject([{ left: "-2" }, { right: "3 on none" }])
      expect(batches).toEqual(["-2,3 on none"])
    })
  )

  it.effect("who waits when the scope is closed is interrupted", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { ask } = yield* Scope.extend(make({ window: "1 hour" }), scope)
      const fiber = yield* Effect.fork(ask(1))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
      expect(Exit.isInterrupted(yield* Effect.exit(ask(2)))).toBe(true)
    })
  )
})
