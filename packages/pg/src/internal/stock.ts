/**
 * A stock `SqlClient` as the driver of a shard.
 *
 * Holds: the transaction of whoever asks never reaches the stock client, which would take it for its own. The rest is as
 * good as that client: see the limits at `PgShard.fromClient`.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import { withoutTransaction } from "@shardlayer/core/LocalTransaction"
import type {
  Description,
  RawResult,
  ShardConnection,
  ShardDriver,
  ShardSession
} from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import {
  CommitUnknown,
  ShardUnavailable,
  TransactionEnded,
  TransactionRolledBack,
  UnsupportedQuery
} from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { fromPg } from "../PgErrors.js"

export const adaptStock = (client: SqlClient, shard: string): Omit<ShardDriver, "client"> => {
  const plain = client.withoutTransforms()
  const typed = <A>(effect: Effect.Effect<A, SqlError>) =>
    Effect.mapError(withoutTransaction(effect), (error) => shardError(shard, error))
  const reserve = reserveStock(client, shard)
  return {
    execute: (sql, params) => typed(plain.unsafe(sql, params).withoutTransform),
    executeValues: (sql, params) => typed(plain.unsafe(sql, params).values),
    executeRaw: (sql, params) => typed(plain.unsafe(sql, params).raw as Effect.Effect<RawResult, SqlError>),
    executeStream: (sql, params) =>
      Stream.unwrapScoped(Effect.map(reserve, (session) => session.executeStream(sql, params))),
    ...withoutText(shard),
    presenter: () => {
      throw new Error("nothing is merged over a stock client")
    },
    reserve,
    describe: (sql) => Effect.scoped(Effect.flatMap(reserve, (session) => describe(session, sql))),
    settle: (sql) => Effect.map(typed(plain.unsafe(sql).raw as Effect.Effect<RawResult, SqlError>), listOf),
    inspect: (sql, params) => typed(plain.unsafe(sql, params).values)
  }
}

/** A stock client parses what it gets, and a parsed timestamp has lost its microseconds. */
const withoutText = (shard: string): Pick<ShardConnection, "executeText" | "streamPages"> => {
  const refused = (sql: string) =>
    new UnsupportedQuery({
      code: "SL4019",
      reason: `shard ${shard} is a stock client, whose rows cannot be merged`,
      hint: "Make the shard with PgShard.layer, or limit the statement to one shard",
      offset: undefined,
      sql
    })
  return {
    executeText: (sql) => Effect.fail(refused(sql)),
    streamPages: (sql) => Stream.fail(refused(sql))
  }
}

const listOf = (results: RawResult | ReadonlyArray<RawResult>): ReadonlyArray<RawResult> =>
  "rows" in results ? [results] : results

const shardError = (shard: string, error: SqlError): ShardError =>
  fromPg(shard, error.cause ?? error, { sent: !error.message.startsWith("Failed to acquire") })

/** Not interruptible: the stock client loses a connection whose waiter was interrupted. */
const reserveStock = (client: SqlClient, shard: string): Effect.Effect<ShardSession, ShardError, Scope.Scope> =>
  Effect.gen(function* () {
    const state = { ended: false, tainted: false, open: false }
    const connection = yield* withoutTransaction(client.reserve).pipe(
      Effect.mapError((error) => shardError(shard, error))
    )
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        state.ended = true
        // Outside of a transaction ROLLBACK is a warning: cheaper than knowing whether there is one.
        const rollback = connection.executeUnprepared("ROLLBACK", [], undefined)
        const discard = state.tainted ? connection.executeUnprepared("DISCARD ALL", [], undefined) : Effect.void
        return bounded(Effect.zipRight(rollback, discard))
      })
    )
    return sessionOf(connection, shard, state)
  }).pipe(Effect.uninterruptible)

const bounded = <A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<void> =>
  Effect.ignore(Effect.timeout(Effect.interruptible(effect), 1_000))

/** The command goes on; only its answer is given up. */
const within = <A>(answer: Effect.Effect<A, ShardError>, millis: number, shard: string): Effect.Effect<A, ShardError> =>
  Effect.timeoutFail(Effect.interruptible(Effect.disconnect(answer)), {
    duration: millis,
    onTimeout: () => new ShardUnavailable({ shard, reason: `no answer within ${millis} ms`, sent: true })
  })

const sessionOf = (
  connection: Connection,
  shard: string,
  state: { ended: boolean; tainted: boolean }
): ShardSession => {
  const use = <A>(run: () => Effect.Effect<A, SqlError>): Effect.Effect<A, ShardError> =>
    Effect.suspend(() =>
      state.ended
        ? Effect.fail(new TransactionEnded({ shard }))
        : Effect.mapError(run(), (error) => shardError(shard, error))
    )
  const raw = (sql: string, params: ReadonlyArray<unknown>) =>
    use(() => connection.executeRaw(sql, params) as Effect.Effect<RawResult, SqlError>)
  const statements: ShardConnection = {
    ...withoutText(shard),
    execute: (sql, params) => use(() => connection.execute(sql, params, undefined)),
    executeValues: (sql, params) => use(() => connection.executeValues(sql, params)),
    executeRaw: raw,
    executeStream: (sql, params) =>
      Stream.mapError(connection.executeStream(sql, params, undefined), (error) => shardError(shard, error))
  }
  const session: ShardSession = {
    ...statements,
    describe: (sql) => describe(session, sql),
    taint: Effect.sync(() => {
      state.tainted = true
    }),
    copyIn: undefined,
    copyFrom: undefined,
    control: (sql, onSent) =>
      Effect.uninterruptible(
        Effect.suspend(() => {
          onSent?.()
          return Effect.asVoid(raw(sql, []))
        })
      ),
    commit: raw("COMMIT", []).pipe(
      Effect.mapError((error) =>
        error._tag === "ShardUnavailable" && error.sent ? new CommitUnknown({ shard, cause: error }) : error
      ),
      Effect.filterOrFail(
        (result) => result.command !== "ROLLBACK",
        () => new TransactionRolledBack({ shard })
      ),
      Effect.asVoid,
      Effect.uninterruptible
    ),
    rollback: bounded(connection.executeUnprepared("ROLLBACK", [], undefined)),
    command: (sql, options) => {
      const answer = Effect.map(Effect.uninterruptible(raw(sql, [])), listOf)
      const withinMillis = options?.withinMillis
      return withinMillis === undefined ? answer : within(answer, withinMillis, shard)
    },
    // Not known of a stock connection: its next statement will say so.
    isFailed: () => false
  }
  return session
}

/** `result_types` came with PostgreSQL 16; column names are not kept for prepared statements at all. */
const describe = (session: ShardSession, sql: string): Effect.Effect<Description, ShardError> =>
  Effect.gen(function* () {
    yield* session.control(`PREPARE shardlayer_describe AS ${sql}`)
    const rows = yield* session.execute(describePrepared, [])
    yield* session.control("DEALLOCATE shardlayer_describe")
    const row: { readonly params: string; readonly columns: string } | undefined = rows[0]
    const oids = (text: string | undefined) => (text ? text.split(",").map(Number) : [])
    return { params: oids(row?.params), columns: oids(row?.columns).map((type) => ({ name: "", type })) }
  })

const describePrepared = `select array_to_string(parameter_types::oid[], ',') as params,
array_to_string(array(
  select type::regtype::oid
  from jsonb_array_elements_text(case jsonb_typeof(result) when 'array' then result end) with ordinality as _ (type, place)
  order by place), ',') as columns
from pg_prepared_statements prepared, lateral (select to_jsonb(prepared) -> 'result_types' as result) _
where name = 'shardlayer_describe'`
