/**
 * Runs a read and tells what each shard did for it.
 *
 * Enters: a bound plan of a read. Leaves: rows and times of the answer and of every statement on a shard, each with that
 * shard's own plan. Holds: what runs is what always runs, by the same executor, on drivers that take notes; each noted
 * statement then runs once more, with the same parameters, under the server's EXPLAIN ANALYZE. So everything runs twice,
 * and the second time is not the snapshot of the first.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { DialectService } from "./Dialect.js"
import * as Executor from "./Executor.js"
import type { BoundPlan } from "./plan/Bind.js"
import type { Analysis, Format, Measured } from "./plan/Explain.js"
import type { Policy } from "./Policy.js"
import * as ShardCall from "./ShardCall.js"
import { type ShardConnection, type ShardDriver, type TextResult, unbounded } from "./ShardConnection.js"
import type { Limits } from "./scatter/Parts.js"
import type { ShardError } from "./ShardError.js"
import type { ShardManagerService } from "./ShardManager.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Options {
  readonly manager: ShardManagerService
  readonly limits: Limits
  readonly policy: Policy
  readonly dialect: Pick<DialectService, "analyzing">
  readonly format: Format
}

/** @since 0.1.0 @category functions */
export const run = (
  options: Options,
  bound: BoundPlan,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<Analysis, ShardError> =>
  Effect.gen(function* () {
    const { limits, manager, policy } = options
    const notes: Array<Note> = []
    // Rows that are staged are there only as long as the statement runs: its plan is asked for then.
    const planned = stagedSql(bound)
    const analyzing = (text: string) => options.dialect.analyzing(text, options.format)
    const executor = Executor.make({
      manager: noting(manager, { notes, planned, analyzing }),
      limits,
      views: undefined,
      ownersOf: { types: () => [], shards: () => Effect.dieMessage("only reads are analyzed") },
      ids: undefined,
      changes: { run: () => Effect.dieMessage("only reads are analyzed") },
      transacting: () => Effect.dieMessage("only reads are analyzed")
    })
    const terms = { transaction: undefined, policy }
    const answer = yield* timed(executor.run(bound, terms, "executeValues", sql, params))
    const keysSql = reductionOf(bound)?.keys.sql
    const isReduced = notes.some((note) => note.sql === keysSql)
    const steps = notes.flatMap((note) => {
      const step = stepOf(bound, note, isReduced)
      return step === undefined ? [] : [{ note, step }]
    })
    const { shards } = manager.topology()
    const placeOf = ({ note }: (typeof steps)[number]) => shards.indexOf(note.shard)
    steps.sort(
      (one, other) => stepOrder.indexOf(one.step) - stepOrder.indexOf(other.step) || placeOf(one) - placeOf(other)
    )
    const statements = yield* Effect.forEach(steps, ({ note, step }) => measured(options, note, step), {
      concurrency: policy.concurrency
    })
    const rows: ReadonlyArray<unknown> = answer.value
    return { rows: rows.length, millis: answer.millis, statements }
  })

/** A statement that ran on a shard. */
interface Note {
  readonly shard: ShardId
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly rows: number
  readonly millis: number
  /** What the server said of it, where that can not be asked for afterwards. */
  readonly plan?: string
}

const stagedSql = (bound: BoundPlan): string | undefined =>
  bound._tag === "Merged" && bound.merge.finish._tag === "Combine"
    ? bound.merge.finish.staged?.statement.sql
    : undefined

const reductionOf = (bound: BoundPlan) =>
  bound._tag === "Merged" && bound.merge.finish._tag === "Combine" ? bound.merge.finish.reduction : undefined

/**
 * The moment of the statement, which a shard is asked ahead, is no part of it. What is reduced was begun without, and
 * given up for its many rows.
 */
const stepOf = (bound: BoundPlan, { sql }: Note, isReduced: boolean): Measured["step"] | undefined => {
  if (bound._tag !== "Merged") return "each"
  const { own = [], statement } = bound.merge
  if (sql === statement.sql || own.some((one) => sql === one.statement.sql)) return isReduced ? "probe" : "each"
  const reduction = reductionOf(bound)
  if (sql === reduction?.keys.sql) return "probe"
  if (sql === reduction?.statement.sql) return "each"
  const { finish } = bound.merge
  switch (finish._tag) {
    case "Rows":
      return sql === finish.deep?.probe.sql ? "probe" : sql === finish.deep?.page.sql ? "each" : undefined
    case "Combine":
      return sql === finish.statement.sql || sql === finish.staged?.statement.sql ? "then" : undefined
    case "Groups":
      return sql === finish.packed?.statement.sql ? "each" : undefined
  }
}

const stepOrder: ReadonlyArray<Measured["step"]> = ["probe", "each", "then"]

interface Notebook {
  readonly notes: Array<Note>
  /** The statement whose plan is asked for on its own session. */
  readonly planned: string | undefined
  readonly analyzing: (sql: string) => string
}

const noting = (manager: ShardManagerService, notebook: Notebook): ShardManagerService => ({
  ...manager,
  driverNow: () => undefined,
  driver: (shard) => Effect.map(manager.driver(shard), (driver) => notingDriver(driver, shard, notebook))
})

const notingDriver = (driver: ShardDriver, shard: ShardId, { analyzing, notes, planned }: Notebook): ShardDriver => {
  const noted = <A>(
    connection: ShardConnection,
    sql: string,
    params: ReadonlyArray<unknown>,
    answer: Effect.Effect<A, ShardError>,
    rowsOf: (value: A) => ReadonlyArray<unknown>
  ): Effect.Effect<A, ShardError> =>
    Effect.flatMap(timed(answer), ({ millis, value }) => {
      const note: Note = { shard, sql, params, rows: rowsOf(value).length, millis }
      const explained =
        sql === planned
          ? Effect.map(connection.executeText(analyzing(sql), params, unbounded), textOf)
          : Effect.succeed(undefined)
      return Effect.map(explained, (plan) => {
        notes.push(plan === undefined ? note : { ...note, plan })
        return value
      })
    })
  const notingConnection = (connection: ShardConnection): Pick<ShardConnection, "executeValues" | "executeText"> => ({
    executeValues: (sql, params) =>
      noted(connection, sql, params, connection.executeValues(sql, params), (rows) => rows),
    executeText: (sql, params, bound) =>
      noted(connection, sql, params, connection.executeText(sql, params, bound), ({ rows }) => rows)
  })
  return {
    ...driver,
    ...notingConnection(driver),
    // What is timed waits for nobody else.
    shared: undefined,
    reserve: Effect.map(driver.reserve, (session) => ({ ...session, ...notingConnection(session) }))
  }
}

const measured = (
  { dialect, format, manager, policy }: Options,
  { millis, params, plan: known, rows, shard, sql }: Note,
  step: Measured["step"]
): Effect.Effect<Measured, ShardError> => {
  const explained = Effect.flatMap(manager.driver(shard), (driver) =>
    driver.executeText(dialect.analyzing(sql, format), params, unbounded)
  )
  const text =
    known === undefined
      ? Effect.map(ShardCall.run({ shard, policy, access: "read" }, explained), textOf)
      : Effect.succeed(known)
  return Effect.map(text, (said) => {
    const plan: unknown = format === "json" ? JSON.parse(said) : said
    return { shard, step, rows, millis, plan }
  })
}

const textOf = ({ rows }: TextResult): string => rows.map(([line]) => line ?? "").join("\n")

const timed = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<{ readonly value: A; readonly millis: number }, E> =>
  Effect.gen(function* () {
    const from = yield* Clock.currentTimeNanos
    const value = yield* effect
    const to = yield* Clock.currentTimeNanos
    return { value, millis: Number(to - from) / 1_000_000 }
  })
