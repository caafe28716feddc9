/**
 * `npm run bench:copy`: the same rows loaded with COPY over four shards, with one server's COPY, and with INSERTs of many
 * rows over the shards. All servers share this machine's cores, so what several machines would gain does not show: what
 * does is what splitting the rows costs. Rounds take turns, tables are empty at each, medians.
 *
 * Prints, and writes to benchmarks/results/.
 */
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
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { mkdirSync, writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { fileURLToPath } from "node:url"
import { machine } from "./machine.js"
import { median } from "./measure.js"

const count = Number(process.argv[2] ?? 100_000)
const rounds = Number(process.argv[3] ?? 5)
const insertRows = 1_000

const ids = ["shard_1", "shard_2", "shard_3", "shard_4"]
const schema = "create table events (id int8 primary key, name text not null, amount int, at timestamptz)"

const topologyOf = (shards: ReadonlyArray<string>) =>
  Topology.make({
    shards,
    keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
    tables: { events: Table.sharded({ key: "id", keyspace: "k" }) }
  })

const openRouter = (nodes: ReadonlyArray<PgCluster.Node>) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology: topologyOf(nodes.map(({ id }) => id)),
        install: true,
        shards: Object.fromEntries(nodes.map((node) => [node.id, PgShard.layer({ url: node.url })]))
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

const at = new Date("2026-01-01T00:00:00Z")
const columns = ["id", "name", "amount", "at"]
const rows = Stream.map(Stream.range(0, count - 1), (id) => [id, `the name of event ${id}`, id % 1_000, at])
const csv = Stream.fromIterable(
  Array.from({ length: Math.ceil(count / 1_000) }, (_, page) =>
    Buffer.from(
      Array.from({ length: Math.min(1_000, count - page * 1_000) }, (_, n) => {
        const id = page * 1_000 + n
        return `${id},the name of event ${id},${id % 1_000},2026-01-01 00:00+00\n`
      }).join("")
    )
  )
)

const main = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: ids.length, oracle: true, fsync: true })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const several = yield* openRouter(cluster.shards)
  const one = yield* openRouter([yield* cluster.node("oracle")])
  const inserts = several.transaction(
    Stream.runForEach(Stream.grouped(rows, insertRows), (page) =>
      several.query(
        several.client`insert into events ${several.client.insert([...page].map(([id, name, amount, when]) => ({ id, name, amount, at: when }) as never))}`
      )
    )
  )
  const contenders = [
    ["one server, COPY of values", one.copyFrom("events", columns, rows)],
    ["four shards, COPY of values", several.copyFrom("events", columns, rows)],
    ["four shards, COPY of values, atomic: false", several.copyFrom("events", columns, rows, { atomic: false })],
    ["one server, COPY of CSV", one.copyFrom("events", columns, csv, { format: "csv" })],
    ["four shards, COPY of CSV", several.copyFrom("events", columns, csv, { format: "csv" })],
    [`four shards, INSERTs of ${insertRows} rows, one transaction`, inserts]
  ] as const
  const millis = contenders.map((): Array<number> => [])
  for (let round = -1; round < rounds; round++) {
    for (const [index, [, run]] of contenders.entries()) {
      for (const { id } of cluster.nodes) yield* cluster.query(id, "truncate events")
      const startedAt = performance.now()
      yield* run
      if (round >= 0) millis[index]?.push(performance.now() - startedAt)
    }
  }
  const [load = 0] = loadavg()
  console.log(`${count} rows, median of ${rounds}; load ${load.toFixed(1)} of ${machine().cores} cores`)
  const results = contenders.map(([name], index) => ({ name, millis: median(millis[index] ?? []) }))
  for (const { millis: own, name } of results) {
    const perSecond = Math.round(count / (own / 1_000))
    console.log(`${name.padEnd(52)} ${own.toFixed(0).padStart(7)} ms ${String(perSecond).padStart(8)} rows/s`)
  }
  const folder = fileURLToPath(new URL("../results", import.meta.url))
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    `${folder}/copy.json`,
    `${JSON.stringify({ machine: machine(), load, count, rounds, results }, undefined, 2)}\n`
  )
})

const exit = await Effect.runPromiseExit(Effect.scoped(main))
if (Exit.isFailure(exit)) {
  console.error(Cause.pretty(exit.cause, { renderErrorCause: true }))
  process.exit(1)
}
