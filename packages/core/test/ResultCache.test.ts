/**
 * Answers that are kept: how long, for whom, how many, and what becomes of a read that others wait for.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import { it } from "@effect/vitest"
import * as ResultCache from "@shardlayer/core/ResultCache"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { describe, expect } from "vitest"
import { paramText } from "../src/internal/paramText.js"

const make = (options: Partial<Omit<ResultCache.Options, "reactivity">> = {}) =>
  Effect.map(Reactivity.make, (reactivity) => {
    let registered = 0
    const counting: Reactivity.Reactivity.Service = {
      ...reactivity,
      unsafeRegister: (keys, run) => {
        registered++
        const cancel = reactivity.unsafeRegister(keys, run)
        return () => {
          registered--
          cancel()
        }
      }
    }
    const cache = ResultCache.make<string>({ reactivity: counting, entriesMax: 100, rowsMax: 100, ...options })
    return { cache, reactivity, registered: () => registered }
  })

const asked = (key: string, timeToLiveMillis = 60_000, dependsOn: ReadonlyArray<string> = ["a", "b"]) => ({
  key,
  dependsOn,
  timeToLiveMillis
})

/** A read that counts its turns, and gives their number. */
const counter = () => {
  let turns = 0
  return { turns: () => turns, read: Effect.sync((): ResultCache.Rows => [{ turn: ++turns }]) }
}

/** A read that ends when it is told to. */
const gated = Effect.map(Deferred.make<ResultCache.Rows, string>(), (gate) => {
  const log: Array<string> = []
  const read = Effect.suspend(() => {
    log.push("began")
    return Deferred.await(gate)
  }).pipe(Effect.onInterrupt(() => Effect.sync(() => void log.push("interrupted"))))
  return { gate, log, read }
})

/** Lets all others run as far as they can. */
const settled = Effect.yieldNow().pipe(Effect.repeatN(20))

