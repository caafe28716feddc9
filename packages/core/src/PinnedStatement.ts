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
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { ownerOf, type Stages, transacting } from "./internal/stages.js"
import type { Operation } from "./LightStatement.js"
import type * as LocalTransaction from "./LocalTransaction.js"
import type { Access, PinnedPlan, PinnedWrite } from "./plan/Plan.js"
import * as Prune from "./plan/Prune.js"
import * as PlanCache from "./PlanCache.js"
import type { Policy } from "./Policy.js"
import * as ShardCall from "./ShardCall.js"
import type { RawResult, ShardConnection, ShardDriver, ShardSession, StatementConnection } from "./ShardConnection.js"
import { KeyInvalid, RowBelongsElsewhere, type ShardError, type UnsupportedQuery } from "./ShardError.js"
import type { KeyTuple } from "./topology/KeyValue.js"
import * as KeyValue from "./topology/KeyValue.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Pinned {
  readonly shard: ShardId
  readonly unchecked: boolean
  readonly transaction: LocalTransaction.Level | undefined
  readonly policy: Policy
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
  readonly onSession: (place: Place, session: ShardSession) => StatementConnection
  /**
   * A statement without a pin that changes settings of the transaction and nothing else: for all its shards. Fails with
   * the refusal where it is another one.
   */
  readonly set: (
    transaction: LocalTransaction.Level,
    refusal: UnsupportedQuery,
    policy: Policy,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ) => Effect.Effect<any, ShardError>
  /** Would it leave schema, session and rows as they are, as far as its text shows? Fails where it may not run at all. */
  readonly access: (place: Place, sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<Access, ShardError>
  /** An answer to a text that is sent without being looked at: what it may have changed is told. */
  readonly watched: <A>(
    sql: string,
    transaction: LocalTransaction.Level | undefined,
    answer: Effect.Effect<A, ShardError>
  ) => Effect.Effect<A, ShardError>
  readonly watchedStream: <A>(
    sql: string,
    transaction: LocalTransaction.Level | undefined,
    rows: Stream.Stream<A, ShardError>
  ) => Stream.Stream<A, ShardError>
  readonly watchedSession: (session: ShardSession) => StatementConnection
}

type Place = Pick<Pinned, "shard" | "unchecked">
type Check = Extract<PinnedPlan["verdict"], { readonly _tag: "Check" }>

/** @since 0.1.0 @category constructors */
export const make = (stages: Stages): PinnedStatements => new Pins(stages)

class Pins implements PinnedStatements {
  private readonly cache: PlanCache.PlanCache<PinnedPlan>
  private turn = 0

  constructor(private readonly stages: Stages) {
    const { plansMax, planTextMax } = stages.options
    this.cache = PlanCache.make({ entriesMax: plansMax, textMax: planTextMax })
  }

  readonly run: PinnedStatements["run"] = (pinned, operation, sql, params) =>
    Effect.flatMap(this.admitted(pinned, sql, params), (plan) =>
      this.settled(plan, pinned.transaction, this.runAdmitted(pinned, plan, operation, sql, params))
    )

  readonly stream: PinnedStatements["stream"] = (pinned, sql, params) =>
    Stream.unwrap(
      Effect.flatMap(this.admitted(pinned, sql, params), (plan) => {
        // What changes something, or is checked, has few rows: no cursor is needed.
        if (hasFewRows(plan)) {
          const rows = this.runAdmitted(pinned, plan, "execute", sql, params)
          return Effect.map(this.settled(plan, pinned.transaction, rows), (found: ReadonlyArray<any>) =>
            Stream.fromChunk(Chunk.unsafeFromArray(found))
          )
        }
        const call = callOf(pinned, plan)
        const { changes } = this.stages
        if (pinned.transaction !== undefined) {
          const rows = pinned.transaction.connectionFor(pinned.shard).executeStream(sql, params)
          return Effect.succeed(
            changes.afterStream(plan.writes, pinned.transaction, ShardCall.limitedStream(call, rows))
          )
        }
        const driver = this.stages.manager.driver(pinned.shard)
        const rows = Stream.unwrap(Effect.map(driver, (opened) => opened.executeStream(sql, params)))
        return Effect.succeed(changes.afterStream(plan.writes, undefined, ShardCall.stream(call, rows)))
      })
    )

