/**
 * Runs schema changes on their shards.
 *
 * Enters: a bound change, the transaction of the fiber if there is one, the policy. Leaves: the answer of the first shard.
 * Holds: what a transaction can hold happens on all shards or on none; what runs apart is said shard by shard where it
 * fails, and running it again completes it; the first shard runs a change ahead of the others, so that two changes of one
 * thing meet there and not in a circle; whoever waits long has the transactions resolved that crashes left behind, which
 * would block it forever.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Operation } from "./LightStatement.js"
import type { Level } from "./LocalTransaction.js"
import type { Change, Resume } from "./plan/Change.js"
import type { Policy } from "./Policy.js"
import * as ShardCall from "./ShardCall.js"
import type { RawResult, ShardConnection, ShardSession } from "./ShardConnection.js"
import { OperationRefused, SchemaChangeFailed, type ShardError } from "./ShardError.js"
import type { ShardManagerService } from "./ShardManager.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Request {
  readonly change: Change
  /** At least one. */
  readonly shards: ReadonlyArray<ShardId>
  readonly sql: string
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly manager: Pick<ShardManagerService, "driver">
  readonly transacting: <A>(use: (level: Level) => Effect.Effect<A, ShardError>) => Effect.Effect<A, ShardError>
  /** Ends what crashes left prepared. */
  readonly resolve: Effect.Effect<void>
  /** The texts that set how long locks are waited for, and set it back, within a transaction or in a session. */
  readonly lockTimeout: (millis: number) => { readonly set: string; readonly reset: string; readonly session: string }
}

/** @since 0.1.0 @category models */
export interface SchemaChanges {
  readonly run: (
    request: Request,
    terms: { readonly transaction: Level | undefined; readonly policy: Policy },
    operation: Operation
  ) => Effect.Effect<any, ShardError>
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): SchemaChanges => ({
  run: (request, { policy, transaction }, operation) => {
    if (request.change.mode === "apart") {
      return transaction === undefined
        ? resolving(options.resolve, apart(options, policy, request, operation))
        : Effect.fail(new OperationRefused({ operation: request.change.words, reason: "a transaction is open here" }))
    }
    const within = (level: Level) => inTransaction(options, level, policy, request, operation)
    return resolving(
      options.resolve,
      transaction === undefined
        ? options.transacting(within)
        : Effect.zipRight(transaction.stillOpen, within(transaction))
    )
  }
})

/** Most changes wait for nobody, and need no look at all. */
const patience = Duration.millis(300)
const interval = Duration.seconds(1)

/**
 * Runs something that may wait for locks of transactions that nobody ends: from a moment on these are looked for.
 *
 * @since 0.1.0
 * @category functions
 */
