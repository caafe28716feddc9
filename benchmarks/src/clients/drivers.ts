/**
 * The drivers below, used by hand: `pg` in its three ways, and postgres.js. No Effect anywhere.
 */
import type * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import pg from "pg"
import postgres from "postgres"
import { maxConnections } from "../lab.js"

export const openPool = (
  { url }: PgCluster.Node,
  connections = maxConnections
): Effect.Effect<pg.Pool, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const pool = new pg.Pool({ connectionString: Redacted.value(url), max: connections, idleTimeoutMillis: 120_000 })
      pool.on("error", () => {})
      return pool
    }),
    (pool) => Effect.promise(() => pool.end())
  )

/** A few connections that send without waiting for answers; requests take turns on them. */
export const openPipelined = (
  { url }: PgCluster.Node,
  connections = 2
): Effect.Effect<() => pg.Client, unknown, Scope.Scope> =>
  Effect.map(
    Effect.forEach(Array.from({ length: connections }), () =>
      Effect.acquireRelease(
        Effect.tryPromise(async () => {
          const client = new pg.Client({ connectionString: Redacted.value(url), pipeline: true })
          client.on("error", () => {})
          await client.connect()
          return client
        }),
        (client) => Effect.promise(() => client.end())
      )
    ),
    (clients) => {
      let turn = 0
      return () => {
        const client = clients[turn++ % connections]
        if (client === undefined) throw new Error("no connection")
        return client
      }
    }
  )

/** int8 as text, as `pg` gives it: postgres.js does so by default. */
export const openPostgresJs = (
  { url }: PgCluster.Node,
  connections = maxConnections
): Effect.Effect<postgres.Sql, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => postgres(Redacted.value(url), { max: connections, onnotice: () => {} })),
    (sql) => Effect.promise(() => sql.end())
  )
