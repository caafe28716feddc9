/**
 * Tests that leave nothing behind on databases they share: a transaction that never commits.
 * Enters: a test; leaves: what became of it, and no row of it. Holds: nothing stays of it on any shard, whether it succeeds, fails, dies
 * or is interrupted. Not for tests of what commits: nothing is prepared, and what is checked at COMMIT is not checked. For those,
 * `PgCluster.fresh` gives a copy of their own.
 *
 * @since 0.1.0
 */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/**
 * Transactions of the test itself become savepoints. Sequences do not go back.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Isolation } from "@shardlayer/testing"
 * import { Effect } from "effect"
 *
 * export const test = Isolation.rolledBack(
 *   Effect.gen(function* () {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* sql`insert into users (id, name) values (1, 'Ada')`
 *     return yield* sql`select name from users where id = 1`
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category isolation
 */
export const rolledBack = <A, E, R>(test: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R | SqlClient> =>
  Effect.flatMap(SqlClient, (sql) =>
    sql.withTransaction(Effect.flatMap(Effect.exit(test), (exit) => Effect.fail(new Done(exit)))).pipe(
      Effect.catchAll((error): Effect.Effect<A, E | SqlError> =>
        error instanceof Done ? (error.exit as Exit.Exit<A, E>) : Effect.fail(error)
      ),
      // `withTransaction` fails always: what it is given does.
      Effect.map((answer): A => answer)
    )
  )

/** Fails the transaction, whatever became of the test. */
class Done<A, E> {
  constructor(readonly exit: Exit.Exit<A, E>) {}
}
