/**
 * The router's side: one statement in, an `Answer` out, whatever happens.
 *
 * Holds: a typed error of the router itself is `Refused`, what PostgreSQL reported is `Failed`, and everything that
 * nobody should see (defects, time-outs, unreachable shards) is `Broken`.
 */
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { Answer, Row } from "./Answer.js"

/** Longer than any statement of the cases takes on one server; the router gets no more than this. */
const timeoutMillis = 30_000

export type Param = string | number | boolean | null | ReadonlyArray<string | number | null>

/** Runs a statement. With `repeatable`, one whose columns share a name runs twice, to see all of their values. */
export const ask = (
  router: ShardRouterService,
  sql: string,
  repeatable: boolean,
  params: ReadonlyArray<Param> = []
): Effect.Effect<Answer> =>
  answered(
    Effect.gen(function* () {
      const statement = router.client.unsafe(sql, params)
      const raw = yield* statement.raw
      const answer = rowsOf(raw)
      if (answer._tag !== "Rows") return answer
      const names = new Set(answer.columns.map((column) => column.name))
      if (names.size === answer.columns.length || !repeatable) return answer
      const rows = yield* statement.values
      return { ...answer, rows: rows.map((row) => row.map(textOf)) }
    })
  )

/** The same rows as a program usually takes them: plainly, and as a stream. As text, by column name; or why not. */
export const otherWays = (
  router: ShardRouterService,
  sql: string,
  params: ReadonlyArray<Param> = []
): Effect.Effect<{ readonly plain: ReadonlyArray<string>; readonly streamed: ReadonlyArray<string> } | string> => {
  const statement = router.client.unsafe<object>(sql, params)
  return Effect.all({
    plain: Effect.map(statement, (rows) => rows.map((row) => JSON.stringify(row))),
    streamed: Effect.map(Stream.runCollect(statement.stream), (rows) => Array.from(rows, (row) => JSON.stringify(row)))
  }).pipe(
    // Each as long as the first one may take.
    Effect.timeoutFail({ duration: 2 * timeoutMillis, onTimeout: () => `not within ${2 * timeoutMillis} ms` }),
    Effect.catchAllCause((cause) => Effect.succeed(Cause.pretty(cause)))
  )
}

/** Schema changes go to every shard. */
export const onAllShards = (router: ShardRouterService, sql: string): Effect.Effect<Answer> =>
  answered(
    Effect.map(router.onAllShards(router.client.unsafe(sql).raw), (results): Answer => {
      const [first] = results.values()
      return rowsOf(first)
    })
  )

/** How the router says it would run a statement; nothing for what it cannot even parse. */
export const strategy = (
  router: ShardRouterService,
  sql: string,
  params: ReadonlyArray<Param> = []
): Effect.Effect<string | undefined> =>
  router.explain(router.client.unsafe(sql, params)).pipe(
    Effect.map((explanation): string => explanation.strategy),
    Effect.catchAllCause(() => Effect.succeed(undefined))
  )

/** Bounds one statement's time. */
const answered = <E extends ShardError | SqlError>(effect: Effect.Effect<Answer, E>): Effect.Effect<Answer> =>
  settled(
    Effect.timeoutTo(effect, {
      duration: timeoutMillis,
      onTimeout: (): Answer => ({ _tag: "Broken", message: `no answer within ${timeoutMillis} ms` }),
      onSuccess: (answer) => answer
    })
  )

/** The answer that an effect's end stands for. */
export const settled = <E extends ShardError | SqlError>(effect: Effect.Effect<Answer, E>): Effect.Effect<Answer> =>
  Effect.map(Effect.exit(effect), (exit) => (Exit.isSuccess(exit) ? exit.value : fromCause(exit.cause)))

const fromCause = (cause: Cause.Cause<ShardError | SqlError>): Answer => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "None") return { _tag: "Broken", message: Cause.pretty(cause, { renderErrorCause: true }) }
  const error = failure.value
  if (isShardError(error)) return fromError(error)
  return isShardError(error.cause)
    ? fromError(error.cause)
    : { _tag: "Broken", message: Cause.pretty(cause, { renderErrorCause: true }) }
}

/** A typed error as an answer. */
const fromError = (error: ShardError): Answer => {
  switch (error._tag) {
    case "UnsupportedQuery":
      return { _tag: "Refused", code: error.code, message: error.message }
    case "StatementInvalid":
    case "StatementFailed":
      return { _tag: "Failed", code: error.code, message: error.message }
    case "CopiesDiffer":
    case "CopyRowInvalid":
    case "CrossShardTransaction":
    case "GatherLimitExceeded":
    case "KeyInvalid":
    case "KeyNotPinned":
    case "KeyUnassigned":
    case "MergeLimitExceeded":
    case "NotInstalled":
    case "OperationRefused":
    case "PreparedTransactionsDisabled":
    case "RowBelongsElsewhere":
    case "ScatterRefused":
    case "SchemaChangeFailed":
    case "SchemaMismatch":
    case "StartRefused":
    case "ShardNotPinned":
      return { _tag: "Refused", code: error._tag, message: error.message }
    case "TransactionRolledBack":
      return { _tag: "Rows", command: "ROLLBACK", count: null, columns: [], rows: [] }
    case "AcquireTimeout":
    case "CommitIncomplete":
    case "CommitUnknown":
    case "CopyIncomplete":
    case "IdsUnavailable":
    case "ParticipantLost":
    case "PrepareRefused":
    case "ResolveFailed":
    case "ShardInUse":
    case "ShardLocked":
    case "ShardTimeout":
    case "ShardUnavailable":
    case "StaleTopology":
    case "TransactionEnded":
    case "TransactionTimeout":
    case "UnknownShard":
      return { _tag: "Broken", message: `${error._tag}: ${error.message}` }
  }
}

const textOf = (value: unknown): string | null => (value === null ? null : String(value))

/** A driver's result as it is; objects as rows, because that is what `.raw` gives. */
const rowsOf = (raw: unknown): Answer => {
  if (!isResult(raw)) return { _tag: "Broken", message: `no result of one statement: ${String(raw)}` }
  const rows = raw.rows.map((row): Row => raw.fields.map((field) => textOf(row[field.name])))
  const columns = raw.fields.map((field) => ({ name: field.name, type: String(field.dataTypeID) }))
  return { _tag: "Rows", command: raw.command, count: raw.rowCount, columns, rows }
}

interface Result {
  readonly command: string
  readonly rowCount: number | null
  readonly fields: ReadonlyArray<{ readonly name: string; readonly dataTypeID: number }>
  readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>>
}

const isResult = (raw: unknown): raw is Result =>
  Predicate.hasProperty(raw, "command") && Predicate.hasProperty(raw, "fields") && Predicate.hasProperty(raw, "rows")
