/**
 * `npm run bench:scatter`: statements over 1,000,000 orders on four servers through the router, against the same
 * statements on one server that holds all of them through plain `@effect/sql-pg`; side by side, medians.
 *
 * Both answers are compared once before anything is measured. At the end an ordered stream of all rows: rows a second,
 * and how much memory this process took above what it had before. Prints, and writes to benchmarks/results/.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { mkdirSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { machine } from "./machine.js"
import { median } from "./measure.js"

const rowsTotal = Number(process.argv[2] ?? 1_000_000)
const rounds = 7

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  keyspaces: { order: Keyspace.hash({ key: ["int8"] }) },
  tables: { orders: Table.sharded({ key: "id", keyspace: "order" }) }
})

const schema = `create table orders (
  id int8 primary key, customer int8 not null, amount numeric(10, 2) not null, status text not null,
  created_at timestamptz not null)`

const rowsOf = `select i, i * 7919 % 50000, (i * 104729 % 900000)::numeric / 100, (array['new','paid','sent','done'])[i % 4 + 1],
  timestamptz '2026-01-01' + i * interval '1 second' from unnest($1::int8[]) i`

const statements: ReadonlyArray<readonly [name: string, sql: string]> = [
  ["count(*)", "select count(*) from orders"],
  [
    "sum, avg, count by status",
    "select status, sum(amount), avg(amount), count(*) from orders group by status order by status"
  ],
  ["top 10 by amount, no index", "select id, amount from orders order by amount desc, id limit 10"],
  ["page: limit 100 offset 10,000", "select id, amount from orders order by created_at, id limit 100 offset 10000"],
  ["page: limit 100 offset 300,000", "select id, amount from orders order by created_at, id limit 100 offset 300000"],
  ["count(distinct customer)", "select count(distinct customer) from orders"],
  ["count(distinct amount)", "select count(distinct amount) from orders"],
  ["distinct status", "select distinct status from orders order by status"],
  [
    "having, one PostgreSQL finishes",
    "select customer, count(*) from orders group by customer having count(*) > 20 and avg(amount) > 4600 order by 2 desc, 1 limit 20"
  ],
  [
    "IN of 100 keys",
    `select id, amount from orders where id in (${Array.from({ length: 100 }, (_, index) => index * 997 + 1).join(", ")}) order by id`
  ]
]

const load = (cluster: PgCluster.PgCluster.Service) =>
  Effect.gen(function* () {
    const keyspace = topology.keyspaces["order"]
    if (keyspace === undefined) return yield* Effect.dieMessage("no keyspace")
    const idsOf = new Map<string, Array<number>>()
    const all: Array<number> = []
    for (let id = 1; id <= rowsTotal; id++) {
      const owner = Resolver.owner(topology, keyspace, Either.getOrThrow(KeyValue.decode(keyspace.key, [id])))
      if (owner._tag !== "Shard") return yield* Effect.dieMessage("a key without a shard")
      const known = idsOf.get(owner.shard)
      if (known === undefined) idsOf.set(owner.shard, [id])
      else known.push(id)
      all.push(id)
    }
    for (const { id } of cluster.nodes) {
      yield* cluster.query(id, schema)
      const ids = id === "oracle" ? all : (idsOf.get(id) ?? [])
      for (let at = 0; at < ids.length; at += 50_000) {
        yield* cluster.query(id, `insert into orders ${rowsOf}`, [ids.slice(at, at + 50_000)])
      }
      yield* cluster.query(id, "create index on orders (created_at, id)")
      yield* cluster.query(id, "vacuum (analyze) orders")
    }
  })

const millisOf = <E>(effect: Effect.Effect<unknown, E>): Effect.Effect<number, E> =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.map(effect, () => performance.now() - startedAt)
  })

interface Line {
  readonly name: string
  readonly oneMillis: number
  readonly routedMillis: number
  readonly ratio: number
  readonly strategy: string
}

const compare = (one: SqlClient.SqlClient, router: ShardRouter.ShardRouterService, name: string, sql: string) =>
  Effect.gen(function* () {
    const [expected, actual] = [yield* one.unsafe(sql), yield* router.client.unsafe(sql)]
    if (JSON.stringify(expected) !== JSON.stringify(actual))
      return yield* Effect.dieMessage(`${name}: the answers differ`)
    const { strategy } = yield* router.explain(router.client.unsafe(sql))
    const [ones, routeds]: [Array<number>, Array<number>] = [[], []]
    for (let round = 0; round < rounds; round++) {
      ones.push(yield* millisOf(one.unsafe(sql)))
      routeds.push(yield* millisOf(router.client.unsafe(sql)))
    }
    const ratio = median(routeds.map((routed, round) => routed / (ones[round] ?? NaN)))
    const line: Line = { name, oneMillis: median(ones), routedMillis: median(routeds), ratio, strategy }
    console.log(
      [
        name.padEnd(34),
        line.oneMillis.toFixed(1).padStart(9),
        line.routedMillis.toFixed(1).padStart(9),
        `${ratio.toFixed(2)}x`.padStart(8),
        `  ${strategy}`
      ].join("")
    )
    return line
  })

const ordered = "select id, customer, amount, status, created_at from orders order by created_at, id"

interface Streamed {
  readonly rowsPerSecond: number
  readonly peakMiB: number
}

/** Rows a second, and the highest resident memory above that before, seen every 20 ms. */
const streamed = (sql: SqlClient.SqlClient): Effect.Effect<Streamed, SqlError> =>
  Effect.suspend(() => {
    globalThis.gc?.()
    const before = process.memoryUsage.rss()
    let peak = before
    const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20)
    const startedAt = performance.now()
    return Stream.runFold(sql.unsafe(ordered).stream, 0, (count) => count + 1).pipe(
      Effect.map((count) => {
        if (count !== rowsTotal) throw new Error(`${count} rows instead of ${rowsTotal}`)
        return {
          rowsPerSecond: count / ((performance.now() - startedAt) / 1000),
          peakMiB: (peak - before) / 1024 ** 2
        }
      }),
      Effect.ensuring(Effect.sync(() => clearInterval(timer)))
    )
  })

