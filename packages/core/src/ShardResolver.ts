/**
 * Batches that are gathered over time, from any fibers, and keep to their shards.
 *
 * Enters: a resolver of requests, a `SqlResolver` among them. Leaves: one that waits for more of them. Holds: requests are
 * run together only if they come from the same place (pin, policy, transaction), and they are run there: what asks under
 * `onShard` is answered by that shard, and what asks in a transaction sees its rows.
 *
 * @since 0.1.0
 */
import { TransactionConnection } from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type * as Scope from "effect/Scope"
import type { Observation } from "./ShardEvent.js"
import * as ShardContext from "./ShardContext.js"

/** @since 0.1.0 @category models */
export interface Options {
  /** How long the first request of a batch waits for more. */
  readonly window: Duration.DurationInput
  /** A batch of so many requests waits no longer. Default: without a limit. */
  readonly batchMax?: number | undefined
}

/**
 * A data loader: `dataLoader` of `@effect/experimental/RequestResolver` runs its batches in the fiber that made it, on no
 * shard that was chosen and in no transaction; this one runs each where it was asked for. Answers are not cached. When the
 * scope is closed, who waits is interrupted.
 *
 * @example
 * ```ts
 * import { SqlClient, SqlResolver } from "@effect/sql"
 * import { ShardResolver } from "@shardlayer/core"
 * import { Effect, Schema } from "effect"
 *
 * const User = Schema.Struct({ id: Schema.Number, name: Schema.String })
 *
 * export const makeUsers = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   const byId = yield* SqlResolver.findById("User", {
 *     Id: Schema.Number,
 *     Result: User,
 *     ResultId: ({ id }) => id,
 *     execute: (ids) => sql`SELECT id, name FROM users WHERE ${sql.in("id", ids)}`
 *   })
 *   const loader = yield* ShardResolver.dataLoader(byId, { window: "5 millis", batchMax: 100 })
 *   return { findById: byId.makeExecute(loader) }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const dataLoader = <A extends Request.Request<any, any>>(
  resolver: RequestResolver.RequestResolver<A>,
  options: Options
): Effect.Effect<RequestResolver.RequestResolver<A>, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const { batchMax = Infinity } = options
    const windowMillis = Duration.toMillis(options.window)
    const open = new Set<Batch<A>>()
    return RequestResolver.fromEffect((request: A) =>
      Effect.withFiberRuntime<Request.Request.Success<A>, Request.Request.Error<A>>((fiber) => {
        const place = placeOf(fiber)
        const found = [...open].find((batch) => batch.asks.size < batchMax && samePlace(batch.place, place))
        if (found !== undefined) return join(found, request, batchMax)
        const batch: Batch<A> = { place, asks: new Set(), closed: Effect.unsafeMakeLatch(), isLost: false }
        open.add(batch)
        const gathered = Effect.ensuring(
          Effect.raceFirst(Effect.sleep(windowMillis), batch.closed.await),
          Effect.sync(() => open.delete(batch))
        )
        // Its fiber has the pin and the transaction of the first that asks, and so of all.
        const run = Effect.uninterruptible(
          Effect.forkIn(orLost(Effect.zipRight(gathered, runBatch(resolver, batch)), batch), scope)
        )
        return Effect.zipRight(run, join(batch, request, batchMax))
      })
    )
  })

interface Ask<A extends Request.Request<any, any>> {
  readonly request: A
  readonly answer: (answer: Effect.Effect<Request.Request.Success<A>, Request.Request.Error<A>>) => void
}

interface Batch<A extends Request.Request<any, any>> {
  readonly place: Place
  readonly asks: Set<Ask<A>>
  /** Opened when no more are waited for. */
  readonly closed: Effect.Latch
  /** The scope was closed before it ran. */
  isLost: boolean
}

/** Waits for the answer. Who is interrupted before the batch runs takes no part in it. */
const join = <A extends Request.Request<any, any>>(batch: Batch<A>, request: A, batchMax: number) =>
  Effect.async<Request.Request.Success<A>, Request.Request.Error<A>>((answer) => {
    if (batch.isLost) return answer(Effect.interrupt)
    const ask: Ask<A> = { request, answer }
    batch.asks.add(ask)
    if (batch.asks.size >= batchMax) batch.closed.unsafeOpen()
    return Effect.sync(() => batch.asks.delete(ask))
  })

const runBatch = <A extends Request.Request<any, any>>(
  resolver: RequestResolver.RequestResolver<A>,
  batch: Batch<A>
): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.forEach(
      [...batch.asks],
      ({ answer, request }) => Effect.map(Effect.exit(Effect.request(request, resolver)), answer),
      { batching: true, concurrency: "unbounded", discard: true }
    )
  ).pipe(Effect.withRequestCaching(false))

/** Uninterruptible at first, so that it is told even if the scope is closed already. */
const orLost = <A extends Request.Request<any, any>>(run: Effect.Effect<void>, batch: Batch<A>): Effect.Effect<void> =>
  Effect.onInterrupt(Effect.interruptible(run), () =>
    Effect.sync(() => {
      batch.isLost = true
      for (const { answer } of batch.asks) answer(Effect.interrupt)
    })
  )

/** All that decides where a statement runs, and who is told of it. */
interface Place {
  readonly context: ShardContext.ShardContext
  readonly observation: Observation | undefined
  readonly transaction: unknown
}

const placeOf = (fiber: Fiber.RuntimeFiber<any, any>): Place => ({
  context: ShardContext.of(fiber),
  observation: ShardContext.observationOf(fiber),
  transaction: fiber.currentContext.unsafeMap.get(TransactionConnection.key)
})

const samePlace = (one: Place, other: Place): boolean =>
  one.transaction === other.transaction &&
  one.observation === other.observation &&
  ShardContext.same(one.context, other.context)
