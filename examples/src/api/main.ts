/**
 * An HTTP API for many tenants: `npm run example:api`.
 *
 * Starts three PostgreSQL servers as shards and the API on port 3000, visits it as two tenants, as nobody, and as somebody
 * unknown, and then serves whoever comes until Ctrl-C.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createServer } from "node:http"
import { runIfMain } from "../runMain.js"
import * as Tell from "../tell.js"
import { clientOf } from "./client.js"
import * as Server from "./server.js"

export const visits = Effect.gen(function* () {
  yield* Tell.heading("Two tenants write, and read what is theirs")
  for (const tenant of ["acme", "globex"]) {
    const { notes } = yield* clientOf(tenant)
    yield* notes.write({ payload: { text: `hello from ${tenant}` } })
    const [note] = yield* notes.list({ urlParams: {} })
    yield* Tell.line(`${tenant}: ${note?.id} ${note?.text}`)
  }

  yield* Tell.heading("The operator sees how much, and where")
  const operator = yield* clientOf()
  for (const { notes, shard, tenant } of yield* operator.usage.all()) yield* Tell.line(`${shard}: ${tenant} ${notes}`)

  yield* Tell.heading("Nobody, and somebody unknown")
  yield* Tell.refused(operator.notes.list({ urlParams: {} }))
  const stranger = yield* clientOf("umbrella")
  yield* Tell.refused(stranger.notes.list({ urlParams: {} }))

  yield* Tell.heading("A handler that forgets the tenant gets an error, and not everybody's notes")
  const router = yield* ShardRouter.ShardRouter
  const sql = yield* SqlClient.SqlClient
  const forgetful = router.query(sql`SELECT text FROM notes ORDER BY id`)
  yield* Tell.refused(ShardRouter.forKey(Server.topology.tables.notes, "acme")(forgetful))
  yield* Tell.refused(forgetful)
})

const port = 3000
const baseUrl = `http://localhost:${port}`

const serving = Effect.gen(function* () {
  yield* Tell.heading("Serving until Ctrl-C")
  yield* Tell.line(`curl ${baseUrl}/openapi.json`)
  yield* Tell.line(`curl -H 'x-tenant: acme' ${baseUrl}/notes`)
  return yield* Effect.never
})

const Database = PgCluster.layer({
  topology: Server.topology,
  schema: Server.schema,
  router: { policy: Server.policy }
})

const Client = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, HttpClient.mapRequest(HttpClientRequest.prependUrl(baseUrl)))
).pipe(Layer.provide(FetchHttpClient.layer))

const Main = Server.layer.pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { port })),
  Layer.provideMerge(Database),
  Layer.provideMerge(Client)
)

runIfMain(import.meta.url, Effect.provide(Effect.zipRight(visits, serving), Main))
