/**
 * One session on a PostgreSQL server, for the oracle and for what is done to databases by hand.
 *
 * Holds: every value leaves as the text the server wrote, NULL as null; columns of one name keep their places.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import pg from "pg"
import type { Answer } from "./Answer.js"

export interface Address {
  readonly host: string
  readonly port: number
  readonly username: string
}

export interface Session {
  /** The last statement's answer, where the text holds several. With parameters it holds one. */
  readonly ask: (sql: string, params?: ReadonlyArray<unknown>) => Effect.Effect<Answer>
  /** The same for statements that must succeed: failure is a defect. */
  readonly run: (sql: string) => Effect.Effect<ReadonlyArray<ReadonlyArray<string | null>>>
  /** Idle, in a transaction, or in one that failed. */
  readonly status: () => "I" | "T" | "E" | null
}

/** A connection without type parsers, so that nothing is lost between the server's text and the comparison. */
export const textTypes = { getTypeParser: () => (text: string) => text }

export const open = (address: Address, database: string): Effect.Effect<Session, never, Scope.Scope> => {
  const { host, port, username: user } = address
  return Effect.orDie(connected({ host, port, user, database }))
}

export class SessionFailed extends Data.TaggedError("SessionFailed")<{ readonly cause: unknown }> {
  override get message(): string {
    return this.cause instanceof Error ? this.cause.message : String(this.cause)
  }
}

/** By its URL. */
export const openUrl = (url: Redacted.Redacted): Effect.Effect<Session, SessionFailed, Scope.Scope> =>
  connected({ connectionString: Redacted.value(url) })

const connected = (config: pg.ClientConfig): Effect.Effect<Session, SessionFailed, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const client = new pg.Client({ ...config, types: textTypes })
          client.on("error", () => {})
          await client.connect()
          return client
        },
        catch: (cause) => new SessionFailed({ cause })
      }),
      (client) => Effect.ignore(Effect.tryPromise(() => client.end()))
    ),
    sessionOf
  )

const sessionOf = (client: pg.Client): Session => {
  const ask = (sql: string, params: ReadonlyArray<unknown> = []): Effect.Effect<Answer> =>
    Effect.promise(() =>
      client.query<Array<string | null>>({ text: sql, values: [...params], rowMode: "array" }).then(
        (result) => rowsOf(Array.isArray(result) ? result.at(-1) : result),
        (error: unknown): Answer =>
          error instanceof pg.DatabaseError
            ? { _tag: "Failed", code: error.code ?? "", message: error.message }
            : { _tag: "Broken", message: String(error) }
      )
    )
  return {
    ask,
    run: (sql) =>
      Effect.map(ask(sql), (answer) => {
        if (answer._tag === "Rows") return answer.rows
        throw new Error(`${answer.message}: ${sql.slice(0, 200)}`)
      }),
    status: () => client.getTransactionStatus()
  }
}

const rowsOf = (result: pg.QueryArrayResult<Array<string | null>> | undefined): Answer => ({
  _tag: "Rows",
  command: result?.command ?? "",
  count: result?.rowCount ?? null,
  columns: (result?.fields ?? []).map((field) => ({ name: field.name, type: String(field.dataTypeID) })),
  rows: result?.rows ?? []
})
