/**
 * Fills the shards through the routed client, and the fifth server through the stock client.
 *
 * Holds: each row goes where `router.locate` says, one multi-row INSERT a shard. Every full INSERT has the same text, so
 * the router plans it once.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type { Country, Place } from "./data.js"
import { ddl, topology } from "./schema.js"

/** 500 rows of eight columns: a text of 24 kB, short enough for the plan cache. */
const rowsPerInsert = 500
/** Inserts on their way at a time: two a shard. */
const insertsAtOnce = 8

/** Told after each insert how many rows it wrote. */
export type Report = (rows: number) => Effect.Effect<void>

export const createTables = (sql: SqlClient.SqlClient): Effect.Effect<void, SqlError> =>
  Effect.forEach(ddl, (statement) => sql.unsafe(statement), { discard: true })

export const insertCountries = (
  sql: SqlClient.SqlClient,
  countries: ReadonlyArray<Country>
): Effect.Effect<void, SqlError> => Effect.asVoid(sql`INSERT INTO countries ${sql.insert(countries)}`)

export const insertPlaces = (
  sql: SqlClient.SqlClient,
  batches: Iterable<ReadonlyArray<Place>>,
  report: Report
): Effect.Effect<void, SqlError> =>
  Effect.forEach(
    batches,
    (batch) => Effect.zipRight(sql`INSERT INTO places ${sql.insert(batch)}`, report(batch.length)),
    { concurrency: insertsAtOnce, discard: true }
  )

/** The places of each shard. */
export const byShard = (
  places: ReadonlyArray<Place>
): Effect.Effect<ReadonlyMap<ShardId, ReadonlyArray<Place>>, ShardError, ShardRouter.ShardRouter> =>
  Effect.gen(function* () {
    const router = yield* ShardRouter.ShardRouter
    const groups = new Map<ShardId, Array<Place>>()
    for (const place of places) {
      const shard = yield* router.locate(topology.tables.places, place.city_id)
      const group = groups.get(shard)
      if (group === undefined) groups.set(shard, [place])
      else group.push(place)
    }
    return groups
  })

/** The rows of each INSERT; the groups take turns, so that all shards are kept busy. */
export const inTurn = (groups: Iterable<ReadonlyArray<Place>>): ReadonlyArray<ReadonlyArray<Place>> => {
  const queues = Array.from(groups, (group) => Arr.chunksOf(group, rowsPerInsert))
  const longest = Math.max(...queues.map((queue) => queue.length))
  return Array.from({ length: longest }, (_, turn) => queues.flatMap((queue) => queue.slice(turn, turn + 1))).flat()
}
