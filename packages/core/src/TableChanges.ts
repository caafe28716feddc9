/**
 * Tells who reads a table that its rows may have changed, through Effect's `Reactivity`.
 *
 * Enters: statements of the router, with the tables that each may change. Leaves: the same statements. Holds: a key is
 * invalidated after the statement has ended and before its program goes on, however it ended; in a transaction, after
 * that has been committed or may have been, not after a rollback. What other processes and other clients write is not
 * seen here. A write whose connection broke while it ran may be carried out after that.
 *
 * @since 0.1.0
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Level } from "./LocalTransaction.js"
import type { Written } from "./plan/Plan.js"
import * as Table from "./topology/Table.js"
import type { Topology } from "./topology/Topology.js"

/**
 * The key of a table in `Reactivity`, by its full name or, in schema public, without one:
 * `shardlayer:table:public.orders`.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { TableChanges } from "@shardlayer/core"
 * import { Effect, Stream } from "effect"
 *
 * // Anew after each write of this router to orders.
 * const open = Effect.map(SqlClient.SqlClient, (sql) =>
 *   sql.reactive([TableChanges.key("orders")], sql`SELECT count(*) FROM orders WHERE open`)
 * ).pipe(Stream.unwrap)
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const key = (table: string): string => `shardlayer:table:${table.includes(".") ? table : `public.${table}`}`

/**
 * The key of all tables: invalidated where nobody knows which were written, together with those of the topology.
 *
 * @since 0.1.0
 * @category constants
 */
export const everything = "shardlayer:tables"

/** @since 0.1.0 @category models */
export interface TableChanges {
  /** The statement; those who read what it may have changed are told. */
  readonly after: <A, E, R>(
    written: Written,
    transaction: Level | undefined,
    answer: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  readonly afterStream: <A, E>(
    written: Written,
    transaction: Level | undefined,
    rows: Stream.Stream<A, E>
  ) => Stream.Stream<A, E>
  /** The same for a text that nobody looked at: it may have changed anything, if anybody watches when it has ended. */
  readonly afterUnseen: <A, E>(transaction: Level | undefined, answer: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly afterUnseenStream: <A, E>(transaction: Level | undefined, rows: Stream.Stream<A, E>) => Stream.Stream<A, E>
  /** Somebody depends on what is told, from now on: texts that need not be looked at otherwise are. */
  readonly watch: () => void
  readonly isWatched: () => boolean
}

/** @since 0.1.0 @category constructors */
export const make = (reactivity: Reactivity.Reactivity.Service, topology: () => Topology): TableChanges => {
  let watched = false
  const tell = (written: Written): Effect.Effect<void> =>
    Effect.sync(() =>
      reactivity.unsafeInvalidate(
        written === "unknown"
          ? [everything, ...Object.values(topology().tables).map((table) => key(Table.qualifiedName(table)))]
          : written.map(key)
      )
    )
  const tellAll = tell("unknown")
  const tellIfWatched = Effect.suspend(() => (watched ? tellAll : Effect.void))

  // A transaction writes many rows to few tables: each level is asked once to tell them.
  const pending = new WeakMap<Level, Set<string>>()
  const note = (transaction: Level, written: ReadonlyArray<string>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const known = pending.get(transaction)
      const names = known ?? new Set<string>()
      for (const name of written) names.add(name)
      if (known !== undefined) return Effect.void
      pending.set(transaction, names)
      return transaction.afterCommit(Effect.suspend(() => tell([...names])))
    })
  /** Before the statement is sent: a program can go on, and commit, after it was interrupted. */
  const noted = (written: Written, transaction: Level): Effect.Effect<void> =>
    written === "unknown" ? transaction.afterCommit(tellAll) : note(transaction, written)

  return {
    after: (written, transaction, answer) => {
      if (written.length === 0) return answer
      return transaction === undefined
        ? Effect.ensuring(answer, tell(written))
        : Effect.zipRight(noted(written, transaction), answer)
    },
    afterStream: (written, transaction, rows) => {
      if (written.length === 0) return rows
      return transaction === undefined
        ? Stream.ensuring(rows, tell(written))
        : Stream.unwrap(Effect.as(noted(written, transaction), rows))
    },
    afterUnseen: (transaction, answer) =>
      transaction === undefined
        ? Effect.ensuring(answer, tellIfWatched)
        : Effect.zipRight(transaction.afterCommit(tellIfWatched), answer),
    afterUnseenStream: (transaction, rows) =>
      transaction === undefined
        ? Stream.ensuring(rows, tellIfWatched)
        : Stream.unwrap(Effect.as(transaction.afterCommit(tellIfWatched), rows)),
    watch: () => {
      watched = true
    },
    isWatched: () => watched
  }
}
