/**
 * A transfer between two shards whose router dies in the middle: after the decision, before the other shard has heard of it.
 *
 * The router that dies is a process of its own (`killed`), ended by SIGKILL. Shows what each shard holds then, what a
 * sum over both says, and how it ends. Leaves the same transfer on the server that holds everything.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Row } from "./compare.js"
import type { killed } from "./killed.js"
import { AnswersDiffer, type Stage } from "./perform.js"
import * as Render from "./render.js"
import { topology } from "./schema.js"

export const title = "A transfer whose router dies in the middle"

/** What a program sends, on whatever client, in one transaction. */
const transfer = (sql: SqlClient.SqlClient, from: Place, to: Place, people: number) => [
  sql<Row>`UPDATE places SET population = population - ${people} WHERE city_id = ${from.id}`,
  sql<Row>`UPDATE places SET population = population + ${people} WHERE city_id = ${to.id}`
]

/** `die`: performs the transfer on a router that does not survive it. */
export const crash = ({ screen, single }: Stage, places: ReadonlyArray<number>, die: ReturnType<typeof killed>) =>
  Effect.gen(function* () {
    const { line, paint } = screen
    const router = yield* ShardRouter.ShardRouter
    const sql = yield* SqlClient.SqlClient
    const [from, to] = yield* onTwoShards(places)
    const people = 1_000
    const sum = Effect.map(
      sql<{ people: string }>`
        SELECT sum(population) AS people FROM places WHERE city_id = ANY(${[from.id, to.id]})`,
      ([row]) => Number(row?.people)
    )
    const told = Effect.forEach([from, to], (place) =>
      Effect.tap(populationOf(sql, place), (population) =>
        Effect.sync(() => line(`     ${place.shard}  ${place.name} ${Render.count(population)}`))
      )
    )

    line(`     ${Render.count(people)} people move from ${from.name} (${from.shard}) to ${to.name} (${to.shard})`)
    const before = yield* sum
    yield* told
    yield* die("decided", transfer(sql, from, to, people))
    line(`     ${paint.yellow("SIGKILL")} between the decision and the second COMMIT; the shards now:`)
    yield* told
    const inDoubt = yield* router.inDoubt
    for (const { branches, decider, transaction } of inDoubt) {
      const shards = branches.map(({ shard }) => shard).join(", ")
      line(`     in doubt on ${shards}, decided on ${decider}: ${paint.dim(transaction)}`)
    }

    const half = yield* ShardRouter.withPolicy(sum, { reads: "perShard" })
    const [waited, whole] = yield* Effect.timed(sum)
    line(`     sum(population), each shard by itself: ${Render.count(half)}, half a transfer`)
    line(
      `     sum(population), as it is by default:  ${Render.count(whole)}, after ${Render.millis(Duration.toMillis(waited))}`
    )
    line(paint.dim("     it met the shard in doubt, and had it told what was decided; the shards then:"))
    yield* told

    const left = yield* router.inDoubt
    const reason =
      inDoubt.length !== 1
        ? `${inDoubt.length} transactions are in doubt after the crash`
        : Math.abs(half - before) !== people
          ? `each shard by itself says ${half}, where ${before} were before`
          : whole !== before
            ? `the sum was ${before}, and is ${whole}`
            : left.length > 0
              ? "a transaction is left in doubt"
              : undefined
    if (reason !== undefined) return yield* new AnswersDiffer({ scene: title, reason })
    yield* single.withTransaction(Effect.all(transfer(single, from, to, people)))
    line(`     ${paint.green("✓")} never a wrong sum by default, the transfer is whole, nothing is in doubt`)
  })

interface Place {
  readonly id: number
  readonly name: string
  readonly shard: string
}

/** The first of them, and the first that another shard holds. */
const onTwoShards = (ids: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const router = yield* ShardRouter.ShardRouter
    const sql = yield* SqlClient.SqlClient
    const places = yield* Effect.forEach(ids, (id) =>
      Effect.map(
        Effect.all([
          router.locate(topology.tables.places, String(id)),
          sql<{ name: string }>`SELECT name FROM places WHERE city_id = ${id}`
        ]),
        ([shard, [row]]): Place => ({ id, name: row?.name ?? "", shard })
      )
    )
    const [from] = places
    const to = places.find(({ shard }) => shard !== from?.shard)
    if (from === undefined || to === undefined) return yield* Effect.dieMessage("all places lie on one shard")
    return [from, to] as const
  })

const populationOf = (sql: SqlClient.SqlClient, { id }: Place) =>
  Effect.map(
    sql<{ population: number }>`SELECT population FROM places WHERE city_id = ${id}`,
    ([row]) => row?.population ?? 0
  )