describe("an answer", () => {
  it.effect("is kept for as long as the one who asks takes it for good, counted from when its read began", () =>
    Effect.gen(function* () {
      const { cache } = yield* make()
      const { read } = counter()
      const slow = Effect.zipLeft(read, Effect.sleep("10 seconds"))
      const first = yield* Effect.fork(cache.get(asked("x"), slow))
      yield* TestClock.adjust("10 seconds")
      expect(yield* Fiber.join(first)).toEqual([{ turn: 1 }])
      yield* TestClock.adjust("49999 millis")
      expect(yield* cache.get(asked("x"), read)).toEqual([{ turn: 1 }])
      yield* TestClock.adjust("1 millis")
      expect(yield* cache.get(asked("x", Infinity), read)).toEqual([{ turn: 1 }])
      expect(yield* cache.get(asked("x"), read)).toEqual([{ turn: 2 }])
      yield* TestClock.adjust("5 seconds")
      // Who is content with less finds what a stricter one has read, too.
      expect(yield* cache.get(asked("x", 5_000), read)).toEqual([{ turn: 3 }])
      expect(yield* cache.get(asked("x"), read)).toEqual([{ turn: 3 }])
      expect(yield* cache.get(asked("y"), read)).toEqual([{ turn: 4 }])
      yield* TestClock.adjust("1000 days")
      expect(yield* cache.get(asked("x", Infinity), read)).toEqual([{ turn: 3 }])
      expect(cache.stats()).toMatchObject({ entries: 2, hits: 4, misses: 4, joined: 0, evictions: 0 })
    })
  )

  it.effect("belongs to whoever it is given to", () =>
    Effect.gen(function* () {
      const make1 = () => [
        {
          at: new Date(0),
          bytes: Buffer.from("abc"),
          plain: new Uint8Array([1]),
          json: { list: [{ n: 1 }] },
          none: null
        }
      ]
      const spoil = (rows: ResultCache.Rows) => {
        const [row] = rows as Array<any>
        row.at.setTime(5)
        row.bytes[0] = 0
        row.plain[0] = 9
        row.json.list[0].n = 2
        row.json.list.push(3)
        row.more = true
        ;(rows as Array<any>).push("more")
      }
      for (const rowsMax of [100, 0]) {
        const { cache } = yield* make({ rowsMax })
        const gate = yield* Deferred.make<void>()
        const read = Effect.map(Deferred.await(gate), make1)
        const callers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(cache.get(asked("x"), read)))
        yield* settled
        yield* Deferred.succeed(gate, undefined)
        for (const caller of callers) {
          const rows = yield* Fiber.join(caller)
          expect(rows).toEqual(make1())
          expect(Buffer.isBuffer((rows[0] as any).bytes)).toBe(true)
          spoil(rows)
        }
        const again = yield* cache.get(asked("x"), read)
        expect(again).toEqual(make1())
        spoil(again)
        expect(yield* cache.get(asked("x"), read)).toEqual(make1())
      }
    })
  )

  it.effect("keeps columns of any name", () =>
    Effect.gen(function* () {
      const { cache } = yield* make()
      const odd: ResultCache.Rows = [
        JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}'),
        Object.assign(Object.create(null), { y: 3 })
      ]
      for (let turn = 0; turn < 2; turn++) {
        const [first, second] = (yield* cache.get(asked("x"), Effect.succeed(odd))) as ReadonlyArray<any>
        expect(Object.entries(first)).toEqual([
          ["__proto__", { x: 1 }],
          ["constructor", 2]
        ])
        expect(Object.getPrototypeOf(first)).toBe(Object.prototype)
        expect(Object.entries(second)).toEqual([["y", 3]])
      }
    })
  )

  it.effect("goes with what it depends on", () =>
    Effect.gen(function* () {
      const { cache, reactivity, registered } = yield* make()
      const { read } = counter()
      const x = cache.get(asked("x"), read)
      const y = cache.get(asked("y", 60_000, ["b", "c"]), read)
      yield* Effect.all([x, y])
      yield* reactivity.invalidate(["d"])
      expect(yield* x).toEqual([{ turn: 1 }])
      yield* reactivity.invalidate(["a"])
      expect(yield* x).toEqual([{ turn: 3 }])
      expect(yield* y).toEqual([{ turn: 2 }])
      yield* reactivity.invalidate(["a", "b"])
      expect(cache.stats()).toMatchObject({ entries: 0, invalidations: 3 })
      expect(registered()).toBe(0)
    })
  )

  it.effect("of a read that began before a change is not kept after it", () =>
    Effect.gen(function* () {
      const { cache, reactivity, registered } = yield* make()
      const { gate, read } = yield* gated
      const fresh = Effect.succeed(["fresh"])
      const before = yield* Effect.fork(cache.get(asked("x"), read))
      yield* settled
      yield* reactivity.invalidate(["b"])
      // Nor is it waited for.
      expect(yield* cache.get(asked("x"), fresh)).toEqual(["fresh"])
      yield* Deferred.succeed(gate, ["stale"])
      expect(yield* Fiber.join(before)).toEqual(["stale"])
      expect(yield* cache.get(asked("x"), fresh)).toEqual(["fresh"])
      expect(cache.stats()).toMatchObject({ entries: 1, hits: 1, misses: 2 })
      expect(registered()).toBe(1)
    })
  )
})

