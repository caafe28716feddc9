/** What an example says, kept from the screen. */
import * as Effect from "effect/Effect"

/** Leaves what the effect gives, and its lines. */
export const told = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, string], E, R> =>
  Effect.flatMap(Effect.console, (console) => {
    const lines: Array<string> = []
    const log = (line: unknown) => Effect.sync(() => void lines.push(String(line)))
    return Effect.map(Effect.withConsole(effect, { ...console, log }), (value) => [value, lines.join("\n")] as const)
  })
