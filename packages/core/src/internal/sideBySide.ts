/**
 * Effects that run all at once, each in a fiber of its own: `Effect.all` without a limit, for what commits and writes do on
 * every statement.
 *
 * Enters: effects, two or more for good reason. Leaves: their results in order, or the first failure. Holds: who fails
 * interrupts the others, and so does whoever interrupts the whole; all have ended before it does. Knowingly less than
 * `Effect.all`: what the fibers set in their FiberRefs is nobody else's, and of failures at the same time one is told. That
 * is most of what `Effect.all` costs.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

export const sideBySide = <A, E>(effects: ReadonlyArray<Effect.Effect<A, E>>): Effect.Effect<ReadonlyArray<A>, E> => {
  const [first, second] = effects
  if (first === undefined) return Effect.succeed([])
  if (second === undefined) return Effect.map(first, (answer) => [answer])
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.forEach(effects, (effect) => Effect.forkDaemon(restore(effect))),
      (fibers) => Effect.onExit(restore(allOf(fibers)), (exit) => (Exit.isSuccess(exit) ? Effect.void : ended(fibers)))
    )
  )
}

/** Of each, not more at a time than that. `use` is called as its turn comes: what it sees by then may differ. */
export const upTo = <A, B, E>(
  concurrency: number,
  all: ReadonlyArray<A>,
  use: (one: A, place: number) => Effect.Effect<B, E>
): Effect.Effect<ReadonlyArray<B>, E> =>
  all.length <= concurrency
    ? sideBySide(all.map((one, place) => Effect.suspend(() => use(one, place))))
    : Effect.forEach(all, use, { concurrency })

/** Ends with the last of them, or with the first that fails. */
const allOf = <A, E>(fibers: ReadonlyArray<Fiber.RuntimeFiber<A, E>>): Effect.Effect<ReadonlyArray<A>, E> =>
  Effect.async((resume) => {
    const answers: Array<A> = []
    let left = fibers.length
    const observers = fibers.map((_, place) => (exit: Exit.Exit<A, E>) => {
      if (Exit.isFailure(exit)) return resume(Effect.failCause(exit.cause))
      answers[place] = exit.value
      left--
      if (left === 0) resume(Effect.succeed(answers))
    })
    for (const [place, fiber] of fibers.entries()) fiber.addObserver(observers[place]!)
    return Effect.sync(() => {
      for (const [place, fiber] of fibers.entries()) fiber.removeObserver(observers[place]!)
    })
  })

const ended = (fibers: ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>): Effect.Effect<void> =>
  Fiber.interruptAll(fibers)
