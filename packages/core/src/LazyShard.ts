/**
 * One shard's layer, built when it is first needed.
 *
 * Holds: one build at a time, the others wait for what it makes; a build that fails or is interrupted leaves nothing
 * open, and the next use tries again.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { CurrentShardDriver, CurrentShardId, type ShardDriver } from "./ShardConnection.js"
import { ShardUnavailable } from "./ShardError.js"
import * as ShardEvents from "./ShardEvents.js"
import type { ShardId } from "./topology/ShardId.js"

/**
 * A shard as the program gives it. Beside `SqlClient` the layer may provide `CurrentShardDriver`.
 *
 * @since 0.1.0
 * @category models
 */
export type ShardLayer = Layer.Layer<SqlClient, unknown>

/** @since 0.1.0 @category models */
export interface LazyShard {
  readonly id: ShardId
  readonly driver: Effect.Effect<ShardDriver, ShardUnavailable>
  /** The driver if it is open already. */
  readonly driverNow: () => ShardDriver | undefined
  /** Closes what is open; running statements are cancelled. */
  readonly close: Effect.Effect<void>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly id: ShardId
  readonly layer: ShardLayer
  /** Closes the shard at the latest. */
  readonly scope: Scope.Scope
  /** Makes connections of a layer that provides a `SqlClient` alone. */
  readonly adapt: (client: SqlClient, shard: ShardId) => ShardDriver
}

/** @since 0.1.0 @category constructors */
export const make = ({ adapt, id, layer, scope }: Options): LazyShard => {
  const turn = Effect.unsafeMakeSemaphore(1)
  let opened: { readonly driver: ShardDriver; readonly scope: Scope.CloseableScope } | undefined

  const build = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      if (opened !== undefined) return opened.driver
      const closing = yield* Scope.fork(scope, ExecutionStrategy.sequential)
      const named = Layer.provide(layer, Layer.succeed(CurrentShardId, id))
      const exit = yield* Effect.exit(restore(Layer.buildWithScope(named, closing)))
      if (Exit.isFailure(exit)) {
        yield* Scope.close(closing, exit)
        return yield* Effect.failCause(unavailable(id, exit.cause))
      }
      const found = Context.getOption(exit.value, CurrentShardDriver)
      const own = found._tag === "Some" ? found.value : adapt(Context.get(exit.value, Client.SqlClient), id)
      const driver = ShardEvents.driver(id, own)
      opened = { driver, scope: closing }
      return driver
    })
  )

  return {
    id,
    driver: Effect.suspend(() => (opened === undefined ? turn.withPermits(1)(build) : Effect.succeed(opened.driver))),
    driverNow: () => opened?.driver,
    close: turn.withPermits(1)(
      Effect.suspend(() => {
        const closing = opened
        opened = undefined
        return closing === undefined ? Effect.void : Scope.close(closing.scope, Exit.void)
      })
    )
  }
}

const unavailable = (shard: ShardId, cause: Cause.Cause<unknown>): Cause.Cause<ShardUnavailable> => {
  if (Cause.isInterruptedOnly(cause)) return cause as Cause.Cause<never>
  const error = Cause.squash(cause)
  if (error instanceof ShardUnavailable) return Cause.fail(error)
  const reason = error instanceof Error ? error.message : String(error)
  return Cause.fail(new ShardUnavailable({ shard, reason, sent: false, cause: error }))
}
