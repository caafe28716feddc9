/**
 * The API over real HTTP, by the client that its definition gives: each request sees its own tenant's notes, whoever asks
 * beside it, and what says no tenant is refused.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, layer } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as QueryLog from "@shardlayer/testing/QueryLog"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { clientOf } from "../src/api/client.js"
import { visits } from "../src/api/main.js"
import * as Server from "../src/api/server.js"
import { told } from "./told.js"

const { policy, schema, topology } = Server

const Served = Server.layer.pipe(
  Layer.provideMerge(NodeHttpServer.layerTest),
  Layer.provideMerge(PgCluster.layer({ topology, schema, mode: "databases", router: { policy } })),
  Layer.provideMerge(QueryLog.layer)
)

/** What the server asked the shards for notes while the effect ran, and where. */
const asked = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const log = yield* QueryLog.QueryLog
    yield* log.clear
    yield* effect
    const entries = yield* log.entries
    return entries.flatMap(({ shards, sql }) => (sql.includes("notes") ? [shards] : []))
  })

/** What a tenant finds, page by page. */
const everythingOf = (tenant: string) =>
  Effect.gen(function* () {
    const { notes } = yield* clientOf(tenant)
    const found: Array<string> = []
    let after = "0"
    while (true) {
      const page = yield* notes.list({ urlParams: { after, limit: 7 } })
      const last = page.at(-1)
      if (last === undefined) return found
      expect(page.length).toBeLessThanOrEqual(7)
      found.push(...page.map(({ text }) => text))
      after = last.id
    }
  })

/** Of the error that a request fails with. */
const tagOf = <A, E extends { readonly _tag: string }, R>(request: Effect.Effect<A, E, R>) =>
  Effect.match(request, { onFailure: ({ _tag }) => _tag, onSuccess: () => "no error" })

