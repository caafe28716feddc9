/**
 * A router in a process of its own that performs one transaction and is killed by SIGKILL in the middle of its commit.
 *
 * Enters: what is to happen, as JSON in the environment (`Death`). Leaves: the transaction's name on its output, and the
 * shards as they are. It never ends by itself.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as GlobalId from "@shardlayer/core/protocol/GlobalId"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { writeSync } from "node:fs"
import type { Death } from "./killed.js"
import { runMain } from "./runMain.js"

const { at, shards, statements, topology }: Death = JSON.parse(process.env["EXAMPLE_DEATH"] ?? "{}")

const die = (id: GlobalId.GlobalId) =>
  Effect.zipRight(
    Effect.sync(() => {
      writeSync(1, GlobalId.nameOf(id))
      process.kill(process.pid, "SIGKILL")
    }),
    Effect.never
  )

const router = PgRouter.layer({
  topology: Either.getOrThrow(Topology.decodeJson(topology)),
  commitLog: {
    ...PgCommitLog.make,
    // Before the decision: one shard is prepared, and nobody knows what for.
    ...(at === "prepared" ? { decide: (_, id) => die(id) } : {}),
    // After it: it stands, and whoever would now be told to commit is not told.
    ...(at === "decided" ? { finish: (_, id) => die(id) } : {})
  },
  shards: Object.fromEntries(
    Object.entries(shards).map(([id, url]) => [id, PgShard.layer({ url: Redacted.make(url), maxConnections: 2 })])
  )
})

const transaction = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql.withTransaction(Effect.forEach(statements, ([text, params]) => sql.unsafe(text, params)))
)

runMain(Effect.asVoid(Effect.provide(transaction, router)))
