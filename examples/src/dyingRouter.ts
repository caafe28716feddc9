/**
 * A router in a process of its own that performs one transfer and is killed by SIGKILL once the transfer is decided.
 *
 * Enters, as JSON in the first argument: the transfer; in the environment: the shards' addresses. It never ends by itself.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { type Transfer, transfer } from "./crash.js"
import { runMain } from "./runMain.js"
import { topology } from "./schema.js"

const given: Transfer = JSON.parse(process.argv[2] ?? "{}")
const shards: Record<string, string> = JSON.parse(process.env["DEMO_SHARDS"] ?? "{}")

/** The decision stands: whoever would now be told to commit is not told. */
const finish = () =>
  Effect.zipRight(
    Effect.sync(() => process.kill(process.pid, "SIGKILL")),
    Effect.never
  )

const router = PgRouter.layer({
  topology,
  commitLog: { ...PgCommitLog.make, finish },
  shards: Object.fromEntries(
    Object.entries(shards).map(([id, url]) => [id, PgShard.layer({ url: Redacted.make(url), maxConnections: 2 })])
  )
})

runMain(Effect.flatMap(SqlClient.SqlClient, (sql) => transfer(sql, given)).pipe(Effect.provide(router)))