describe("a read", () => {
  it.effect("is shared by all who ask meanwhile", () =>
    Effect.gen(function* () {
      const { cache } = yield* make()
      const { gate, log, read } = yield* gated
      const callers = yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.fork(cache.get(asked("x"), read)))
      yield* settled
      yield* Deferred.succeed(gate, ["answer"])
      expect(yield* Fiber.join(Fiber.all(callers))).toEqual(callers.map(() => ["answer"]))
      expect(log).toEqual(["began"])
      expect(cache.stats()).toMatchObject({ entries: 1, hits: 0, misses: 1, joined: 99 })
    })
  )

  it.effect("goes on for the others when the one that came first leaves", () =>
    Effect.gen(function* () {
      const { cache } = yield* make()
      const { gate, log, read } = yield* gated
      const first = yield* Effect.fork(cache.get(asked("x"), read))
      yield* settled
      const others = yield* Effect.forEach([1, 2], () => Effect.fork(cache.get(asked("x"), Effect.die("read twice"))))
      yield* settled
      yield* Fiber.interrupt(first)
      const [second, third] = others
      yield* Fiber.interrupt(second!)
      yield* Deferred.succeed(gate, ["answer"])
      expect(yield* Fiber.join(third!)).toEqual(["answer"])
      expect(log).toEqual(["began"])
      expect(cache.stats().entries).toBe(1)
    })
  )

  it.effect("ends when the last one leaves, and is begun anew by the next", () =>
    Effect.gen(function* () {
      const { cache, registered } = yield* make()
      const { log, read } = yield* gated
      const callers = yield* Effect.forEach([1, 2, 3], () =>
        Effect.fork(Effect.timeout(cache.get(asked("x"), read), "1 second"))
      )
      yield* settled
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(callers, Fiber.await)
      expect(log).toEqual(["began", "interrupted"])
      expect(registered()).toBe(0)
      expect(yield* cache.get(asked("x"), Effect.succeed(["new"]))).toEqual(["new"])
    })
  )

  it.effect("that a caller cannot leave goes on", () =>
    Effect.gen(function* () {
      const { cache } = yield* make()
      const { gate, log, read } = yield* gated
      const caller = yield* Effect.fork(Effect.uninterruptible(cache.get(asked("x"), read)))
      yield* settled
      const leaving = yield* Effect.fork(Fiber.interrupt(caller))
      yield* settled
      yield* Deferred.succeed(gate, ["answer"])
      yield* Fiber.join(leaving)
      expect(log).toEqual(["began"])
      expect(cache.stats().entries).toBe(1)
    })
  )

  it.effect("that fails, or dies, does so for all who waited, and for nobody else", () =>
    Effect.gen(function* () {
      const { cache, registered } = yield* make()
      for (const exit of [Exit.fail("broken"), Exit.die("bug")]) {
        const gate = yield* Deferred.make<void>()
        const read = Effect.zipRight(Deferred.await(gate), exit)
        const callers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(cache.get(asked("x"), read)))
        yield* settled
        yield* Deferred.succeed(gate, undefined)
        for (const caller of callers) expect(yield* Fiber.await(caller)).toEqual(exit)
        expect(registered()).toBe(0)
        expect(yield* cache.get(asked("x"), Effect.succeed(["well"]))).toEqual(["well"])
        yield* Effect.map(cache.get(asked("x", 0), Effect.fail("no")), () => undefined).pipe(Effect.ignore)
      }
    })
  )
})

describe("bounds", () => {
  it.effect("the least recently used goes first", () =>
    Effect.gen(function* () {
      const { cache, reactivity, registered } = yield* make({ entriesMax: 2 })
      const { read, turns } = counter()
      const get = (key: string) => cache.get(asked(key), read)
      yield* get("x")
      yield* get("y")
      yield* get("x")
      yield* get("z")
      expect(cache.stats()).toMatchObject({ entries: 2, evictions: 1 })
      expect(registered()).toBe(2)
      expect(yield* get("x")).toEqual([{ turn: 1 }])
      expect(yield* get("z")).toEqual([{ turn: 3 }])
      yield* get("y")
      expect(turns()).toBe(4)
      yield* reactivity.invalidate(["a"])
      expect(cache.stats()).toMatchObject({ entries: 0, evictions: 2, invalidations: 2 })
      expect(registered()).toBe(0)
    })
  )

  it.effect("what has too many rows, or too long a key, is given and not kept", () =>
    Effect.gen(function* () {
      const { cache, registered } = yield* make({ rowsMax: 2 })
      const rows = (count: number) => Effect.succeed(Array.from({ length: count }, (_, index) => index))
      expect(yield* cache.get(asked("three"), rows(3))).toEqual([0, 1, 2])
      expect(yield* cache.get(asked("two"), rows(2))).toEqual([0, 1])
      expect(yield* cache.get(asked("x".repeat(ResultCache.keyUnitsMax + 1)), rows(1))).toEqual([0])
      expect(cache.stats()).toMatchObject({ entries: 1, misses: 3 })
      expect(registered()).toBe(1)
    })
  )

  it.effect("of nothing: reads are shared all the same", () =>
    Effect.gen(function* () {
      const { cache, registered } = yield* make({ entriesMax: 0 })
      const { gate, log, read } = yield* gated
      const callers = yield* Effect.forEach([1, 2], () => Effect.fork(cache.get(asked("x"), read)))
      yield* settled
      yield* Deferred.succeed(gate, ["answer"])
      yield* Fiber.join(Fiber.all(callers))
      yield* cache.get(asked("x"), read)
      expect(log).toEqual(["began", "began"])
      expect(registered()).toBe(0)
    })
  )
})

