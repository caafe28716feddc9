/** The code of docs/testing.md and of the packages' pages runs as it stands there. */
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as Faults from "@shardlayer/testing/Faults"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { describe } from "vitest"
import { addressed, page, printed } from "./page.js"

type Database = Layer.Layer<PgRouter.Provided, unknown>

const users = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})
const schema = "create table users (id int8 primary key, name text)"
const ask = (text: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text))

const testing = page("docs/testing.md")
await testing.defines("a-first-test ts")
await testing.defines("databases-for-tests ts")
await testing.defines("a-clean-database-for-each-test ts 2")
await testing.defines("adapters-of-your-own ts")

describe("docs/testing.md", () => {
  testing.runs<{ program: Effect.Effect<void, unknown, PgRouter.Provided> }>("what-ran-querylog ts", ({ program }) =>
    Effect.gen(function* () {
      const [table, diagram] = yield* printed(program)
      expect(table).toContain("SELECT name FROM users WHERE id = $1")
      expect(diagram).toMatch(/^sequenceDiagram/)
    }).pipe(Effect.provide(PgCluster.layer({ mode: "databases", topology: users, schema })))
  )

  const difference = testing.text("one-postgresql-and-shards-oracle text")

  it.scopedLive("one-postgresql-and-shards-oracle text", () =>
    Effect.gen(function* () {
      // Somebody has renamed Eve, on the shards alone.
      const program = Effect.gen(function* () {
        const router = yield* Effect.serviceOption(ShardRouter.ShardRouter)
        if (router._tag === "Some") yield* ask("update users set name = 'Eva' where id = 201")
      })
      const seed = ["insert into users values (1, 'Ada'), (201, 'Eve')"]
      const sides = yield* Oracle.make({ topology: users, schema: [schema], seed })
      yield* sides.provide(program)
      const statements = ["select count(*) from users", "select id, name from users where id > 100"]
      const found = yield* Effect.flip(sides.statements(statements))
      expect(`${found.message}\n`).toBe(difference)
    })
  )

  testing.runs<{ test: Effect.Effect<unknown, unknown> }>("random-statements-sqlarbitrary ts", ({ test }) => test)

  testing.runs<{ test: Effect.Effect<Oracle.Report, unknown> }>("random-statements-sqlarbitrary ts 2", ({ test }) =>
    Effect.map(test, ({ compared }) => expect(compared).toBeGreaterThan(20))
  )

  testing.runs<{ whole: Effect.Effect<unknown, unknown> }>("a-clean-database-for-each-test ts", ({ whole }) =>
    Effect.map(whole, (rows) => expect(rows).toEqual([{ name: "Ada" }]))
  )

  testing.runs<{ whole: Effect.Effect<unknown, unknown> }>("faults ts", ({ whole }) => whole)

  const schedule = testing.text("faults text")

  it("faults text", () => {
    const planned: Faults.Schedule = [
      { atMillis: 0, lastsMillis: 120, fault: { _tag: "Kill", shard: "shard_2" } },
      { atMillis: 40, lastsMillis: 60, fault: { _tag: "Pause", shard: "shard_1" } }
    ]
    expect(`${Faults.format(planned)}\n`).toBe(schedule)
  })

  testing.runs<{ whole: () => Layer.Layer<PgRouter.Provided, unknown, PgCluster.PgCluster> }>(
    "faults ts 2",
    ({ whole }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        // Its commit prepares on one shard, and is not told that it did.
        const both = sql.withTransaction(ask("insert into users select n from generate_series(1, 8) n"))
        expect(yield* Effect.flip(both)).toMatchObject({ cause: { _tag: "ParticipantLost" } })
      }).pipe(Effect.provide(whole()), Effect.provide(PgCluster.layer({ mode: "databases", shards: 2 })))
  )

  testing.ends()
})

const ofTesting = page("packages/testing/README.md")
await ofTesting.defines("shardlayertesting ts")
describe("packages/testing/README.md", () => {
  ofTesting.ends()
})

describe("packages/core/README.md", () => {
  const core = page("packages/core/README.md")
  core.runs<{ rename: (id: number, name: string) => Effect.Effect<void, unknown, PgRouter.Provided> }>(
    "shardlayercore ts",
    ({ rename }) =>
      Effect.gen(function* () {
        yield* ask("insert into users values (1, 'Ada')")
        yield* rename(1, "Augusta")
        expect(yield* ask("select name from users")).toEqual([{ name: "Augusta" }])
      }).pipe(Effect.provide(PgCluster.layer({ mode: "databases", topology: users, schema })))
  )
  core.ends()
})

describe("packages/pg/README.md", () => {
  const pg = page("packages/pg/README.md")
  pg.runs<{ Database: Database; user: (id: number) => Effect.Effect<unknown, unknown, SqlClient.SqlClient> }>(
    "shardlayerpg ts",
    ({ Database, user }) =>
      Effect.gen(function* () {
        const cluster = yield* addressed({ shards: 2 })
        for (const { id } of cluster.shards) yield* cluster.query(id, schema)
        const added = Effect.zipRight(ask("insert into users values (1, 'Ada')"), user(1))
        expect(yield* Effect.provide(added, Database)).toEqual([{ id: "1", name: "Ada" }])
      })
  )
  pg.ends()
})
