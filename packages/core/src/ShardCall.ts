/**
 * What one shard is asked, under a policy: in bounded time, and anew where that is safe.
 *
 * Enters: an effect or a stream that runs on one shard, the policy in force, what is known of what it writes. Leaves:
 * the same, limited and repeated. Holds: nothing is done twice that could have changed something; a stream is begun
 * anew only while it has given no row; where the policy says nothing, this costs nothing.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Deadline from "./internal/deadline.js"
import type { Operation } from "./LightStatement.js"
import type { Access } from "./plan/Plan.js"
import type { Policy } from "./Policy.js"
import type { ShardConnection, TextBound } from "./ShardConnection.js"
import * as ShardEvents from "./ShardEvents.js"
import { type AcquireTimeout, type ShardError, ShardTimeout, type ShardUnavailable } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Call {
  readonly shard: ShardId
  readonly policy: Policy
  /** `unknown`: the router did not plan the text, or functions in it are the program's own business (`onShard`). */
  readonly access: Access | "unknown"
}

/**
 * The shard is the trouble, not the statement.
 *
 * @since 0.1.0
 * @category models
 */
export type Unavailable = ShardUnavailable | AcquireTimeout | ShardTimeout

/** @since 0.1.0 @category guards */
export const isUnavailable = (error: ShardError): error is Unavailable =>
  error._tag === "ShardUnavailable" || error._tag === "AcquireTimeout" || error._tag === "ShardTimeout"

/**
 * Can the same go well a moment later, and is it harmless to try? What a text of unknown effect may have done, it may not
 * do again. PostgreSQL undid what it failed for a deadlock or for serialization.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTransient = (error: ShardError, access: Call["access"]): boolean => {
  if (access === "write") return false
  if (error._tag === "StatementFailed") return error.isRetryable
  return isUnavailable(error) && (access === "read" || isUnsent(error))
}

const isUnsent = (error: Unavailable): boolean => {
  switch (error._tag) {
    case "ShardUnavailable":
      return !error.sent
    case "AcquireTimeout":
      return true
    case "ShardTimeout":
      return false
  }
}

/**
 * Limited, and repeated.
 *
 * @since 0.1.0
 * @category functions
 */
export const run = <A>(call: Call, answer: Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> =>
  repeated(call, limited(call, answer))

/** @since 0.1.0 @category functions */
export const limited = <A, R>(call: Call, answer: Effect.Effect<A, ShardError, R>): Effect.Effect<A, ShardError, R> => {
  const { shardTimeout } = call.policy
  return shardTimeout === undefined ? answer : Deadline.within(answer, shardTimeout, () => timedOut(call, shardTimeout))
}

/** @since 0.1.0 @category functions */
export const repeated = <A>(call: Repeatable, answer: Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> => {
  const { access, policy } = call
  const { retry } = policy
  if (retry === undefined || access === "write") return answer
  return Effect.suspend(() => {
    const attempts = ShardEvents.attempts(call.shard)
    const isWorthIt = (error: ShardError): boolean => {
      attempts.failed(error)
      return isTransient(error, access)
    }
    return Effect.retry(Effect.zipRight(attempts.before, answer), { schedule: retry, while: isWorthIt })
  })
}

/** Without a shard: of several together. */
type Repeatable = Omit<Call, "shard"> & { readonly shard?: ShardId }

/**
 * The same for a stream: each page is limited, and it begins anew while it has given no row.
 *
 * @since 0.1.0
 * @category functions
 */
export const stream = <A>(call: Call, rows: Stream.Stream<A, ShardError>): Stream.Stream<A, ShardError> =>
  repeatedStream(call, limitedStream(call, rows))

/** @since 0.1.0 @category functions */
export const limitedStream = <A>(call: Call, rows: Stream.Stream<A, ShardError>): Stream.Stream<A, ShardError> => {
  const { shardTimeout } = call.policy
  if (shardTimeout === undefined) return rows
  const late = () => Option.some(timedOut(call, shardTimeout))
  return Stream.fromPull(Effect.map(Stream.toPull(rows), (pull) => Deadline.within(pull, shardTimeout, late)))
}

/** @since 0.1.0 @category functions */
export const repeatedStream = <A>(
  call: Repeatable,
  rows: Stream.Stream<A, ShardError>
): Stream.Stream<A, ShardError> => {
  const { access, policy } = call
  const { retry } = policy
  if (retry === undefined || access === "write") return rows
  return Stream.unwrap(
    Effect.map(Schedule.driver(retry), (driver) => {
      const attempts = ShardEvents.attempts(call.shard)
      const attempt: Stream.Stream<A, ShardError> = Stream.suspend(() => {
        let hasGiven = false
        const watched = Stream.mapChunks(rows, (chunk) => {
          hasGiven ||= Chunk.isNonEmpty(chunk)
          return chunk
        })
        return Stream.catchAll(watched, (error) => {
          if (hasGiven || !isTransient(error, access)) return Stream.fail(error)
          attempts.failed(error)
          return Stream.unwrap(
            Effect.matchEffect(driver.next(error), {
              onFailure: () => Effect.succeed(Stream.fail(error)),
              onSuccess: () => Effect.as(attempts.before, attempt)
            })
          )
        })
      })
      return attempt
    })
  )
}

const timedOut = ({ access, shard }: Call, duration: Duration.Duration): ShardTimeout =>
  new ShardTimeout({ shard, timeoutMillis: Duration.toMillis(duration), mayWrite: access !== "read" })

/**
 * Values as they came: what the router reads for itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Texts {
  readonly _tag: "Texts"
  readonly bound: TextBound
}

/**
 * The form of an answer.
 *
 * @since 0.1.0
 * @category models
 */
export type Form = Operation | Texts

/**
 * The same for the router itself, too.
 *
 * @since 0.1.0
 * @category functions
 */
export const runIn = (
  connection: Pick<ShardConnection, "execute" | "executeValues" | "executeRaw" | "executeText">,
  form: Form,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<any, ShardError> =>
  typeof form === "string" ? runAs(connection, form, sql, params) : connection.executeText(sql, params, form.bound)

/**
 * One statement on one connection, in the form that the operation asks for.
 *
 * @since 0.1.0
 * @category functions
 */
export const runAs = (
  connection: Pick<ShardConnection, "execute" | "executeValues" | "executeRaw">,
  operation: Operation,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<any, ShardError> => {
  switch (operation) {
    case "execute":
    case "executeWithoutTransform":
    case "executeUnprepared":
      return connection.execute(sql, params)
    case "executeValues":
      return connection.executeValues(sql, params)
    case "executeRaw":
      return connection.executeRaw(sql, params)
  }
}
