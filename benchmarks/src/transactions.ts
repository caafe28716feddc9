/**
 * `npm run bench:transactions`: what commits over several shards cost, and reads beside them. Two servers; the same
 * transaction on one server through plain `@effect/sql-pg` beside it; one fiber, medians of rounds that take turns.
 *
 * Then reads of both shards at 50 transfers a second, in views and per shard: how long they take, and how many of them
 * saw half a transfer. Prints, and writes to benchmarks/results/.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { mkdirSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { machine } from "./machine.js"
import { median } from "./measure.js"

const rounds = Number(process.argv[2] ?? 300)

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: {
    k: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 1_000, shard: "shard_1" },
        { from: 1_000, shard: "shard_2" }
      ]
    })
  },
  tables: { accounts: Table.sharded({ key: "id", keyspace: "k" }) }
})

const schema = "create table accounts (id int8 primary key, balance int8 not null)"

const transfer = (sql: SqlClient.SqlClient, from: number, to: number) =>
  sql.withTransaction(
    Effect.zipRight(
      sql`update accounts set balance = balance - 1 where id = ${from}`,
      sql`update accounts set balance = balance + 1 where id = ${to}`
    )
  )

const millisOf = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<number, E> =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.map(effect, () => performance.now() - startedAt)
  })

type Contender = readonly [name: string, run: Effect.Effect<unknown, SqlError | ShardError>]

/** Rounds that are not counted: a transaction runs code that no other statement has warmed. */
const warmUp = 300

/** One round of each in turn, so that the machine's moods hit all alike. */
const sideBySide = (contenders: ReadonlyArray<Contender>, times: number) =>
  Effect.gen(function* () {
    const millis = contenders.map((): Array<number> => [])
    for (let round = -warmUp; round < times; round++) {
      for (const [index, [, run]] of contenders.entries()) {
        const own = yield* millisOf(run)
        if (round >= 0) millis[index]?.push(own)
      }
    }
    const medians = millis.map((all) => median(all))
    for (const [index, [name]] of contenders.entries()) {
      const own = medians[index] ?? NaN
      console.log(
        `${name.padEnd(58)} ${own.toFixed(2).padStart(8)} ms ${(own / (medians[0] ?? NaN)).toFixed(2).padStart(7)}x`
      )
    }
    return contenders.map(([name], index) => ({ name, millis: medians[index] ?? NaN }))
  })

const main = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 2, oracle: true, fsync: true })
  for (const { id } of cluster.nodes) {
    yield* cluster.query(id, schema)
    const where = id === "oracle" ? "true" : id === "shard_1" ? "id < 1000" : "id >= 1000"
    yield* cluster.query(id, `insert into accounts select id, 100 from generate_series(0, 1999) id where ${where}`)
  }
  const { url } = yield* cluster.node("oracle")
  const one = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient.SqlClient)
  const router = Context.get(
    yield* Layer.build(
      PgRouter.layer({
        topology,
        install: true,
        shards: Object.fromEntries(cluster.shards.map((node) => [node.id, PgShard.layer({ url: node.url })]))
      })
    ),
    ShardRouter.ShardRouter
  )
  const { client: sql } = router
  console.log("transfer of two rows, fsync on                                  median   to the first")
  const transfers = yield* sideBySide(
    [
      ["one server, @effect/sql-pg", transfer(one, 1, 2)],
      ["one shard, routed", transfer(sql, 1, 2)],
      ["two shards, routed: two-phase commit", transfer(sql, 1, 1_001)]
    ],
    rounds
  )
  const sum = "select sum(balance) as total, count(*) as n from accounts"
  console.log("\nsum over 2,000 rows, nobody writes")
  const reads = yield* sideBySide(
    [
      ["one server, @effect/sql-pg", one.unsafe(sum)],
      ["two shards, perShard", router.query(sql.unsafe(sum), { reads: "perShard" })],
      ["two shards, atomic", router.query(sql.unsafe(sum))]
    ],
    rounds
  )
  console.log("\nthe same beside 50 transfers a second over both shards")
  const torn = { atomic: 0, perShard: 0 }
  const counting = (reads: "atomic" | "perShard") =>
    Effect.tap(router.query(sql.unsafe<{ total: string }>(sum), { reads }), ([row]) =>
      Effect.sync(() => {
        if (row?.total !== "200000") torn[reads]++
      })
    )
  const writing = yield* Effect.forkScoped(Effect.repeat(transfer(sql, 3, 1_003), Schedule.fixed("20 millis")))
  const busy = yield* sideBySide(
    [
      ["two shards, perShard", counting("perShard")],
      ["two shards, atomic", counting("atomic")]
    ],
    rounds * 5
  )
  yield* Fiber.interrupt(writing)
  console.log(
    `half a transfer was seen by ${torn.perShard} of ${rounds * 5 + warmUp} reads per shard, ${torn.atomic} of as many atomic ones`
  )
  const folder = fileURLToPath(new URL("../results", import.meta.url))
  mkdirSync(folder, { recursive: true })
  const report = { machine: machine(), rounds, transfers, reads, busy, torn }
  writeFileSync(`${folder}/transactions.json`, `${JSON.stringify(report, undefined, 2)}\n`)
})

const exit = await Effect.runPromiseExit(Effect.scoped(main))
if (Exit.isFailure(exit)) {
  console.error(Cause.pretty(exit.cause, { renderErrorCause: true }))
  process.exit(1)
}
