/** The code of docs/start.md runs as it stands there, and prints what the page says. */
import { SqlClient } from "@effect/sql/SqlClient"
import { expect } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { inspect } from "node:util"
import { it, vi } from "vitest"
import { addressed, page, printed } from "./page.js"

const start = page("docs/start.md")

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})
const ask = (text: string) => Effect.flatMap(SqlClient, (sql) => sql.unsafe(text))

const shown = start.text("a-first-program text")

it("a-first-program ts", async () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => {})
  await start.defines("a-first-program ts")
  const said = log.mock.calls.map(([value]) => (typeof value === "string" ? value : inspect(value)))
  log.mockRestore()
  expect(`${said.join("\n")}\n`).toBe(shown)
})

const refusal = start.text("what-is-refused text")

start.runs<{ refused: Effect.Effect<void, unknown, PgRouter.Provided> }>("what-is-refused ts", ({ refused }) =>
  Effect.gen(function* () {
    expect(`${(yield* printed(refused)).join("\n")}\n`).toBe(refusal)
  }).pipe(
    Effect.provide(
      PgCluster.layer({ mode: "databases", topology, schema: "create table users (id int8 primary key, name text)" })
    )
  )
)

start.runs<{ Database: Layer.Layer<PgRouter.Provided, unknown>; migrate: Effect.Effect<unknown, unknown, SqlClient> }>(
  "on-servers-of-your-own ts",
  ({ Database, migrate }) =>
    Effect.gen(function* () {
      yield* addressed({ shards: 2 })
      const rows = Effect.zipRight(
        ask("insert into users values (1, 'Ada'), (2, 'Grace')"),
        ask("select name from users order by id")
      )
      expect(yield* Effect.provide(Effect.zipRight(migrate, rows), Database)).toEqual([
        { name: "Ada" },
        { name: "Grace" }
      ])
    })
)

start.ends()
