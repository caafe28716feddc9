import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type Address, idleTimeoutMillis, maxConnections } from "./settings.js"

/** Plain `@effect/sql-pg`. */
export const openPlain = (
  { url }: Pick<Address, "url">,
  connections = maxConnections
): Effect.Effect<SqlClient.SqlClient, unknown, Scope.Scope> =>
  Effect.map(
    Layer.build(PgClient.layer({ url, maxConnections: connections, idleTimeout: idleTimeoutMillis })),
    (context) => Context.get(context, SqlClient.SqlClient)
  )
