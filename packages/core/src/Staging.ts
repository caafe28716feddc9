/**
 * Many rows in temporary tables of one PostgreSQL, with statistics, for as long as one statement over them takes.
 *
 * Enters: a shard's driver, the tables with the statements that fill them, a statement over them. Leaves: its answer.
 * Holds: all of it is one transaction that is rolled back, on a connection of its own: nothing is left behind, also when
 * it fails or is interrupted. A server that lets nobody make such tables (a standby, a user without TEMPORARY) is told
 * from one that fails otherwise: there the statement runs over arrays, with worse plans.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { TextRow } from "./plan/Merge.js"
import { type ShardDriver, type ShardSession, unbounded } from "./ShardConnection.js"
import type { GatherLimitExceeded, ShardError } from "./ShardError.js"

/** @since 0.1.0 @category models */
export interface Bound {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/** @since 0.1.0 @category models */
export interface Options<A> {
  /** At least one page each: the first one makes the table. */
  readonly tables: ReadonlyArray<{ readonly name: string; readonly pages: ReadonlyArray<Bound> }>
  /** Statements once they are filled. */
  readonly prepare: ReadonlyArray<string>
  readonly use: (session: ShardSession) => Effect.Effect<A, ShardError>
}

/** @since 0.1.0 @category functions */
export const run = <A>(driver: ShardDriver, { prepare, tables, use }: Options<A>): Effect.Effect<A, ShardError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* driver.reserve
      yield* Effect.acquireRelease(session.control("BEGIN READ WRITE"), () => session.rollback)
      for (const { name, pages } of tables) {
        const [first, ...others] = pages
        if (first === undefined) throw new Error("a table without rows to be made of")
        yield* session.execute(`CREATE TEMPORARY TABLE ${name} ON COMMIT DROP AS ${first.sql}`, first.params)
        for (const { params, sql } of others) yield* session.execute(`INSERT INTO pg_temp.${name} ${sql}`, params)
      }
      for (const sql of prepare) yield* session.execute(sql, [])
      yield* session.execute(`ANALYZE ${tables.map(({ name }) => `pg_temp.${name}`).join(", ")}`, [])
      return yield* use(session)
    })
  )

/**
 * Fails where the server's planner estimates more than `tooMuch.max` for the statement.
 *
 * @since 0.1.0
 * @category functions
 */
export const checkCost = (
  session: ShardSession,
  { params, sql }: Bound,
  tooMuch: GatherLimitExceeded
): Effect.Effect<void, ShardError> =>
  Effect.flatMap(session.executeText(`EXPLAIN (FORMAT JSON) ${sql}`, params, unbounded), ({ rows }) => {
    const [plan] = JSON.parse(rows[0]?.[0] ?? "[]")
    const cost: unknown = plan?.Plan?.["Total Cost"]
    return typeof cost === "number" && cost <= tooMuch.max ? Effect.void : Effect.fail(tooMuch)
  })

/** @since 0.1.0 @category functions */
export const orInline = <A>(
  staged: Effect.Effect<A, ShardError>,
  inline: Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> =>
  Effect.catchTag(staged, "StatementFailed", (error) => (isForbidden(error.code) ? inline : Effect.fail(error)))

/** read_only_sql_transaction, insufficient_privilege. */
const isForbidden = (code: string): boolean => code === "25006" || code === "42501"

/**
 * The rows of one scan, a page for each statement that fills its table.
 *
 * @since 0.1.0
 * @category getters
 */
export const pagesOf = (rows: ReadonlyArray<TextRow>, scan: number): ReadonlyArray<ReadonlyArray<TextRow>> => {
  const tag = String(scan)
  const own = rows.filter((row) => row[0] === tag)
  const pages = Array.from({ length: Math.ceil(own.length / pageRows) }, (_, page) =>
    own.slice(page * pageRows, (page + 1) * pageRows)
  )
  return pages.length === 0 ? [[]] : pages
}

const pageRows = 20_000
