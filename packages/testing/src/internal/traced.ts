/**
 * A program on one client, with what each of its statements gave. Enters: a client, a program. Leaves: how it ended, as
 * text, and its statements in the order in which they ended. Holds: the program sees the client's own answers.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Client from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { isShardError } from "@shardlayer/core/ShardError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { textOf, without } from "./checks.js"
import type { Difference } from "./differing.js"

export interface Asked {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  /** Undefined for a stream. */
  readonly rows: ReadonlyArray<string> | undefined
  readonly error: string | undefined
  readonly refusal: { readonly code: string; readonly message: string } | undefined
}

export interface Traced {
  readonly exit: Exit.Exit<unknown, unknown>
  readonly end: string
  readonly statements: ReadonlyArray<Asked>
}

export const run = <A, E>(
  client: Client.SqlClient,
  program: Effect.Effect<A, E, Client.SqlClient>
): Effect.Effect<Traced> => {
  const statements: Array<Asked> = []
  return Effect.map(
    Effect.exit(Effect.provideService(program, Client.SqlClient, recording(client, statements))),
    (exit) => ({ exit, end: Exit.isSuccess(exit) ? textOf(exit.value) : codeOf(Cause.squash(exit.cause)), statements })
  )
}

/** Of two that ran the same statements up to there; order is looked at in what the program makes of it. */
export const firstDifference = (one: Traced, shards: Traced): Difference | undefined => {
  const place = one.statements.findIndex((left, index) => {
    const right = shards.statements[index]
    return right === undefined || !isSameText(left, right) || !isSameAnswer(left, right)
  })
  const [left, right] = [one.statements[place], shards.statements[place]]
  // Other statements than there: what comes before must have told the program otherwise, or chance did.
  if (left === undefined || right === undefined || !isSameText(left, right)) return undefined
  const { params, sql } = left
  const [here, there] = [left.rows ?? [], right.rows ?? []]
  const reason =
    left.error === right.error
      ? `${there.length} rows instead of ${here.length}, or others`
      : `${right.error ?? "it succeeds"} instead of ${left.error ?? "success"}`
  return {
    place: place + 1,
    sql,
    params,
    strategy: undefined,
    reason,
    onlyOnOne: without(here, there),
    onlyOnShards: without(there, here)
  }
}

const isSameText = (one: Asked, other: Asked): boolean =>
  one.sql === other.sql && textOf(one.params) === textOf(other.params)

const isSameAnswer = (one: Asked, other: Asked): boolean => {
  const [here, there] = [one.rows ?? [], other.rows ?? []]
  return one.error === other.error && here.length === there.length && without(here, there).length === 0
}

const recording = (client: Client.SqlClient, statements: Array<Asked>): Client.SqlClient => {
  const noted = <A>(sql: string, params: ReadonlyArray<unknown>, answer: Effect.Effect<A, SqlError>) =>
    Effect.onExit(answer, (exit) =>
      Effect.sync(() => {
        const error = Exit.isSuccess(exit) ? undefined : Cause.squash(exit.cause)
        const rows = Exit.isSuccess(exit) && Array.isArray(exit.value) ? exit.value.map(textOf) : undefined
        statements.push({
          sql,
          params,
          rows,
          error: error === undefined ? undefined : codeOf(error),
          refusal: refusalOf(error)
        })
      })
    )
  const execute: Connection["execute"] = (sql, params) => noted(sql, params, client.unsafe<object>(sql, params))
  const connection: Connection = {
    execute,
    executeUnprepared: execute,
    executeRaw: (sql, params) => noted(sql, params, client.unsafe(sql, params).raw),
    executeValues: (sql, params) => noted(sql, params, client.unsafe(sql, params).values),
    executeStream: (sql, params) => client.unsafe<object>(sql, params).stream
  }
  const rest: Pick<Client.SqlClient, typeof Client.TypeId> = { [Client.TypeId]: Client.TypeId }
  const made: Client.SqlClient = Object.assign(
    Statement.make(Effect.succeed(connection), PgClient.makeCompiler(), [], undefined),
    {
      ...rest,
      withTransaction: client.withTransaction,
      reserve: client.reserve,
      reactive: client.reactive,
      reactiveMailbox: client.reactiveMailbox,
      safe: client,
      withoutTransforms: () => made
    }
  )
  return Object.assign(made, { safe: made })
}

/** By its SQLSTATE, whichever client gives it. */
const codeOf = (error: unknown): string => {
  const cause = error instanceof SqlError ? error.cause : error
  if (typeof cause !== "object" || cause === null) return String(error)
  if ("code" in cause && typeof cause.code === "string") return `error ${cause.code}`
  if ("_tag" in cause && typeof cause._tag === "string") return `error ${cause._tag}`
  return error instanceof Error ? error.message : textOf(error)
}

const refusalOf = (error: unknown): Asked["refusal"] => {
  const cause = error instanceof SqlError ? error.cause : error
  return isShardError(cause) && cause._tag === "UnsupportedQuery"
    ? { code: cause.code, message: cause.message }
    : undefined
}
