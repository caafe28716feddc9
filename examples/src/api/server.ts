/**
 * The API on a sharded database: the tenant of a request pins it to the tenant's shard.
 *
 * Holds: behind `TenantOfRequest` a statement is about that tenant, or it is refused (`KeyNotPinned`) before it is sent, and
 * nothing in there can pin another one. Elsewhere a statement names its key, or is refused (`ScatterRefused`), unless it
 * says that it is about everybody.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as SqlClient from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Api, NoteNotFound, Tenant, TenantMissing, TenantOfRequest, TenantUnknown } from "./definition.js"

export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  // Tenants are spread by a hash of their names; one that outgrew its neighbours was given a shard.
  keyspaces: { tenant: Keyspace.hash({ key: ["text"], pins: [{ key: "globex", shard: "shard_3" }] }) },
  tables: {
    // A tenant's notes are together on one shard, with ids that no other shard gives out.
    notes: Table.sharded({ key: "tenant", keyspace: "tenant", generate: { id: Id.snowflake() } }),
    // Few, and asked for by every request: each shard has all of them.
    tenants: Table.reference()
  }
})

/** How statements run where nothing else is said: none of them on several shards by accident. */
export const policy = { scatter: "refuse" } as const

export const schema = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE tenants (id text PRIMARY KEY, name text NOT NULL)`
  yield* sql`CREATE TABLE notes (tenant text REFERENCES tenants, id int8, text text NOT NULL, PRIMARY KEY (tenant, id))`
  const tenants = [
    { id: "acme", name: "Acme Corporation" },
    { id: "globex", name: "Globex" },
    { id: "initech", name: "Initech" }
  ]
  yield* sql`INSERT INTO tenants ${sql.insert(tenants)}`
})

const TenantOfRequestLive = Layer.effect(
  TenantOfRequest,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const router = yield* ShardRouter.ShardRouter

    // Asked of some shard, once a minute for each tenant.
    const find = (id: string) =>
      router.cached(sql<{ id: string; name: string }>`SELECT id, name FROM tenants WHERE id = ${id}`, {
        timeToLive: "1 minute"
      })

    return TenantOfRequest.of({
      tenant: (header) =>
        Effect.gen(function* () {
          const id = Redacted.value(header)
          if (id === "") return yield* new TenantMissing({ message: "say who you are: x-tenant" })
          const [tenant] = yield* Effect.orDie(find(id))
          if (tenant === undefined) return yield* new TenantUnknown({ tenant: id })
          // From here on, to the end of the request.
          yield* Effect.orDie(router.forKeyScoped(topology.tables.notes, tenant.id, { locked: true }))
          return tenant
        })
    })
  })
)

/** What a database fails with is nobody's fault here: a 500. */
const NotesLive = HttpApiBuilder.group(Api, "notes", (handlers) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return handlers
      .handle("list", ({ urlParams: { after = "0", limit = 20 } }) =>
        Effect.gen(function* () {
          const tenant = yield* Tenant
          return yield* sql<NoteRow>`
            SELECT id, text FROM notes WHERE tenant = ${tenant.id} AND id > ${after} ORDER BY id LIMIT ${limit}`
        }).pipe(Effect.orDie)
      )
      .handle("read", ({ path: { id } }) =>
        Effect.gen(function* () {
          const tenant = yield* Tenant
          const found = sql<NoteRow>`SELECT id, text FROM notes WHERE tenant = ${tenant.id} AND id = ${id}`
          const [note] = yield* Effect.orDie(found)
          return note ?? (yield* new NoteNotFound({ id }))
        })
      )
      .handle("write", ({ payload: { text } }) =>
        Effect.gen(function* () {
          const tenant = yield* Tenant
          const [note] = yield* sql<NoteRow>`
            INSERT INTO notes ${sql.insert({ tenant: tenant.id, text })} RETURNING id, text`
          return note ?? (yield* Effect.dieMessage("an INSERT that returned nothing"))
        }).pipe(Effect.orDie)
      )
  })
)

type NoteRow = { readonly id: string; readonly text: string }

const UsageLive = HttpApiBuilder.group(Api, "usage", (handlers) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const router = yield* ShardRouter.ShardRouter
    return handlers.handle("all", () =>
      Effect.gen(function* () {
        const rows = yield* sql<{ tenant: string; notes: string }>`
          SELECT tenant, count(*) AS notes FROM notes GROUP BY tenant ORDER BY tenant`
        return yield* Effect.forEach(rows, ({ notes, tenant }) =>
          Effect.map(router.locate(topology.tables.notes, tenant), (shard) => ({ tenant, shard, notes: Number(notes) }))
        )
      }).pipe(
        // About everybody, and it says so.
        ShardRouter.withPolicy({ scatter: "allow" }),
        Effect.orDie
      )
    )
  })
)

/** Needs a router, and an HTTP server to be served by. The document is at `/openapi.json`. */
export const layer = HttpApiBuilder.serve().pipe(
  Layer.provide(HttpApiBuilder.middlewareOpenApi()),
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide([NotesLive, UsageLive]),
  Layer.provide(TenantOfRequestLive)
)