describe("the text of a parameter", () => {
  const circle: Record<string, unknown> = {}
  circle["self"] = circle
  const distinct: ReadonlyArray<unknown> = [
    1,
    "1",
    1n,
    true,
    "true",
    null,
    undefined,
    "null",
    "undefined",
    0,
    -0,
    NaN,
    "NaN",
    Infinity,
    "",
    [],
    {},
    "[]",
    "{}",
    [[]],
    [1],
    ["1"],
    [1, 2],
    ["1,2"],
    [[1], 2],
    [1, [2]],
    [null],
    [undefined],
    ["1", "2"],
    ['1","2'],
    "n1",
    "t",
    "0",
    "u",
    new Date(0),
    new Date(1),
    1000,
    "1970-01-01T00:00:00.000Z",
    new Date(NaN),
    [new Date(0)],
    "d0",
    new Uint8Array([1]),
    Buffer.from([1]),
    new Uint8Array([1, 0]),
    new Uint16Array([1]),
    new Uint8Array(),
    "b",
    "\\x01",
    { a: 1 },
    { a: "1" },
    { a: 1, b: 2 },
    { b: 2, a: 1 },
    { a: { b: 1 } },
    { "a:1": 1 },
    { a: undefined },
    { a: null },
    [{ a: 1 }],
    { 0: 1 },
    '{"a":1}',
    "\ud800",
    "\udc00",
    "\u{10000}"
  ]

  it.effect("is of no other", () =>
    Effect.sync(() => {
      const texts = distinct.map(paramText)
      expect(texts).not.toContain(undefined)
      expect(new Set(texts).size).toBe(distinct.length)
      // Several beside each other are told apart, too.
      const pairs = distinct.flatMap((one) => distinct.map((other) => `${paramText(one)},${paramText(other)}`))
      expect(new Set(pairs).size).toBe(distinct.length ** 2)
    })
  )

  it.effect("is that of an equal one", () =>
    Effect.sync(() => {
      const view = new Uint8Array([9, 1, 2, 9]).subarray(1, 3)
      expect(paramText(view)).toBe(paramText(new Uint8Array([1, 2])))
      expect(paramText([{ a: [new Date(7), 1n] }])).toBe(paramText([{ a: [new Date(7), 1n] }]))
      expect(paramText(Object.assign(Object.create(null), { a: 1 }))).toBe(paramText({ a: 1 }))
    })
  )

  it.effect("is none, where two values could look alike", () =>
    Effect.sync(() => {
      class Money {
        readonly #cents: number
        constructor(cents: number) {
          this.#cents = cents
        }
        toPostgres() {
          return this.#cents
        }
      }
      const opaque = [new Money(1), new Map(), () => 1, Symbol("x"), circle, { toJSON: () => 1 }, [new Money(1)], /x/]
      for (const value of opaque) expect(paramText(value)).toBeUndefined()
    })
  )
})