const bench = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 4, oracle: true, mode: "servers", fsync: false })
  yield* load(cluster)
  const routed = yield* Layer.build(
    PgRouter.layer({
      topology,
      shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
    })
  )
  const router = Context.get(routed, ShardRouter.ShardRouter)
  const { url } = yield* cluster.node("oracle")
  const one = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient.SqlClient)
  console.log(`\n${rowsTotal.toLocaleString("en-US")} orders`.padEnd(35) + " one, ms four, ms   ratio")
  const lines: Array<Line> = []
  for (const [name, sql] of statements) lines.push(yield* compare(one, router, name, sql))
  const stream = { routed: yield* streamed(router.client), one: yield* streamed(one) }
  for (const [name, { peakMiB, rowsPerSecond }] of Object.entries(stream)) {
    console.log(
      `ordered stream, ${name}: ${Math.round(rowsPerSecond).toLocaleString("en-US")} rows/s, ${peakMiB.toFixed(0)} MiB above idle`
    )
  }
  return { measuredAt: new Date().toISOString(), machine: machine(), rowsTotal, lines, stream }
})

const fiber = Effect.runFork(Effect.scoped(bench))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) {
    const folder = fileURLToPath(new URL("../results/", import.meta.url))
    const file = `scatter-${exit.value.measuredAt.replaceAll(":", "-").slice(0, 19)}.json`
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}${file}`, `${JSON.stringify(exit.value, undefined, 2)}\n`)
    const { cores, cpu, memoryGiB, node } = exit.value.machine
    console.log(`${cpu}, ${cores} cores, ${memoryGiB} GiB, Node ${node}\nwritten to benchmarks/results/${file}`)
    process.exit(0)
  }
  if (Exit.isInterrupted(exit)) process.exit(130)
  console.error(Cause.pretty(exit.cause, { renderErrorCause: true }))
  process.exit(1)
})
