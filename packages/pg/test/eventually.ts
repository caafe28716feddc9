/**
 * Waits for what other processes do in their own time.
 */
import * as Effect from "effect/Effect"

/** The first value that fits. After ten seconds the test dies of the last one seen. */
export const eventually = <A, E, R>(
  look: Effect.Effect<A, E, R>,
  fits: (value: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const begun = Date.now()
    const again: Effect.Effect<A, E, R> = Effect.flatMap(look, (value) => {
      if (fits(value)) return Effect.succeed(value)
      if (Date.now() - begun > 10_000) return Effect.dieMessage(`it never came to fit: ${JSON.stringify(value)}`)
      return Effect.delay(again, 20)
    })
    return again
  })
