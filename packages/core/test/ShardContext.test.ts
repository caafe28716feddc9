import { it } from "@effect/vitest"
import type { Pin } from "@shardlayer/core/ShardContext"
import * as ShardContext from "@shardlayer/core/ShardContext"
import { ShardLocked } from "@shardlayer/core/ShardError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { shard1, shard2, shard3 } from "./support.js"

const to = (shard: typeof shard1): Pin => ({ _tag: "Shard", shard })
const key = (part: string, table = "users"): Pin => ({ _tag: "Key", keyspace: "user", table, key: [part] })
const pin = Effect.map(ShardContext.current, (context) => context.pin)
const unpinned = { pin: undefined, locked: false, unchecked: false }

describe("ShardContext", () => {
  it.effect("is unpinned at first, pinned inside, and the inner pin wins", () =>
    Effect.gen(function* () {
      expect(yield* ShardContext.current).toEqual(unpinned)
      const seen = yield* ShardContext.pinned(
        Effect.all([pin, ShardContext.pinned(pin, to(shard2)), ShardContext.pinned(pin, key("7")), pin]),
        to(shard1)
      )
      expect(seen).toEqual([to(shard1), to(shard2), key("7"), to(shard1)])
      expect(yield* ShardContext.current).toEqual(unpinned)
    })
  )

  it.effect("is restored after failure, defect and interruption", () =>
    Effect.gen(function* () {
      for (const end of [Effect.fail("no"), Effect.die("oh"), Effect.interrupt]) {
        const exit = yield* Effect.exit(ShardContext.pinned(end, to(shard1)))
        expect(Exit.isFailure(exit)).toBe(true)
        expect(yield* ShardContext.current).toEqual(unpinned)
        yield* Effect.exit(ShardContext.locked(ShardContext.unchecked(end)))
        expect(yield* ShardContext.current).toEqual(unpinned)
      }
    })
  )

  it.effect("is restored for what runs after an interrupted pin in the same fiber", () =>
    Effect.gen(function* () {
      const after = yield* Deferred.make<Pin | undefined>()
      const fiber = yield* Effect.fork(
        ShardContext.pinned(Effect.never, to(shard1)).pipe(
          Effect.ensuring(Effect.flatMap(pin, (pin) => Deferred.succeed(after, pin)))
        )
      )
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      expect(yield* Deferred.await(after)).toBeUndefined()
    })
  )

  it.effect("children inherit it at fork, and keep it when the parent's ends", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const fiber = yield* ShardContext.pinned(
        Effect.forkDaemon(Effect.zipRight(Deferred.await(gate), pin)),
        to(shard1)
      )
      yield* Deferred.succeed(gate, undefined)
      expect(yield* Fiber.join(fiber)).toEqual(to(shard1))
      expect(yield* pin).toBeUndefined()
    })
  )

  it.effect("a child's pin does not come back at join", () =>
    Effect.gen(function* () {
      // The child ends with the pin still set: it never left the effect that set it.
      const child = yield* ShardContext.pinned(Effect.fork(pin), to(shard1))
      expect(yield* Fiber.join(child)).toEqual(to(shard1))
      expect(yield* ShardContext.current).toEqual(unpinned)
      yield* ShardContext.pinned(Fiber.join(yield* ShardContext.pinned(Effect.fork(pin), to(shard1))), to(shard2))
      expect(yield* ShardContext.current).toEqual(unpinned)
      yield* Effect.forEach([shard1, shard2], (shard) => ShardContext.pinned(pin, to(shard)), { concurrency: 2 })
      expect(yield* ShardContext.current).toEqual(unpinned)
    })
  )

  it.effect("fibers side by side each see their own, whenever they are resumed", () =>
    Effect.gen(function* () {
      const shards = [shard1, shard2, shard3]
      const seen = yield* Effect.forEach(
        Array.from({ length: 60 }, (_, index) => shards[index % 3]!),
        (shard, index) =>
          ShardContext.pinned(
            Effect.forEach(Array.from({ length: 5 }), () =>
              Effect.zipRight(Effect.yieldNow(), index % 2 === 0 ? pin : Effect.flatMap(Effect.fork(pin), Fiber.join))
            ),
            to(shard)
          ).pipe(Effect.map((pins) => pins.every((pin) => pin?._tag === "Shard" && pin.shard === shard))),
        { concurrency: "unbounded" }
      )
      expect(seen.every((own) => own)).toBe(true)
    })
  )

  it.effect("streams carry it", () =>
    Effect.gen(function* () {
      const pins = Stream.mapEffect(Stream.range(1, 3), () => pin, { concurrency: 2 })
      const seen = yield* ShardContext.pinned(Stream.runCollect(pins), to(shard2))
      expect([...seen]).toEqual([to(shard2), to(shard2), to(shard2)])
    })
  )

  it.effect("under a lock the same pin is fine and another is ShardLocked", () =>
    Effect.gen(function* () {
      const inside = (wanted: Pin) => Effect.either(ShardContext.pinned(pin, wanted))
      const run = <A, E>(pinned: Pin, effect: Effect.Effect<A, E>) =>
        ShardContext.pinned(ShardContext.locked(effect), pinned)
      expect(yield* run(to(shard1), inside(to(shard1)))).toMatchObject({ right: to(shard1) })
      expect(yield* run(to(shard1), inside(to(shard2)))).toMatchObject({
        left: new ShardLocked({ locked: "shard_1", wanted: "shard_2" })
      })
      expect(yield* run(key("7"), inside(key("7", "orders")))).toMatchObject({ right: key("7", "orders") })
      expect(yield* run(key("7"), inside(key("8")))).toMatchObject({
        left: new ShardLocked({ locked: "key (7) of users", wanted: "key (8) of users" })
      })
      expect(yield* run(key("7"), inside(to(shard1)))).toMatchObject({ left: expect.any(ShardLocked) })
      expect(yield* run(to(shard1), inside(key("7")))).toMatchObject({ left: expect.any(ShardLocked) })
    })
  )

  it.effect("a refused switch leaves the pin, and the lock ends with its effect", () =>
    Effect.gen(function* () {
      const seen = yield* ShardContext.pinned(
        Effect.gen(function* () {
          yield* ShardContext.locked(Effect.flip(ShardContext.pinned(pin, to(shard2))))
          return [yield* pin, yield* ShardContext.pinned(pin, to(shard2))]
        }),
        to(shard1)
      )
      expect(seen).toEqual([to(shard1), to(shard2)])
    })
  )

  it.effect("a lock without a pin allows one, and that one holds", () =>
    Effect.gen(function* () {
      const inner = (shard: typeof shard1) => Effect.either(ShardContext.pinned(pin, to(shard)))
      const [first, second, nested] = yield* ShardContext.locked(
        Effect.all([inner(shard1), inner(shard2), ShardContext.pinned(inner(shard2), to(shard1))])
      )
      expect(first).toMatchObject({ right: to(shard1) })
      expect(second).toMatchObject({ right: to(shard2) })
      expect(nested).toMatchObject({ left: expect.any(ShardLocked) })
    })
  )

  it.effect("locks and marks reach children, and cleared takes everything away", () =>
    Effect.gen(function* () {
      const [child, cleared] = yield* ShardContext.pinned(
        ShardContext.locked(
          ShardContext.unchecked(
            Effect.all([
              Effect.flatMap(Effect.fork(ShardContext.current), Fiber.join),
              ShardContext.cleared(ShardContext.current)
            ])
          )
        ),
        to(shard1)
      )
      expect(child).toEqual({ pin: to(shard1), locked: true, unchecked: true })
      expect(cleared).toEqual(unpinned)
    })
  )

  it.effect("each pin has a request cache of its own", () =>
    Effect.gen(function* () {
      class Where extends Request.TaggedClass("Where")<string, never, { readonly id: number }> {}
      let asked = 0
      const where = RequestResolver.fromEffect((_: Where) =>
        Effect.map(pin, (pin) => `${++asked} on ${pin === undefined ? "none" : ShardContext.describe(pin)}`)
      )
      const ask = Effect.request(new Where({ id: 1 }), where)
      const seen = yield* Effect.all([
        ask,
        ShardContext.pinned(
          Effect.flatMap(ShardContext.bindResolver(where), (bound) => Effect.request(new Where({ id: 1 }), bound)),
          to(shard1)
        ),
        ShardContext.pinned(Effect.all([ask, ask]), to(shard2)),
        ask
      ]).pipe(Effect.withRequestCaching(true))
      expect(seen).toEqual(["1 on none", "2 on shard_1", ["3 on shard_2", "3 on shard_2"], "1 on none"])
    })
  )

  it.effect("a bound resolver runs under the pin of the fiber that bound it", () =>
    Effect.gen(function* () {
      class Where extends Request.TaggedClass("Where")<Pin | undefined, never, { readonly id: number }> {}
      const batches: Array<number> = []
      const where = RequestResolver.makeBatched((asks: ReadonlyArray<Where>) => {
        batches.push(asks.length)
        return Effect.flatMap(pin, (pin) => Effect.forEach(asks, (ask) => Request.succeed(ask, pin), { discard: true }))
      })
      const ask = (shard: typeof shard1, id: number) =>
        ShardContext.pinned(
          Effect.flatMap(ShardContext.bindResolver(where), (bound) => Effect.request(new Where({ id }), bound)),
          to(shard)
        )
      const seen = yield* Effect.all([ask(shard1, 1), ask(shard2, 2), ask(shard3, 3)], {
        batching: true,
        concurrency: 3
      })
      expect(seen).toEqual([to(shard1), to(shard2), to(shard3)])
      expect(batches).toEqual([1, 1, 1])
    })
  )
})
