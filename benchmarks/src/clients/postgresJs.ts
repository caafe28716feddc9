import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import postgres from "postgres"
import { type Address, maxConnections } from "./settings.js"

/** int8 as text, as `pg` gives it: postgres.js does so by default. */
export const openPostgresJs = (
  { url }: Pick<Address, "url">,
  connections = maxConnections
): Effect.Effect<postgres.Sql, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => postgres(Redacted.value(url), { max: connections, onnotice: () => {} })),
    (sql) => Effect.promise(() => sql.end())
  )
