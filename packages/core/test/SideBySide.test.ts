/** Effects at once: in order, the first failure, and nothing left behind. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { sideBySide, upTo } from "../src/internal/sideBySide.js"

/** Notes how it ended; takes a moment to be interrupted. */
const held = (log: Array<string>, name: string) =>
  Effect.onInterrupt(Effect.never, () =>
    Effect.zipRight(
      Effect.yieldNow(),
      Effect.sync(() => log.push(`${name} interrupted`))
    )
  )

describe("sideBySide", () => {
  it.effect("gives the results in order, whoever ends first", () =>
    Effect.gen(function* () {
      const last = yield* Deferred.make<string>()
      const answers = yield* sideBySide<string | boolean, never>([
        Deferred.await(last),
        Deferred.succeed(last, "first"),
        Effect.succeed("third")
      ])
      assert.deepStrictEqual(answers, ["first", true, "third"])
      assert.deepStrictEqual(yield* sideBySide([]), [])
      assert.deepStrictEqual(yield* sideBySide([Effect.succeed(1)]), [1])
    })
  )

  it.effect("fails with the first failure, once the others have ended", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const failing = Effect.zipRight(Effect.yieldNow(), Effect.fail("wrong"))
      const exit = yield* Effect.exit(sideBySide([held(log, "one"), failing, held(log, "two")]))
      assert.deepStrictEqual(exit, Exit.fail("wrong"))
      assert.deepStrictEqual(log.sort(), ["one interrupted", "two interrupted"])
    })
  )

  it.effect("dies as what it runs does", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(sideBySide([Effect.never, Effect.die("broken")]))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
    })
  )

  it.effect("is interrupted with all it runs, and waits for them", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const running = yield* Effect.fork(sideBySide([held(log, "one"), held(log, "two")]))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      const exit = yield* Fiber.interrupt(running)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.deepStrictEqual(log.sort(), ["one interrupted", "two interrupted"])
    })
  )

  it.effect("where nothing may be interrupted, it waits for what is slow", () =>
    Effect.gen(function* () {
      const go = yield* Deferred.make<void>()
      const running = yield* Effect.fork(
        Effect.uninterruptible(sideBySide([Deferred.await(go), Effect.as(Deferred.await(go), 2)]))
      )
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      const interrupting = yield* Effect.fork(Fiber.interrupt(running))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      assert.strictEqual(running.unsafePoll(), null)
      yield* Deferred.succeed(go, undefined)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interrupting)))
    })
  )

  it.effect("runs in the context of whoever asks", () =>
    Effect.gen(function* () {
      const ref = FiberRef.unsafeMake("default")
      const answers = yield* Effect.locally(sideBySide([FiberRef.get(ref), FiberRef.get(ref)]), ref, "own")
      assert.deepStrictEqual(answers, ["own", "own"])
    })
  )

  it.effect("upTo asks for each as its turn comes", () =>
    Effect.gen(function* () {
      for (const concurrency of [1, 5]) {
        let begun = 0
        const seen = yield* upTo(concurrency, [0, 1, 2], () => {
          const before = begun
          return Effect.sync(() => (begun++, before))
        })
        assert.deepStrictEqual(seen, [0, 1, 2])
      }
    })
  )

  it.effect("upTo runs no more at a time than it may", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const one = Effect.gen(function* () {
        most = Math.max(most, ++running)
        yield* Effect.yieldNow()
        running--
      })
      yield* upTo(2, [1, 2, 3, 4, 5], () => one)
      assert.strictEqual(most, 2)
      yield* upTo(5, [1, 2, 3, 4, 5], () => one)
      assert.strictEqual(most, 5)
    })
  )
})