export const resolving = <A, E>(resolve: Effect.Effect<void>, answer: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.acquireUseRelease(
    Effect.forkDaemon(
      Effect.interruptible(
        Effect.zipRight(Clock.sleep(patience), Effect.forever(Effect.zipRight(resolve, Clock.sleep(interval))))
      )
    ),
    () => answer,
    (looking) => Fiber.interruptFork(looking)
  )

const inTransaction = (
  options: Options,
  level: Level,
  policy: Policy,
  { shards, sql }: Request,
  operation: Operation
): Effect.Effect<any, ShardError> => {
  const on = (shard: ShardId) =>
    ShardCall.limited(
      { shard, policy, access: "write" },
      bounded(options, policy, level.connectionFor(shard), (connection) =>
        ShardCall.runAs(connection, operation, sql, [])
      )
    )
  const [first, ...others] = shards
  if (first === undefined) throw new Error("a schema change of no shards")
  // All take part before one does something: whoever may not says so first.
  return Effect.zipRight(Effect.forEach(shards, level.join, { discard: true }), on(first)).pipe(
    Effect.tap(() => Effect.forEach(others, on, { concurrency: policy.concurrency, discard: true })),
    Effect.onError(() => level.doom)
  )
}

/** A change that fails fails its transaction, which takes the setting back. */
const bounded = <A>(
  { lockTimeout }: Options,
  { lockTimeout: limit }: Policy,
  connection: ShardConnection,
  run: (connection: ShardConnection) => Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> => {
  if (limit === undefined) return run(connection)
  const { reset, set } = lockTimeout(Duration.toMillis(limit))
  return Effect.zipRight(
    connection.executeRaw(set, []),
    Effect.zipLeft(run(connection), connection.executeRaw(reset, []))
  )
}

/** Where a shard stands before a change that runs apart. */
interface Standing {
  readonly shard: ShardId
  /** Undefined: the shard has none. */
  readonly found: Found | undefined
}

interface Found {
  readonly isWhole: boolean
  readonly definition: string
  readonly clear: string
}

const apart = (
  options: Options,
  policy: Policy,
  request: Request,
  operation: Operation
): Effect.Effect<any, ShardError> => {
  const { change, shards } = request
  const { resume } = change
  if (resume === undefined) return onShards(options, policy, request, shards, operation)
  return Effect.flatMap(
    Effect.forEach(shards, (shard) => standing(options, policy, shard, resume), { concurrency: policy.concurrency }),
    (all) => {
      const isDone = ({ found }: Standing) => (resume.makes ? found?.isWhole === true : found === undefined)
      const left = all.filter((one) => !isDone(one))
      // Nothing of it is there that a retry could complete: PostgreSQL says what it says of that.
      if (left.length === 0) return onShards(options, policy, request, shards.slice(0, 1), operation)
      const run = onShards(
        options,
        policy,
        request,
        left.map(({ shard }) => shard),
        operation,
        {
          done: all.filter(isDone).map(({ shard }) => shard),
          before: (shard, session) => {
            const found = all.find((one) => one.shard === shard)?.found
            return resume.makes && found !== undefined
              ? Effect.asVoid(session.executeRaw(found.clear, []))
              : Effect.void
          }
        }
      )
      return resume.makes ? Effect.zipLeft(run, alike(options, policy, request, resume)) : run
    }
  )
}

const standing = (
  { manager }: Options,
  policy: Policy,
  shard: ShardId,
  { probe }: Resume
): Effect.Effect<Standing, ShardError> =>
  Effect.map(
    ShardCall.limited(
      { shard, policy, access: "read" },
      Effect.flatMap(manager.driver(shard), (driver) => driver.executeValues(probe, []))
    ),
    ([row]) => ({
      shard,
      found:
        row === undefined
          ? undefined
          : { isWhole: row[0] === "true", definition: String(row[1]), clear: String(row[2]) }
    })
  )

/** A shard that had one of that name already may have had another one. */
const alike = (
  options: Options,
  policy: Policy,
  { change, shards }: Request,
  resume: Resume
): Effect.Effect<void, ShardError> =>
  Effect.flatMap(
    Effect.forEach(shards, (shard) => standing(options, policy, shard, resume), { concurrency: policy.concurrency }),
    (all) => {
      const [first, ...others] = all
      const other = others.find(({ found }) => found?.definition !== first?.found?.definition)
      if (first === undefined || other === undefined) return Effect.void
      const reason = `they differ now: shard ${first.shard} has ${first.found?.definition ?? "none"}, shard ${other.shard} has ${other.found?.definition ?? "none"}`
      return Effect.fail(
        new SchemaChangeFailed({ statement: change.words, applied: shards, failed: [], notRun: [], reason })
      )
    }
  )

interface Around {
  readonly done: ReadonlyArray<ShardId>
  readonly before: (shard: ShardId, session: ShardSession) => Effect.Effect<void, ShardError>
}

/** Without an answer it was not begun. */
interface Ran {
  readonly shard: ShardId
  readonly answer: Either.Either<any, ShardError> | undefined
}

/** After the first failure no other shard begins; those that have begun are waited for, since half of one is worse. */
const onShards = (
  options: Options,
  policy: Policy,
  { change, sql }: Request,
  shards: ReadonlyArray<ShardId>,
  operation: Operation,
  { before, done }: Around = { done: [], before: () => Effect.void }
): Effect.Effect<any, ShardError> =>
  Effect.suspend(() => {
    let isStopped = false
    const on = (shard: ShardId) =>
      Effect.suspend((): Effect.Effect<Ran> => {
        if (isStopped) return Effect.succeed({ shard, answer: undefined })
        const run = onSession(options, policy, shard, (session) =>
          Effect.zipRight(before(shard, session), ShardCall.runAs(session, operation, sql, []))
        )
        return Effect.map(Effect.either(run), (answer) => {
          if (Either.isLeft(answer)) isStopped = true
          return { shard, answer }
        })
      })
    return Effect.flatMap(Effect.forEach(shards, on, { concurrency: policy.concurrency }), (all) => {
      const failed = all.flatMap(({ answer, shard }) =>
        answer !== undefined && Either.isLeft(answer) ? [{ shard, cause: answer.left }] : []
      )
      const applied = all.flatMap(({ answer, shard }) =>
        answer !== undefined && Either.isRight(answer) ? [shard] : []
      )
      const [first] = failed
      if (first === undefined) {
        const [answered] = all.flatMap(({ answer }) =>
          answer !== undefined && Either.isRight(answer) ? [answer.right as RawResult | ReadonlyArray<unknown>] : []
        )
        return Effect.succeed(answered)
      }
      return Effect.fail(
        new SchemaChangeFailed({
          statement: change.words,
          applied: [...done, ...applied],
          failed,
          notRun: all.flatMap(({ answer, shard }) => (answer === undefined ? [shard] : [])),
          reason: `shard ${first.shard}: ${first.cause.message}`
        })
      )
    })
  })

/** On a session that nobody gets afterwards, where something was set in it. */
const onSession = <A>(
  { lockTimeout, manager }: Options,
  policy: Policy,
  shard: ShardId,
  run: (session: ShardSession) => Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> => {
  const prepared = (session: ShardSession): Effect.Effect<void, ShardError, Scope.Scope> =>
    policy.lockTimeout === undefined
      ? Effect.void
      : Effect.zipRight(
          session.taint,
          Effect.asVoid(session.executeRaw(lockTimeout(Duration.toMillis(policy.lockTimeout)).session, []))
        )
  return ShardCall.limited(
    { shard, policy, access: "write" },
    Effect.scoped(
      Effect.flatMap(
        Effect.flatMap(manager.driver(shard), (driver) => driver.reserve),
        (session) => Effect.zipRight(prepared(session), run(session))
      )
    )
  )
}
