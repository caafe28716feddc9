/**
 * A contract: what every implementation of a port must do, as named Effects that need the port and nothing else.
 *
 * Each case expects an implementation of its own that holds nothing yet, and fails or dies where the port breaks its
 * promise. Runs under any test runner; on real time, not under `TestClock`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"

/**
 * @since 0.1.0
 * @category models
 */
export interface ContractCase<out R> {
  readonly name: string
  readonly check: Effect.Effect<void, unknown, R>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Contract<R> = ReadonlyArray<ContractCase<R>>
