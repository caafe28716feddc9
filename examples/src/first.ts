/**
 * The smallest program: `npm run example:first`.
 *
 * A table whose rows are spread over two PostgreSQL servers by their key, and the ordinary `SqlClient` in front of them.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Keyspace, ShardRouter, Table, Topology } from "@shardlayer/core"
import { PgRouter, PgShard } from "@shardlayer/pg"
import { PgCluster } from "@shardlayer/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { runIfMain } from "./runMain.js"
import * as Tell from "./tell.js"

/** Which shards there are, and where the rows of each table live: those of `users` where the hash of their `id` says. */
const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})

/** The router over two servers, started here and gone with the program. In yours the addresses come from its configuration. */
const Database = Layer.unwrapScoped(
  Effect.map(PgCluster.make({ shards: 2 }), ({ shards }) =>
    PgRouter.layer({
      topology,
      // Tables of its own, for what is written on several shards at once.
      install: true,
      shards: Object.fromEntries(shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
    })
  )
)

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* Tell.heading("A table, on both shards")
  yield* sql`CREATE TABLE users (id int8 PRIMARY KEY, name text NOT NULL)`

  yield* Tell.heading("A row: the key says which shard it goes to")
  yield* Tell.statement(sql<User>`INSERT INTO users (id, name) VALUES (${1}, ${"Ada"}) RETURNING *`)

  yield* Tell.heading("Many rows: each to its own, on all shards or on none")
  const others = ["Grace", "Edsger", "Barbara", "Donald"].map((name, index) => ({ id: index + 2, name }))
  yield* sql`INSERT INTO users ${sql.insert(others)}`
  const byShard = yield* ShardRouter.onAllShards(sql<User>`SELECT id, name FROM users ORDER BY id`)
  for (const [shard, users] of byShard) {
    yield* Tell.line(`${shard}: ${users.map(({ id, name }) => `${id} ${name}`).join(", ")}`)
  }

  yield* Tell.heading("By key: one shard is asked")
  yield* Tell.statement(sql<User>`SELECT name FROM users WHERE id = ${3}`)

  yield* Tell.heading("Without a key: both are asked, and their counts added up")
  yield* Tell.statement(sql<{ users: string }>`SELECT count(*) AS users FROM users`)
})

/** A type and not an interface, so that it is a row. */
type User = { readonly id: string; readonly name: string }

runIfMain(import.meta.url, Effect.provide(program, Database))
