/** The code of docs/operations.md runs as it stands there, and the metrics that its alerts name are counted. */
import { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import { CommitUnknown } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as CrashPoints from "@shardlayer/testing/CrashPoints"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { readFileSync } from "node:fs"
import { page } from "./page.js"

const operations = page("docs/operations.md")

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})
const schema = "create table users (id int8 primary key)"
const many = Effect.flatMap(SqlClient, (sql) => sql`insert into users select n from generate_series(1, 8) n`)

/** A commit whose process dies between its PREPARE and the decision. */
const half = Effect.gen(function* () {
  const trigger = new CrashPoints.Trigger()
  const process = yield* Scope.make()
  const dying = yield* Layer.buildWithScope(
    PgCluster.routed({ topology, router: { commitLog: trigger.commitLog } }),
    process
  )
  trigger.arm({ step: "decide", nth: 0, when: "before" }, CrashPoints.stops)
  const commit = Effect.flatMap(SqlClient, (sql) => sql.withTransaction(many))
  yield* Effect.forkDaemon(Effect.provide(commit, dying))
  yield* Effect.sleep("1 second")
  yield* Scope.close(process, Exit.void)
})

interface Health {
  readonly shard: string
  readonly isWell: boolean
}
const well = ({ isWell }: Health) => isWell

operations.runs<{ health: Effect.Effect<ReadonlyArray<Health>, unknown, PgRouter.Provided> }>(
  "is-it-well ts",
  ({ health }) =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      expect((yield* health).map(well)).toEqual([true, true])
      yield* cluster.kill("shard_2")
      expect((yield* health).map(well)).toEqual([true, false])
    }).pipe(Effect.provide(PgCluster.layer({ topology, schema })))
)

interface Prepared {
  readonly transaction: string
  readonly decider: string
  readonly shards: ReadonlyArray<string>
}

const forgotten = operations.text("what-to-watch sql")

operations.runs<{
  outcomeOf: (error: SqlError) => Effect.Effect<string | undefined, unknown, ShardRouter.ShardRouter>
  prepared: Effect.Effect<ReadonlyArray<Prepared>, unknown, ShardRouter.ShardRouter>
}>("recovery-and-what-is-in-doubt ts 2", ({ outcomeOf, prepared }) =>
  Effect.gen(function* () {
    yield* half
    const [found] = yield* prepared
    expect(found?.shards).toEqual(["shard_1"])
    const cluster = yield* PgCluster.PgCluster
    const seen = yield* cluster.query("shard_1", forgotten.replace("30 seconds", "0 seconds"))
    expect(seen.filter(({ gid }) => String(gid).includes(found!.transaction))).toHaveLength(1)

    const error = (cause: unknown) => new SqlError({ cause, message: "" })
    const lost = new CommitUnknown({ shard: found!.decider, transaction: found!.transaction })
    expect(yield* outcomeOf(error(lost))).toBe("rolledBack")
    expect(yield* outcomeOf(error(new Error("something else")))).toBeUndefined()
    const router = yield* ShardRouter.ShardRouter
    yield* router.recover({ grace: 0 })
    expect(yield* prepared).toEqual([])
  }).pipe(Effect.provide(PgCluster.layer({ mode: "databases", topology, schema })))
)

operations.runs<{ Main: Layer.Layer<PgRouter.Provided, unknown> }>(
  "recovery-and-what-is-in-doubt ts",
  ({ Main }) =>
    Effect.gen(function* () {
      const router = yield* ShardRouter.ShardRouter
      yield* half
      yield* Effect.repeat(router.inDoubt, {
        until: (found) => found.length === 0,
        schedule: Schedule.spaced("200 millis")
      })
      expect(yield* Effect.flatMap(SqlClient, (sql) => sql`select id from users`)).toEqual([])
    }).pipe(Effect.provide(Main), Effect.provide(PgCluster.layer({ mode: "databases", shards: 2 }))),
  { Database: PgCluster.routed({ topology, schema }) }
)

const alerts = operations.text("what-to-watch promql")

it("what-to-watch promql", () => {
  const guide = readFileSync(new URL("../../docs/guide.md", import.meta.url), "utf8")
  const source = readFileSync(new URL("../../packages/core/src/ShardMetrics.ts", import.meta.url), "utf8")
  const names = new Set(alerts.match(/shardlayer_\w+/g))
  expect(names.size).toBeGreaterThan(4)
  for (const name of names) {
    expect(source).toContain(`"${name}"`)
    expect(guide).toContain(`| \`${name}\` |`)
  }
})

operations.ends()
