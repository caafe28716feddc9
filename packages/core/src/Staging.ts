/**
 * Many rows in temporary tables of one PostgreSQL, with statistics, for as long as one statement over them takes.
 *
 * Enters: a shard's driver, the tables with their rows, a statement over them. Leaves: its answer. Holds: all of it is one
 * transaction that is rolled back, on a connection of its own: nothing is left behind, also when it fails or is
 * interrupted; rows are written out a chunk or a page at a time. A server that lets nobody make such tables (a standby, a
 * user without TEMPORARY) is told from one that fails otherwise: there the statement runs over arrays, with worse plans.
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
export interface Table {
  readonly name: string
  /** Those of one scan, its number in front. */
  readonly rows: ReadonlyArray<TextRow>
  /** The query that gives some of them as the table holds them; of none it gives the table its columns. */
  readonly bind: (rows: ReadonlyArray<TextRow>) => Bound
  readonly columns: number
  /** A COPY fills it with the same values. */
  readonly copied: boolean
}

/** @since 0.1.0 @category models */
export interface Options<A> {
  readonly tables: ReadonlyArray<Table>
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
      for (const table of tables) yield* filled(session, table)
      for (const sql of prepare) yield* session.execute(sql, [])
      yield* session.execute(`ANALYZE ${tables.map(({ name }) => `pg_temp.${name}`).join(", ")}`, [])
      return yield* use(session)
    })
  )

const filled = (session: ShardSession, table: Table): Effect.Effect<void, ShardError> =>
  Effect.gen(function* () {
    const { bind, columns, copied, name, rows } = table
    const { params, sql } = bind([])
    yield* session.execute(`CREATE TEMPORARY TABLE ${name} ON COMMIT DROP AS ${sql}`, params)
    if (copied && session.copyIn !== undefined) {
      return yield* session.copyIn(`COPY pg_temp.${name} FROM STDIN`, untagged(rows, columns))
    }
    for (let from = 0; from < rows.length; from += pageRows) {
      const page = bind(rows.slice(from, from + pageRows))
      yield* session.execute(`INSERT INTO pg_temp.${name} ${page.sql}`, page.params)
    }
  })

function* untagged(rows: ReadonlyArray<TextRow>, columns: number): Iterable<TextRow> {
  for (const row of rows) yield row.slice(1, columns + 1)
}

const pageRows = 20_000

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
 * The rows of each scan.
 *
 * @since 0.1.0
 * @category getters
 */
export const byScan = (rows: ReadonlyArray<TextRow>, scans: number): ReadonlyArray<ReadonlyArray<TextRow>> => {
  const all = Array.from({ length: scans }, (): Array<TextRow> => [])
  for (const row of rows) all[Number(row[0])]?.push(row)
  return all
}
