/**
 * From one PostgreSQL to four: `npm run example:grow`.
 *
 * A shop runs on one server, on the client of `@effect/sql-pg`, and takes orders all the time. Step by step its data and its
 * queries move to four servers, and the shop goes on, the same program, on the router. Nothing that a customer was told is
 * done gets lost, which is looked at in the end.
 *
 * Reads go on throughout. Writes wait while all rows are copied and compared: a second here, and hours for a terabyte. That
 * is what there is today; rows cannot be moved while they are written.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { runIfMain } from "../runMain.js"
import * as Tell from "../tell.js"
import { Entrance, opened, RowsLost, type Told } from "./entrance.js"
import { answers, firstDay, questions, schema } from "./shop.js"

/**
 * Everything of a customer lives together. The one server counted its customers itself; four would each begin at 1, so the
 * topology counts for them, from `firstId` on.
 */
const topologyOf = (shards: ReadonlyArray<string>, firstId: number) =>
  Topology.make({
    shards,
    keyspaces: { customer: Keyspace.hash({ key: ["int8"] }) },
    tables: {
      customers: Table.sharded({
        key: "id",
        keyspace: "customer",
        generate: { id: Id.sequence({ start: firstId, block: 100 }) }
      }),
      orders: Table.sharded({ key: "customer", keyspace: "customer" }),
      items: Table.sharded({ key: "customer", keyspace: "customer" }),
      products: Table.reference()
    }
  })

const shards = ["shard_1", "shard_2", "shard_3", "shard_4"]

/** In an order in which each row finds what it refers to. */
const columns = {
  products: ["id", "name", "price"],
  customers: ["id", "name"],
  orders: ["customer", "no"],
  items: ["customer", "no", "product"]
}

export const grow = Effect.gen(function* () {
  const cluster = yield* PgCluster.PgCluster
  const one = yield* cluster.node("oracle")

  yield* Tell.heading("1. A shop on one PostgreSQL")
  const old = Context.get(yield* Layer.build(PgClient.layer({ url: one.url })), SqlClient.SqlClient)
  for (const statement of schema) yield* old.unsafe(statement)
  const entrance = new Entrance(old)
  const told: Told = { ...(yield* entrance.write(firstDay)), longestWaitMillis: 0 }
  const day = yield* Effect.fork(opened(entrance, told))
  yield* Tell.line("its customers order, and go on to do so through all that follows")

  yield* Tell.heading("2. A rehearsal: the program on one database and on four, with the first day's rows")
  const program = Effect.zipRight(firstDay, answers)
  yield* alike(Oracle.differential({ topology: topologyOf(shards, 1), schema, program }))
  yield* Tell.holds("nothing is refused; each statement gives the same rows on both, and the tables are the same")

  yield* Tell.heading("3. Four servers with the tables, and no rows yet")
  const [last] = yield* old<{ id: string }>`SELECT max(id) AS id FROM customers`
  // Those who come until the move get numbers of the old server, which stay below.
  const topology = topologyOf(shards, Number(last?.id) + 100_000)
  const router = yield* routerOver(
    topology,
    cluster.shards.map(({ url }) => url)
  )
  for (const statement of schema) yield* router.client.unsafe(statement)
  yield* router.check
  yield* Tell.holds("the schemas of all shards are alike and fit the topology")

  yield* Tell.heading("4. Writes wait, the rows move, what arrived is compared, writes go on")
  // The old database, as the only shard there is: so its rows can be had as COPY gives them.
  const source = yield* routerOver(topologyOf(["old"], 1), [one.url])
  const move = Effect.gen(function* () {
    yield* router.transaction(
      Effect.forEach(Object.entries(columns), ([table, names]) =>
        Effect.flatMap(router.copyFrom(table, names, source.copyTo(table), { format: "text" }), ({ rows }) =>
          Tell.line(`${table}: ${rows} rows`)
        )
      )
    )
    const sides = yield* Oracle.over({
      topology,
      one: one.url,
      shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, url]))
    })
    // Fails, and the shop stays where it is, if a row or an answer differs.
    yield* alike(sides.program(answers))
    return router.client
  })
  const [pause] = yield* Effect.timed(entrance.closed(Effect.scoped(move)))
  yield* Tell.holds("all tables hold the same rows, and the shop's questions have the same answers")
  yield* Tell.line(`writes waited for ${seconds(Duration.toMillis(pause))}, reads for nothing`)

  yield* Tell.heading("5. The same program on four servers")
  yield* Effect.sleep("500 millis")
  yield* Effect.forEach(questions(router.client), Tell.statement).pipe(
    Effect.provideService(ShardRouter.ShardRouter, router)
  )

  yield* Tell.heading("6. The shop closes. Is everything there that a customer was told is?")
  if ((yield* Fiber.poll(day))._tag === "Some") yield* Fiber.join(day)
  yield* Fiber.interrupt(day)
  const found = {
    customers: yield* router.client<{ it: string }>`SELECT id AS it FROM customers`,
    orders: yield* router.client<{ it: string }>`SELECT concat(customer, '/', no) AS it FROM orders`
  }
  for (const what of ["customers", "orders"] as const) {
    const there = found[what].map(({ it }) => it).sort()
    if (there.join() !== told[what].sort().join())
      return yield* new RowsLost({ what: `${what} differ from what was told` })
    yield* Tell.holds(`${there.length} ${what}, each once, and no other`)
  }
  yield* Tell.line(`the longest that one of them waited: ${seconds(told.longestWaitMillis)}`)
})

/** What differs has failed already; what is refused is told here. */
const alike = <E, R>(compared: Effect.Effect<Oracle.Report, E, R>) =>
  Effect.filterOrFail(
    compared,
    ({ refused }) => refused.length === 0,
    ({ refused }) => new MoveRefused({ statements: refused.map(({ code, sql }) => `${code} ${sql}`) })
  )

/** The program has statements that shards do not take: they are to be written otherwise first. */
class MoveRefused extends Data.TaggedError("MoveRefused")<{ readonly statements: ReadonlyArray<string> }> {
  override get message(): string {
    return this.statements.join("; ")
  }
}

const seconds = (millis: number) => `${(millis / 1_000).toFixed(1)} s`

/** For as long as the move takes, and the shop after it. */
const routerOver = (topology: Topology.Topology, urls: ReadonlyArray<Redacted.Redacted>) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        install: topology.shards.length > 1,
        shards: Object.fromEntries(topology.shards.map((id, index) => [id, PgShard.layer({ url: urls[index] })]))
      })
    ),
    Context.get(ShardRouter.ShardRouter)
  )

runIfMain(import.meta.url, Effect.scoped(Effect.provide(grow, PgCluster.layer({ shards: 4, oracle: true }))))