  readonly onSession: PinnedStatements["onSession"] = (place, session) => {
    const run = (operation: Operation) => (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.flatMap(this.admitted(place, sql, params), (plan) => {
        if (plan.verdict._tag === "Check") return Effect.fail(uncheckable(plan.verdict.table))
        const tainted = plan.changesSession ? session.taint : Effect.void
        return this.settled(plan, undefined, Effect.zipRight(tainted, ShardCall.runAs(session, operation, sql, params)))
      })
    return {
      execute: run("execute"),
      executeValues: run("executeValues"),
      executeRaw: run("executeRaw"),
      executeStream: (sql, params) =>
        Stream.unwrap(
          Effect.map(this.admitted(place, sql, params), (plan) =>
            this.stages.changes.afterStream(plan.writes, undefined, session.executeStream(sql, params))
          )
        )
    }
  }

  readonly watched: PinnedStatements["watched"] = (sql, transaction, answer) =>
    this.stages.changes.isWatched()
      ? Effect.flatMap(uncheckedPlan(this.classified(sql)), (plan) => this.settled(plan, transaction, answer))
      : this.stages.changes.afterUnseen(transaction, answer)

  readonly watchedStream: PinnedStatements["watchedStream"] = (sql, transaction, rows) =>
    this.stages.changes.isWatched()
      ? Stream.unwrap(
          Effect.map(uncheckedPlan(this.classified(sql)), (plan) =>
            this.stages.changes.afterStream(plan.writes, transaction, rows)
          )
        )
      : this.stages.changes.afterUnseenStream(transaction, rows)

  readonly watchedSession: PinnedStatements["watchedSession"] = (session) => ({
    execute: (sql, params) => this.watched(sql, undefined, session.execute(sql, params)),
    executeValues: (sql, params) => this.watched(sql, undefined, session.executeValues(sql, params)),
    executeRaw: (sql, params) => this.watched(sql, undefined, session.executeRaw(sql, params)),
    executeStream: (sql, params) => this.watchedStream(sql, undefined, session.executeStream(sql, params))
  })

  readonly set: PinnedStatements["set"] = (transaction, refusal, policy, operation, sql, params) =>
    Effect.flatMap(
      Effect.catchAll(this.classified(sql), () => Effect.fail(refusal)),
      (plan) => {
        const { setting } = plan
        // Of a setting that may not change it says more than that settings belong to sessions.
        if (plan.verdict._tag === "Refuse") return Effect.fail(plan.changesSettings ? plan.verdict.refusal : refusal)
        if (setting === undefined || setting.values !== undefined || plan.changesSession) return Effect.fail(refusal)
        const { shards } = this.stages.manager.topology()
        const shard = shards[this.turn++ % shards.length]
        if (shard === undefined) throw new Error("a topology has no shards")
        const call: ShardCall.Call = { shard: transaction.shard() ?? shard, policy, access: "unknown" }
        return ShardCall.limited(
          call,
          transaction.set({ ...setting, sql, params }, { shard, joins: false }, (connection) =>
            ShardCall.runAs(connection, operation, sql, params)
          )
        )
      }
    )

  readonly access: PinnedStatements["access"] = (place, sql, params) =>
    Effect.map(this.admitted(place, sql, params), (plan) =>
      plan.access === "read" && !plan.changesSchema && !plan.changesSession ? "read" : "write"
    )

  private classified(sql: string): Effect.Effect<PinnedPlan, ShardError> {
    const { planner } = this.stages
    const version = planner.version()
    const known = this.cache.get(sql, version)
    return known !== undefined
      ? Effect.succeed(known)
      : Effect.tap(planner.classify(sql), (plan) => Effect.sync(() => this.cache.set(sql, version, plan)))
  }

  /** The plan, once it is known that the statement may run as it is; `Check` is left to the caller. */
  private admitted(place: Place, sql: string, params: ReadonlyArray<unknown>): Effect.Effect<PinnedPlan, ShardError> {
    const classified = place.unchecked ? uncheckedPlan(this.classified(sql)) : this.classified(sql)
    return Effect.flatMap(classified, (plan) => {
      const { verdict } = plan
      switch (verdict._tag) {
        case "Pass":
        case "Check":
          return Effect.succeed(plan)
        case "Refuse":
          return Effect.fail(verdict.refusal)
        case "OnlyOn":
          return verdict.shard === place.shard
            ? Effect.as(checkWrites(this.stages, place.shard, verdict.writes, params), plan)
            : Effect.fail(verdict.refusal)
        case "Keys":
          return Effect.as(checkWrites(this.stages, place.shard, verdict.writes, params), plan)
      }
    })
  }

  /**
   * Who reads what it changed is told. After a statement that changed the schema, plans made before may be wrong. In a transaction the change is nobody
   * else's before its end, and reading the catalog beside it would wait for the very locks that it holds.
   */
  private settled<A>(
    plan: PinnedPlan,
    transaction: LocalTransaction.Level | undefined,
    answer: Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> {
    const { changes, planner } = this.stages
    if (!plan.changesSchema) return changes.after(plan.writes, transaction, answer)
    return transaction === undefined
      ? changes.after(plan.writes, undefined, Effect.ensuring(answer, planner.invalidate))
      : Effect.zipRight(transaction.afterEnd(planner.invalidate), changes.after(plan.writes, transaction, answer))
  }

  private runAdmitted(
    pinned: Pinned,
    plan: PinnedPlan,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { shard, transaction } = pinned
    if (transaction !== undefined) {
      const prepares = plan.cannotPrepare === true ? "no" : plan.writes === "unknown" ? "perhaps" : "yes"
      const answer = this.runInside(transaction, pinned, plan, operation, sql, params)
      return prepares === "yes" ? answer : Effect.zipRight(transaction.cannotPrepare(shard, prepares), answer)
    }
    const call = callOf(pinned, plan)
    if (plan.verdict._tag === "Check") {
      return ShardCall.limited(call, this.runChecked(shard, plan.verdict, operation, params))
    }
    return ShardCall.run(
      call,
      Effect.flatMap(this.stages.manager.driver(shard), (driver) =>
        plan.changesSession ? runOnce(driver, operation, sql, params) : ShardCall.runAs(driver, operation, sql, params)
      )
    )
  }

  private runInside(
    transaction: LocalTransaction.Level,
    pinned: Pinned,
    plan: PinnedPlan,
    operation: Operation,
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    const { shard } = pinned
    const { setting, verdict } = plan
    const call = callOf(pinned, plan)
    const run = (connection: ShardConnection) => ShardCall.runAs(connection, operation, sql, params)
    if (setting !== undefined && !plan.changesSession && plan.writes !== "unknown" && verdict._tag !== "Check") {
      return ShardCall.limited(call, transaction.set({ ...setting, sql, params }, { shard, joins: true }, run))
    }
    const answer = ShardCall.limited(
      call,
      verdict._tag === "Check"
        ? this.runChecked(shard, verdict, operation, params)
        : run(transaction.connectionFor(shard))
    )
    if (plan.changesSession) return Effect.ensuring(answer, transaction.taint)
    // Code of the server that nobody has looked at may set what it likes.
    const isUnseen = verdict._tag !== "Check" && plan.writes === "unknown"
    const unsettles = plan.changesSettings || setting !== undefined || isUnseen
    return unsettles ? Effect.ensuring(answer, transaction.unsettle) : answer
  }

  /** The written keys come back as rows; a foreign one fails, and the transaction with it. */
  private runChecked(
    shard: ShardId,
    verdict: Check,
    operation: Operation,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<any, ShardError> {
    return transacting(this.stages)((level) =>
      Effect.flatMap(level.connectionFor(shard).executeValues(verdict.check, params), (rows) =>
        Effect.as(
          Effect.forEach(rows, (row) => checkStored(this.stages, shard, verdict, row), { discard: true }),
          answerOf(operation, verdict.command, rows.length)
        )
      )
    )
  }
}

const hasFewRows = ({ cannotPrepare, changesSchema, changesSession, setting, verdict }: PinnedPlan): boolean =>
  changesSchema || changesSession || setting !== undefined || cannotPrepare === true || verdict._tag === "Check"

/** What functions in it do is the program's own business: only of a write it is known that it is one. */
const callOf = ({ policy, shard }: Pinned, plan: PinnedPlan): ShardCall.Call => ({
  shard,
  policy,
  access: plan.access === "write" ? "write" : "unknown"
})

/** On a session that nobody gets afterwards. */
const runOnce = (
  driver: ShardDriver,
  operation: Operation,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<any, ShardError> =>
  Effect.scoped(
    Effect.flatMap(driver.reserve, (session) =>
      Effect.zipRight(session.taint, ShardCall.runAs(session, operation, sql, params))
    )
  )

/** `unchecked` sends even what cannot be classified. */
const uncheckedPlan = (plan: Effect.Effect<PinnedPlan, ShardError>): Effect.Effect<PinnedPlan, ShardError> =>
  Effect.match(plan, {
    onFailure: (): PinnedPlan => ({
      changesSchema: true,
      changesSession: true,
      changesSettings: true,
      access: "write",
      writes: "unknown",
      verdict: pass
    }),
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
        if (keys.right._tag !== "Keys") throw new Error(`a pinned write to ${write.table} has a row without a key`)
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
  verdict: Check,
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
