/**
 * Runs bound plans: structured, bounded, first failure interrupts the siblings.
 *
 * Enters: a `BoundPlan`, the transaction of the fiber if there is one, text and params. Leaves: rows in the form the
 * operation asks for. Holds: inside a transaction only its one participant is touched; several shards are never
 * written.
 *
 * @since 0.1.0
 */
import type { Row } from "@effect/sql/SqlConnection"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Operation } from "./LightStatement.js"
import type { BoundPlan } from "./plan/Bind.js"
import type { Level } from "./LocalTransaction.js"
import type { RawResult, ShardConnection } from "./ShardConnection.js"
import { CrossShardTransaction, type ShardError } from "./ShardError.js"
import type { ShardManagerService } from "./ShardManager.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Executor {
  readonly run: (
    bound: BoundPlan,
    transaction: Level | undefined,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<any, ShardError>
  readonly runOn: (
    shard: ShardId,
    transaction: Level | undefined,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<any, ShardError>
  readonly stream: (
    bound: BoundPlan,
    transaction: Level | undefined,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Stream.Stream<Row, ShardError>
  readonly streamOn: (
    shard: ShardId,
    transaction: Level | undefined,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Stream.Stream<Row, ShardError>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly manager: ShardManagerService
  /** Shards that one statement runs on at a time. */
  readonly concurrency: number
}

/** @since 0.1.0 @category constructors */
export const make = ({ concurrency, manager }: Options): Executor => {
  let turn = 0
  /** Reads that any shard can answer go round, so that no shard carries the reference tables alone. */
  const inTurn = (): ReadonlyArray<ShardId> => {
    const shards = manager.topology().shards
    const first = turn++ % shards.length
    return [...shards.slice(first), ...shards.slice(0, first)]
  }

  const connectionTo = (
    shard: ShardId,
    transaction: Level | undefined
  ): ShardConnection | Effect.Effect<ShardConnection, ShardError> =>
    transaction === undefined ? (manager.driverNow(shard) ?? manager.driver(shard)) : transaction.connectionFor(shard)

  const runOn: Executor["runOn"] = (shard, transaction, operation, sql, params) => {
    const connection = connectionTo(shard, transaction)
    return Effect.isEffect(connection)
      ? Effect.flatMap(connection, (opened) => runAs(opened, operation, sql, params))
      : runAs(connection, operation, sql, params)
  }

  const streamOn: Executor["streamOn"] = (shard, transaction, sql, params) => {
    const connection = connectionTo(shard, transaction)
    return Effect.isEffect(connection)
      ? Stream.unwrap(Effect.map(connection, (opened) => opened.executeStream(sql, params)))
      : connection.executeStream(sql, params)
  }

  /** A read that any shard can answer asks the next one while nothing was sent. */
  const runAny = (
    shards: ReadonlyArray<ShardId>,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> => {
    const [shard, ...others] = shards
    const answer = runOn(shard!, undefined, operation, sql, params)
    if (others.length === 0) return answer
    return Effect.catchTag(answer, "ShardUnavailable", (error) =>
      error.sent ? Effect.fail(error) : runAny(others, operation, sql, params)
    )
  }

  /**
   * A transaction that has a shard reads there, and so sees its own snapshot. One that has none yet reads beside itself:
   * reading a reference table must not decide which shard it can write to.
   */
  const runAnywhere = (
    transaction: Level | undefined,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> => {
    if (transaction === undefined) return runAny(inTurn(), operation, sql, params)
    return Effect.suspend(() => {
      const shard = transaction.shard()
      return shard === undefined
        ? Effect.zipRight(transaction.stillOpen, runAny(inTurn(), operation, sql, params))
        : runOn(shard, transaction, operation, sql, params)
    })
  }

  const streamAnywhere = (
    transaction: Level | undefined,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Stream.Stream<Row, ShardError> =>
    Stream.suspend(() => {
      const shard = transaction?.shard()
      if (transaction === undefined || shard !== undefined)
        return streamOn(shard ?? inTurn()[0]!, transaction, sql, params)
      return Stream.concat(
        Stream.drain(Stream.fromEffect(transaction.stillOpen)),
        streamOn(inTurn()[0]!, undefined, sql, params)
      )
    })

  return {
    runOn,
    streamOn,
    run: (bound, transaction, operation, sql, params) => {
      switch (bound._tag) {
        case "OneShard":
          return runOn(bound.shard, transaction, operation, sql, params)
        case "AnyShard":
          return runAnywhere(transaction, operation, sql, params)
        case "Concatenated":
          return transaction === undefined
            ? Effect.map(
                Effect.forEach(bound.shards, (shard) => runOn(shard, undefined, operation, sql, params), {
                  concurrency
                }),
                (parts) => concatenated(operation, parts)
              )
            : Effect.fail(crossShard(transaction, bound.shards))
      }
    },
    stream: (bound, transaction, sql, params) => {
      switch (bound._tag) {
        case "OneShard":
          return streamOn(bound.shard, transaction, sql, params)
        case "AnyShard":
          return streamAnywhere(transaction, sql, params)
        case "Concatenated":
          return transaction === undefined
            ? Stream.flatMap(
                Stream.fromIterable(bound.shards),
                (shard) => streamOn(shard, undefined, sql, params),
                // Two chunks a shard: enough to keep it busy, and memory stays flat.
                { concurrency, bufferSize: 2 }
              )
            : Stream.fail(crossShard(transaction, bound.shards))
      }
    }
  }
}

const crossShard = (transaction: Level, needed: ReadonlyArray<ShardId>): CrossShardTransaction =>
  new CrossShardTransaction({ began: transaction.shard(), needed })

/**
 * One statement on one connection, in the form that the operation asks for.
 *
 * @since 0.1.0
 * @category functions
 */
export const runAs = (
  connection: ShardConnection,
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

const concatenated = (operation: Operation, parts: ReadonlyArray<any>): unknown => {
  if (operation !== "executeRaw") return parts.flat()
  const results: ReadonlyArray<RawResult> = parts
  return Object.assign(Object.create(Object.getPrototypeOf(results[0])), results[0], {
    rows: results.flatMap((result) => result.rows),
    rowCount: results.reduce((sum, result) => sum + (result.rowCount ?? 0), 0)
  })
}