layer(Served, { excludeTestServices: true, timeout: "60 seconds" })("npm run example:api", (it) => {
  it.effect("keeps tenants apart, whose requests come all at once", () =>
    Effect.gen(function* () {
      const tenants = ["acme", "globex", "initech"]
      const clients = yield* Effect.forEach(tenants, (tenant) => clientOf(tenant))
      const turns = Array.from({ length: 90 }, (_, turn) => turn)
      const written = yield* Effect.forEach(
        turns,
        (turn) =>
          Effect.gen(function* () {
            const at = turn % 3
            const { notes } = clients[at]!
            const note = yield* notes.write({ payload: { text: `${tenants[at]} ${turn}` } })
            const others = clients[(at + 1) % 3]!
            // Read back by its own tenant; to another one the same id is nothing, whatever shard it shares.
            const [own, foreign] = yield* Effect.all(
              [notes.read({ path: { id: note.id } }), Effect.flip(others.notes.read({ path: { id: note.id } }))],
              { concurrency: 2 }
            )
            expect(own).toEqual(note)
            expect(foreign).toMatchObject({ _tag: "NoteNotFound", id: note.id })
            return note
          }),
        { concurrency: 24 }
      )
      expect(new Set(written.map(({ id }) => id)).size).toBe(90)
      for (const [at, tenant] of tenants.entries()) {
        const expected = turns.filter((turn) => turn % 3 === at).map((turn) => `${tenant} ${turn}`)
        expect((yield* everythingOf(tenant)).sort()).toEqual(expected.sort())
      }

      const { usage } = yield* clientOf()
      expect(yield* usage.all()).toEqual([
        { tenant: "acme", shard: "shard_1", notes: 30 },
        { tenant: "globex", shard: "shard_3", notes: 30 },
        { tenant: "initech", shard: expect.stringMatching(/^shard_\d$/), notes: 30 }
      ])
    })
  )

  it.effect("pins a request to its tenant's shard, and to nothing beyond the request", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      const { notes } = yield* clientOf("globex")
      expect(yield* asked(notes.write({ payload: { text: "where am I" } }))).toEqual([["shard_3"]])
      expect(yield* asked(notes.list({ urlParams: {} }))).toEqual([["shard_3"]])
      for (const { id } of cluster.shards) {
        const rows = yield* cluster.query(id, "SELECT 1 FROM notes WHERE text = 'where am I'")
        expect([id, rows.length]).toEqual([id, id === "shard_3" ? 1 : 0])
      }
      const router = yield* ShardRouter.ShardRouter
      expect(yield* router.currentShard).toMatchObject({ _tag: "None" })
    })
  )

  it.effect("answers nobody with 401, somebody unknown with 404, typed, and asks no shard for notes", () =>
    Effect.gen(function* () {
      const nobody = yield* clientOf()
      const asNobody = [
        tagOf(nobody.notes.list({ urlParams: {} })),
        tagOf(nobody.notes.read({ path: { id: "1" } })),
        tagOf(nobody.notes.write({ payload: { text: "anonymous" } }))
      ]
      for (const request of asNobody) {
        const refused = Effect.tap(request, (tag) => expect(tag).toBe("TenantMissing"))
        expect(yield* asked(refused)).toEqual([])
      }
      const stranger = yield* clientOf("umbrella' OR 'a' = 'a")
      const unknownTenant = Effect.tap(Effect.flip(stranger.notes.list({ urlParams: {} })), (error) =>
        expect(error).toMatchObject({ _tag: "TenantUnknown", tenant: "umbrella' OR 'a' = 'a" })
      )
      expect(yield* asked(unknownTenant)).toEqual([])

      const http = yield* HttpClient.HttpClient
      expect((yield* http.get("/notes")).status).toBe(401)
      const unknown = HttpClientRequest.get("/notes").pipe(HttpClientRequest.setHeader("x-tenant", "umbrella"))
      expect((yield* http.execute(unknown)).status).toBe(404)
    })
  )

  it.effect("is visited as its page says", () =>
    Effect.gen(function* () {
      const [, lines] = yield* told(visits)
      expect(lines).toMatch(/acme: \d+ .*\n {2}globex: \d+ /)
      expect(lines).toMatch(/shard_1: acme \d+\n {2}shard_3: globex \d+\n/)
      const errors = [...lines.matchAll(/^ {2}(\w+) (?:say|there|inside|the policy)/gm)].map(([, tag]) => tag)
      expect(errors).toEqual(["TenantMissing", "TenantUnknown", "KeyNotPinned", "ScatterRefused"])
    })
  )

  it.effect("refuses a statement that forgets the tenant, in a request and outside of one", () =>
    Effect.gen(function* () {
      const router = yield* ShardRouter.ShardRouter
      const sql = yield* SqlClient.SqlClient
      const all = router.query(sql`SELECT text FROM notes`)
      const others = router.query(sql`SELECT text FROM notes WHERE tenant = ${"globex"}`)
      const guarded = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.scoped(
          Effect.zipRight(ShardRouter.forKeyScoped(topology.tables.notes, "acme", { locked: true }), effect)
        )
      expect(yield* Effect.flip(guarded(all))).toMatchObject({ _tag: "KeyNotPinned" })
      expect(yield* Effect.flip(guarded(others))).toMatchObject({ _tag: "KeyNotPinned" })
      expect(yield* Effect.flip(guarded(ShardRouter.onShard(all, "shard_1")))).toMatchObject({ _tag: "ShardLocked" })
      expect(yield* Effect.flip(all)).toMatchObject({ _tag: "ScatterRefused" })
    })
  )

  it.effect("tells bad input by its schema", () =>
    Effect.gen(function* () {
      const http = yield* HttpClient.HttpClient
      const asAcme = HttpClientRequest.setHeader("x-tenant", "acme")
      const paths = ["/notes?limit=0", "/notes?limit=many", "/notes?after=-1", "/notes/x", `/notes/${"9".repeat(19)}`]
      for (const path of paths) {
        expect([path, (yield* http.execute(asAcme(HttpClientRequest.get(path)))).status]).toEqual([path, 400])
      }
    })
  )

  it.effect("has an OpenAPI document with its paths, its tenant header and its errors", () =>
    Effect.gen(function* () {
      const http = yield* HttpClient.HttpClient
      const document = yield* Effect.flatMap(http.get("/openapi.json"), ({ json }) => json)
      expect(document).toMatchObject({
        openapi: expect.stringMatching(/^3\./),
        info: { title: "Notebook" },
        paths: {
          "/notes": {
            get: {
              security: [{ tenant: [] }],
              responses: { 200: expect.anything(), 401: expect.anything(), 404: expect.anything() }
            },
            post: { responses: { 201: expect.anything() } }
          },
          "/notes/{id}": { get: { responses: { 404: expect.anything() } } },
          "/usage": { get: { responses: { 200: expect.anything() } } }
        },
        components: { securitySchemes: { tenant: { type: "apiKey", name: "x-tenant", in: "header" } } }
      })
    })
  )
})
