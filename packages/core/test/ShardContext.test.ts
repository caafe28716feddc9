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
import * as Scope from "effect/Scope"
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

  it.effect("a scoped pin holds until its scope is closed, in this fiber and what it forks", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const [outer, inner] = [to(shard1), key("7")]
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* ShardContext.pinnedScoped(outer, { locked: false })
          expect(yield* pin).toEqual(outer)
          expect(yield* ShardContext.pinned(pin, to(shard3))).toEqual(to(shard3))
          expect(
            yield* Effect.scoped(Effect.zipRight(ShardContext.pinnedScoped(inner, { locked: false }), pin))
          ).toEqual(inner)
          expect(yield* pin).toEqual(outer)
          expect(yield* Fiber.join(yield* Effect.fork(pin))).toEqual(outer)
        })
      )
      expect(yield* ShardContext.current).toEqual(unpinned)
      // After failure, too.
      yield* ShardContext.pinnedScoped(outer, { locked: true }).pipe(
        Effect.zipRight(Effect.fail("no")),
        Effect.scoped,
        Effect.ignore
      )
      expect(yield* ShardContext.current).toEqual(unpinned)
      // Whoever closes the scope, and is pinned otherwise, stays so.
      const go = yield* Deferred.make<void>()
      const child = yield* Effect.fork(
        Effect.zipRight(
          Scope.extend(ShardContext.pinnedScoped(outer, { locked: false }), scope),
          Effect.zipRight(Deferred.await(go), pin)
        )
      )
      yield* Effect.yieldNow()
      const closed = Effect.zipRight(Scope.close(scope, Exit.void), pin)
      expect(yield* ShardContext.pinned(closed, to(shard2))).toEqual(to(shard2))
      yield* Deferred.succeed(go, undefined)
      expect(yield* Fiber.join(child)).toEqual(outer)
      expect(yield* ShardContext.current).toEqual(unpinned)
    })
  )

  it.scoped("a scoped pin may be locked, heeds locks, and cannot be put inside of a batch", () =>
    Effect.gen(function* () {
      const scoped = (pin: Pin, locked = false) => ShardContext.pinnedScoped(pin, { locked })
      const inBatch = Effect.exit(Effect.scoped(scoped(to(shard1))))
      const exits = yield* Effect.forEach([1, 2], () => inBatch, { batching: true, concurrency: "unbounded" })
      expect(exits.map((exit) => exit.toString())).toEqual([
        expect.stringContaining("inside of a batch"),
        expect.stringContaining("inside of a batch")
      ])
      yield* scoped(to(shard1), true)
      expect(yield* Effect.flip(ShardContext.pinned(pin, to(shard2)))).toBeInstanceOf(ShardLocked)
      expect(yield* Effect.flip(Effect.scoped(scoped(to(shard2))))).toBeInstanceOf(ShardLocked)
      expect(yield* Effect.flip(ShardContext.everywhere(pin))).toBeInstanceOf(ShardLocked)
      expect(yield* pin).toEqual(to(shard1))
      yield* Effect.scoped(scoped(to(shard1)))
      expect(yield* pin).toEqual(to(shard1))
    })
  )

  it.effect("a scoped pin has a request cache of its own", () =>
    Effect.gen(function* () {
      class Here extends Request.TaggedClass("Here")<Pin | undefined, never, { readonly id: number }> {}
      let asked = 0
      const where = RequestResolver.fromEffect((_: Here) =>
        Effect.zipRight(
          Effect.sync(() => asked++),
          pin
        )
      )
      const ask = Effect.request(new Here({ id: 1 }), where)
      const scoped = Effect.scoped(
        Effect.zipRight(ShardContext.pinnedScoped(to(shard1), { locked: false }), Effect.all([ask, ask]))
      )
      const seen = yield* Effect.all([ask, scoped, ask]).pipe(Effect.withRequestCaching(true))
      expect(seen).toEqual([undefined, [to(shard1), to(shard1)], undefined])
      expect(asked).toBe(2)
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

  describe("requests under a pin", () => {
    class Where extends Request.TaggedClass("Where")<string, string, { readonly id: number }> {}
    const make = () => {
      const batches: Array<string> = []
      const where = RequestResolver.makeBatched((asks: ReadonlyArray<Where>) =>
        Effect.flatMap(pin, (pin) => {
          const place = pin === undefined ? "none" : ShardContext.describe(pin)
          batches.push(`${asks.map(({ id }) => id).join()} on ${place}`)
          return Effect.forEach(
            asks,
            (ask) => (ask.id < 0 ? Request.fail(ask, `${ask.id}`) : Request.succeed(ask, `${ask.id} on ${place}`)),
            { discard: true }
          )
        })
      )
      return { batches, ask: (id: number) => Effect.request(new Where({ id }), where) }
    }
    const together = { batching: true, concurrency: "unbounded" } as const

    it.effect("run under it, whatever batches around it", () =>
      Effect.gen(function* () {
        const { ask, batches } = make()
        const seen = yield* ShardContext.pinned(
          Effect.all(
            [
              ask(1),
              ShardContext.pinned(ask(2), to(shard2)),
              ShardContext.pinned(
                Effect.zipWith(ask(3), ask(4), (a, b) => [a, b]),
                to(shard3)
              ),
              ShardContext.everywhere(ask(5)),
              ask(6)
            ],
            together
          ),
          to(shard1)
        )
        expect(seen).toEqual([
          "1 on shard_1",
          "2 on shard_2",
          ["3 on shard_3", "4 on shard_3"],
          "5 on none",
          "6 on shard_1"
        ])
        expect(batches.toSorted()).toEqual([
          "1,6 on shard_1",
          "2 on shard_2",
          "3 on shard_3",
          "4 on shard_3",
          "5 on none"
        ])
      })
    )

    it.effect("have all that is around them, and what they fork outlives the pin", () =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const where = RequestResolver.makeBatched((asks: ReadonlyArray<Where>) =>
          Effect.zipRight(
            Effect.map(ShardContext.current, ({ pin, unchecked }) => seen.push({ pin, unchecked })),
            Effect.forEach(asks, (ask) => Request.succeed(ask, ""), { discard: true })
          )
        )
        const ask = ShardContext.unchecked(Effect.request(new Where({ id: 1 }), where))
        const forked = Effect.flatMap(Deferred.make<void>(), (go) =>
          Effect.map(Effect.fork(Deferred.await(go)), (fiber) => ({ go, fiber }))
        )
        const outlives = Effect.flatMap(ShardContext.pinned(forked, to(shard1)), ({ fiber, go }) =>
          Effect.zipRight(Deferred.succeed(go, undefined), Fiber.join(fiber))
        )
        yield* Effect.all([ShardContext.pinned(ask, to(shard2)), outlives], together)
        expect(seen).toEqual([{ pin: to(shard2), unchecked: true }])
      })
    )

    it.effect("are batched inside of it, and cached for its extent", () =>
      Effect.gen(function* () {
        const { ask, batches } = make()
        const all = Effect.forEach([1, 2, 1], ask, together)
        const seen = yield* Effect.forEach(
          [shard1, shard2],
          (shard) => ShardContext.pinned(Effect.zipRight(all, all), to(shard)),
          together
        ).pipe(Effect.withRequestCaching(true))
        expect(seen.map(([first]) => first)).toEqual(["1 on shard_1", "1 on shard_2"])
        expect(batches.toSorted()).toEqual(["1,2 on shard_1", "1,2 on shard_2"])
      })
    )

    it.effect("fail where they were asked, and what is acquired around them is released", () =>
      Effect.gen(function* () {
        const { ask } = make()
        const released: Array<number> = []
        const seen = yield* Effect.forEach(
          [1, -2, 3],
          (id) =>
            ShardContext.pinned(
              Effect.acquireUseRelease(Effect.succeed(id), ask, () => Effect.sync(() => released.push(id))),
              to(id === 3 ? shard3 : shard1)
            ).pipe(Effect.either),
          together
        )
        expect(seen).toMatchObject([{ right: "1 on shard_1" }, { left: "-2" }, { right: "3 on shard_3" }])
        expect(released.toSorted()).toEqual([-2, 1, 3])
      })
    )

    it.live("are interrupted with who asked", () =>
      Effect.gen(function* () {
        const running = yield* Deferred.make<void>()
        const ended = yield* Deferred.make<void>()
        const never = RequestResolver.makeBatched((_: ReadonlyArray<Where>) =>
          Effect.zipRight(Deferred.succeed(running, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
          )
        )
        const ask = ShardContext.pinned(Effect.request(new Where({ id: 1 }), never), to(shard1))
        const fiber = yield* Effect.fork(Effect.all([ask, Effect.never], together))
        yield* Deferred.await(running)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(ended)
      })
    )
  })
})
