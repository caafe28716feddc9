/**
 * Statements under `onShard`: the shard is given, planning is skipped, safety is not.
 *
 * Enters: text and params for one shard. Leaves: what that shard answers, for itself alone. Holds, unless `unchecked`:
 * no row is put where the router would not look for it. Where the keys stand in the text or the params they are
 * compared before anything is sent; where the server alone knows them, the statement runs in a transaction that a
 * foreign row rolls back.
 *
 * @since 0.1.0
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import * as Executor from "./Executor.js"
import { ownerOf, type Stages } from "./internal/stages.js"
import type { Operation } from "./LightStatement.js"
import * as LocalTransaction from "./LocalTransaction.js"
import type { PinnedPlan, PinnedWrite } from "./plan/Plan.js"
import * as Prune from "./plan/Prune.js"
import * as PlanCache from "./PlanCache.js"
import type { RawResult, ShardConnection, ShardSession } from "./ShardConnection.js"
import { isShardError, KeyInvalid, RowBelongsElsewhere, type ShardError } from "./ShardError.js"
import type { KeyTuple } from "./topology/KeyValue.js"
import * as KeyValue from "./topology/KeyValue.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Pinned {
  readonly shard: ShardId
  readonly unchecked: boolean
  readonly transaction: LocalTransaction.Level | undefined
}

/** @since 0.1.0 @category models */
export interface PinnedStatements {
  readonly run: (
    pinned: Pinned,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<any, ShardError>
  readonly stream: (pinned: Pinned, sql: string, params: ReadonlyArray<unknown>) => Stream.Stream<any, ShardError>
  /** A reserved connection whose statements are looked at in the same way. */
  readonly onSession: (pinned: Omit<Pinned, "transaction">, session: ShardSession) => ShardConnection
}

/** @since 0.1.0 @category constructors */
export const make = (stages: Stages): PinnedStatements => {
  const { manager, options, planner } = stages
  const cache = PlanCache.make<PinnedPlan>({ entriesMax: options.plansMax, textMax: options.planTextMax })

  const classified = (sql: string): Effect.Effect<PinnedPlan, ShardError> => {
    const version = planner.version()
    const known = cache.get(sql, version)
    return known !== undefined
      ? Effect.succeed(known)
      : Effect.tap(planner.classify(sql), (plan) => Effect.sync(() => cache.set(sql, version, plan)))
  }

  /** The plan, once it is known that the statement may run as it is; `Check` is left to the caller. */
  const admitted = (
    pinned: Omit<Pinned, "transaction">,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<PinnedPlan, ShardError> =>
    Effect.flatMap(pinned.unchecked ? uncheckedPlan(classified(sql)) : classified(sql), (plan) => {
      switch (plan.verdict._tag) {
        case "Pass":
        case "Check":
          return Effect.succeed(plan)
        case "Refuse":
          return Effect.fail(plan.verdict.refusal)
        case "OnlyOn":
          return plan.verdict.shard === pinned.shard
            ? Effect.as(checkWrites(stages, pinned.shard, plan.verdict.writes, params), plan)
            : Effect.fail(plan.verdict.refusal)
        case "Keys":
          return Effect.as(checkWrites(stages, pinned.shard, plan.verdict.writes, params), plan)
      }
    })

  /**
   * After a statement that changed the schema, plans made before may be wrong. In a transaction the change is nobody
   * else's before its end, and reading the catalog beside it would wait for the very locks that it holds.
   */
  const settled = <A>(
    plan: PinnedPlan,
    transaction: LocalTransaction.Level | undefined,
    answer: Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> => {
    if (!plan.changesSchema) return answer
    return transaction === undefined
      ? Effect.ensuring(answer, planner.invalidate)
      : Effect.zipRight(transaction.afterEnd(planner.invalidate), answer)
  }

  const runPlain = (
    pinned: Pinned,
    plan: PinnedPlan,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> => {
    if (pinned.transaction !== undefined) {
      const run = Executor.runAs(pinned.transaction.connectionFor(pinned.shard), operation, sql, params)
      return plan.changesSession ? Effect.ensuring(run, pinned.transaction.taint) : run
    }
    return Effect.flatMap(manager.driver(pinned.shard), (driver) =>
      plan.changesSession
        ? Effect.scoped(
            Effect.flatMap(driver.reserve, (session) =>
              Effect.zipRight(session.taint, Executor.runAs(session, operation, sql, params))
            )
          )
        : Executor.runAs(driver, operation, sql, params)
    )
  }

  /** The written keys come back as rows; a foreign one fails, and the transaction with it. */
  const runChecked = (
    pinned: Pinned,
    verdict: Extract<PinnedPlan["verdict"], { _tag: "Check" }>,
    operation: Operation,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> =>
    stages
      .withTransaction(
        Effect.withFiberRuntime<unknown, ShardError>((fiber) => {
          const level = LocalTransaction.find(fiber.currentContext, stages.owner)
          if (level === undefined) throw new Error("withTransaction left no transaction in the context")
          return Effect.flatMap(level.connectionFor(pinned.shard).executeValues(verdict.check, params), (rows) =>
            Effect.as(
              Effect.forEach(rows, (row) => checkStored(stages, pinned.shard, verdict, row), { discard: true }),
              answerOf(operation, verdict.command, rows.length)
            )
          )
        })
      )
      .pipe(Effect.mapError(unwrapped))

  return {
    run: (pinned, operation, sql, params) =>
      Effect.flatMap(admitted(pinned, sql, params), (plan) =>
        settled(
          plan,
          pinned.transaction,
          plan.verdict._tag === "Check"
            ? runChecked(pinned, plan.verdict, operation, params)
            : runPlain(pinned, plan, operation, sql, params)
        )
      ),
    stream: (pinned, sql, params) =>
      Stream.unwrap(
        Effect.flatMap(admitted(pinned, sql, params), (plan) => {
          // What changes schema or session, or is checked, has few rows: no cursor is needed.
          if (plan.changesSchema || plan.changesSession || plan.verdict._tag === "Check") {
            const run =
              plan.verdict._tag === "Check"
                ? runChecked(pinned, plan.verdict, "execute", params)
                : runPlain(pinned, plan, "execute", sql, params)
            return Effect.map(settled(plan, pinned.transaction, run), (rows: ReadonlyArray<any>) =>
              Stream.fromChunk(Chunk.unsafeFromArray(rows))
            )
          }
          if (pinned.transaction !== undefined) {
            return Effect.succeed(pinned.transaction.connectionFor(pinned.shard).executeStream(sql, params))
          }
          return Effect.map(manager.driver(pinned.shard), (driver) => driver.executeStream(sql, params))
        })
      ),
    onSession: (pinned, session) => {
      const run = (operation: Operation) => (sql: string, params: ReadonlyArray<unknown>) =>
        Effect.flatMap(admitted(pinned, sql, params), (plan) =>
          plan.verdict._tag === "Check"
            ? Effect.fail(uncheckable(plan.verdict.table))
            : settled(
                plan,
                undefined,
                Effect.zipRight(
                  plan.changesSession ? session.taint : Effect.void,
                  Executor.runAs(session, operation, sql, params)
                )
              )
        )
      return {
        execute: run("execute"),
        executeValues: run("executeValues"),
        executeRaw: run("executeRaw"),
        executeStream: (sql, params) =>
          Stream.unwrap(Effect.as(admitted(pinned, sql, params), session.executeStream(sql, params)))
      }
    }
  }
}

/** `unchecked` sends even what cannot be classified. */
const uncheckedPlan = (plan: Effect.Effect<PinnedPlan, ShardError>): Effect.Effect<PinnedPlan, ShardError> =>
  Effect.match(plan, {
    onFailure: (): PinnedPlan => ({ changesSchema: true, changesSession: true, access: "write", verdict: pass }),
    onSuccess: (known): PinnedPlan => ({ ...known, verdict: pass })
  })

const pass: PinnedPlan["verdict"] = { _tag: "Pass" }

const checkWrites = (
  stages: Stages,
  pinned: ShardId,
  writes: ReadonlyArray<PinnedWrite>,
  params: ReadonlyArray<unknown>
): Effect.Effect<void, ShardError> =>
  Effect.forEach(writes, (write) => checkWrite(stages, pinned, write, params), { discard: true })

const checkWrite = (
  stages: Stages,
  pinned: ShardId,
  write: PinnedWrite,
  params: ReadonlyArray<unknown>
): Effect.Effect<void, ShardError> =>
  Effect.suspend(() => {
    const keyspace = stages.manager.topology().keyspaces[write.keyspace]
    if (keyspace === undefined) throw new Error(`a plan names keyspace ${write.keyspace}, which the topology lacks`)
    return Effect.forEach(
      write.rows,
      (row) => {
        const keys = Prune.keysOf(row, keyspace.key, params)
        if (Either.isLeft(keys)) {
          const { column, param, reason } = keys.left
          return Effect.fail(
            new KeyInvalid({ table: write.table, column: write.columns[column], reason: `$${param}: ${reason}` })
          )
        }
        if (keys.right._tag === "All") throw new Error(`a pinned write to ${write.table} has a row without a key`)
        return Effect.forEach(keys.right.keys, (key) => checkKey(stages, pinned, write.table, write.keyspace, key), {
          discard: true
        })
      },
      { discard: true }
    )
  })

/** A key as the server stored it, one column after another, as text. */
const checkStored = (
  stages: Stages,
  pinned: ShardId,
  verdict: Extract<PinnedPlan["verdict"], { _tag: "Check" }>,
  row: ReadonlyArray<unknown>
): Effect.Effect<void, ShardError> =>
  Effect.suspend(() => {
    const types = stages.manager.topology().keyspaces[verdict.keyspace]?.key ?? []
    const key: Array<string | null> = []
    for (const [index, type] of types.entries()) {
      const part = KeyValue.canonical(type, row[index])
      if (Either.isLeft(part)) {
        return Effect.fail(new KeyInvalid({ table: verdict.table, column: undefined, reason: part.left }))
      }
      key.push(part.right)
    }
    return checkKey(stages, pinned, verdict.table, verdict.keyspace, key)
  })

const checkKey = (
  stages: Stages,
  pinned: ShardId,
  table: string,
  keyspace: string,
  key: KeyTuple
): Effect.Effect<void, ShardError> =>
  Effect.flatMap(ownerOf(stages, keyspace, key), (owner) =>
    owner === pinned ? Effect.void : Effect.fail(new RowBelongsElsewhere({ table, key, pinned, owner }))
  )

const uncheckable = (table: string): KeyInvalid =>
  new KeyInvalid({
    table,
    column: undefined,
    reason:
      "the keys of these rows are known to the server alone, and a reserved connection has no transaction to check them in: use withTransaction, or ShardRouter.unchecked"
  })

const answerOf = (operation: Operation, command: string, rowCount: number): unknown => {
  const raw: RawResult = { command, rowCount, rows: [], fields: [] }
  return operation === "executeRaw" ? raw : []
}

const unwrapped = (error: ShardError | SqlError): ShardError => {
  if (!(error instanceof SqlError)) return error
  if (isShardError(error.cause)) return error.cause
  throw new Error("a transaction of the router failed with an untyped error", { cause: error })
}
