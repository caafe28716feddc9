/**
 * An effect in bounded time.
 *
 * `Effect.timeout` inside of a concurrent `Effect.forEach` outlives the failure of a sibling (effect 3.22): the fibers of
 * its race are children of the fiber around the forEach, so that the interruption does not reach them before the time is
 * up. Here the fibers are held by hand. Holds: the effect has ended, by itself or by its interruption, before this does;
 * what it gave in the very moment of the deadline is given.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

export const within = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  duration: Duration.Duration,
  onTimeout: () => E2
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      let isLate = false
      const running = yield* Effect.forkDaemon(restore(effect))
      const interruption = Effect.suspend(() => {
        isLate = true
        return Fiber.interruptFork(running)
      })
      const timer = yield* Effect.forkDaemon(Effect.interruptible(Effect.delay(interruption, duration)))
      const exit = yield* restore(Fiber.await(running)).pipe(
        Effect.onInterrupt(() => Fiber.interrupt(running)),
        Effect.ensuring(Fiber.interruptFork(timer))
      )
      if (isLate && Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)) return yield* Effect.fail(onTimeout())
      yield* Fiber.inheritAll(running)
      return yield* exit
    })
  )
