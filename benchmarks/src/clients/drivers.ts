/** `pg` used by hand: a pool, and its pipeline mode. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import pg from "pg"
import { type Address, idleTimeoutMillis, maxConnections } from "./settings.js"

export const openPool = (
  { url }: Pick<Address, "url">,
  connections = maxConnections
): Effect.Effect<pg.Pool, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const pool = new pg.Pool({ connectionString: Redacted.value(url), max: connections, idleTimeoutMillis })
      pool.on("error", () => {})
      return pool
    }),
    (pool) => Effect.promise(() => pool.end())
  )

/** A few connections that send without waiting for answers; requests take turns on them. */
export const openPipelined = (
  { url }: Pick<Address, "url">,
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
