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
import * as ScatterMerge from "./ScatterMerge.js"
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
  /** Groups, distinct rows, or rows to combine, that one statement may hold in memory. */
  readonly mergeRowsMax: number
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): Executor => new ShardExecutor(options)

class ShardExecutor implements Executor {
  private turn = 0
  private readonly merging: ScatterMerge.Options

  constructor(private readonly options: Options) {
    const { concurrency, manager, mergeRowsMax } = options
    this.merging = {
      driver: (shard) => {
        const open = manager.driverNow(shard)
        return open === undefined ? manager.driver(shard) : Effect.succeed(open)
      },
      concurrency,
      rowsMax: mergeRowsMax
    }
  }

  readonly run: Executor["run"] = (bound, transaction, operation, sql, params) => {
    switch (bound._tag) {
      case "OneShard":
        return this.runOn(bound.shard, transaction, operation, sql, params)
      case "AnyShard":
        return this.runAnywhere(transaction, operation, sql, params)
      case "Concatenated":
        return transaction === undefined
          ? this.runConcatenated(bound.shards, operation, sql, params)
          : Effect.fail(crossShard(transaction, bound.shards))
      case "Merged":
        return transaction === undefined
          ? Effect.suspend(() => ScatterMerge.run(this.merging, this.requestOf(bound, sql, params), operation))
          : Effect.fail(crossShard(transaction, bound.shards))
    }
  }

  readonly stream: Executor["stream"] = (bound, transaction, sql, params) => {
    switch (bound._tag) {
      case "OneShard":
        return this.streamOn(bound.shard, transaction, sql, params)
      case "AnyShard":
        return this.streamAnywhere(transaction, sql, params)
      case "Concatenated":
        return transaction === undefined
          ? this.streamConcatenated(bound.shards, sql, params)
          : Stream.fail(crossShard(transaction, bound.shards))
      case "Merged":
        return transaction === undefined
          ? Stream.suspend(() => ScatterMerge.stream(this.merging, this.requestOf(bound, sql, params)))
          : Stream.fail(crossShard(transaction, bound.shards))
    }
  }

  readonly runOn: Executor["runOn"] = (shard, transaction, operation, sql, params) => {
    const connection = this.connectionTo(shard, transaction)
    return Effect.isEffect(connection)
      ? Effect.flatMap(connection, (opened) => ScatterMerge.runAs(opened, operation, sql, params))
      : ScatterMerge.runAs(connection, operation, sql, params)
  }

  readonly streamOn: Executor["streamOn"] = (shard, transaction, sql, params) => {
    const connection = this.connectionTo(shard, transaction)
    return Effect.isEffect(connection)
      ? Stream.unwrap(Effect.map(connection, (opened) => opened.executeStream(sql, params)))
      : connection.executeStream(sql, params)
  }

  private connectionTo(
    shard: ShardId,
    transaction: Level | undefined
  ): ShardConnection | Effect.Effect<ShardConnection, ShardError> {
    const { manager } = this.options
    return transaction === undefined
      ? (manager.driverNow(shard) ?? manager.driver(shard))
      : transaction.connectionFor(shard)
  }

  /** Reads that any shard can answer go round, so that no shard carries the reference tables alone. */
  private inTurn(): readonly [ShardId, ...ReadonlyArray<ShardId>] {
    const shards = this.options.manager.topology().shards
    const at = this.turn++ % shards.length
    const [first, ...rest] = [...shards.slice(at), ...shards.slice(0, at)]
    if (first === undefined) throw new Error("a topology has no shards")
    return [first, ...rest]
  }

  /** A read that any shard can answer asks the next one while nothing was sent. */
  private runAny(
    [shard, next, ...others]: ReadonlyArray<ShardId>,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    if (shard === undefined) throw new Error("no shard is left to ask")
    const answer = this.runOn(shard, undefined, operation, sql, params)
    if (next === undefined) return answer
    return Effect.catchTag(answer, "ShardUnavailable", (error) =>
      error.sent ? Effect.fail(error) : this.runAny([next, ...others], operation, sql, params)
    )
  }

  /**
   * A transaction that has a shard reads there, and so sees its own snapshot. One that has none yet reads beside itself:
   * reading a reference table must not decide which shard it can write to.
   */
  private runAnywhere(
    transaction: Level | undefined,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    if (transaction === undefined) return this.runAny(this.inTurn(), operation, sql, params)
    return Effect.suspend(() => {
      const shard = transaction.shard()
      return shard === undefined
        ? Effect.zipRight(transaction.stillOpen, this.runAny(this.inTurn(), operation, sql, params))
        : this.runOn(shard, transaction, operation, sql, params)
    })
  }

  private streamAnywhere(
    transaction: Level | undefined,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Stream.Stream<Row, ShardError> {
    return Stream.suspend(() => {
      const shard = transaction?.shard()
      if (shard !== undefined) return this.streamOn(shard, transaction, sql, params)
      const rows = this.streamOn(this.inTurn()[0], undefined, sql, params)
      if (transaction === undefined) return rows
      return Stream.concat(Stream.drain(Stream.fromEffect(transaction.stillOpen)), rows)
    })
  }

  /** What a PostgreSQL must finish goes round among the shards that it concerns. */
  private requestOf(
    { merge, shards }: Extract<BoundPlan, { readonly _tag: "Merged" }>,
    sql: string,
    params: ReadonlyArray<unknown>
  ): ScatterMerge.Request {
    const coordinator = shards[this.turn++ % shards.length]
    if (coordinator === undefined) throw new Error("a merge over no shards")
    return { merge, shards, coordinator, sql, params }
  }

  private runConcatenated(
    shards: ReadonlyArray<ShardId>,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { concurrency } = this.options
    const parts = Effect.forEach(shards, (shard) => this.runOn(shard, undefined, operation, sql, params), {
      concurrency
    })
    return Effect.map(parts, (answers) => concatenated(operation, answers))
  }

  private streamConcatenated(
    shards: ReadonlyArray<ShardId>,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Stream.Stream<Row, ShardError> {
    return Stream.flatMap(
      Stream.fromIterable(shards),
      (shard) => this.streamOn(shard, undefined, sql, params),
      // Two chunks a shard: enough to keep it busy, and memory stays flat.
      { concurrency: this.options.concurrency, bufferSize: 2 }
    )
  }
}

const crossShard = (transaction: Level, needed: ReadonlyArray<ShardId>): CrossShardTransaction =>
  new CrossShardTransaction({ began: transaction.shard(), needed })

const concatenated = (operation: Operation, parts: ReadonlyArray<any>): unknown => {
  if (operation !== "executeRaw") return parts.flat()
  const results: ReadonlyArray<RawResult> = parts
  return Object.assign(Object.create(Object.getPrototypeOf(results[0])), results[0], {
    rows: results.flatMap((result) => result.rows),
    rowCount: results.reduce((sum, result) => sum + (result.rowCount ?? 0), 0)
  })
}
