/**
 * INSERTs of 1,000 rows: whole to one server, or split over four. Everybody draws the next thousand ids from one counter,
 * so that no key is there yet; tables are emptied before each round.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type pg from "pg"
import { openPool } from "../clients/drivers.js"
import { openPostgresJs } from "../clients/postgresJs.js"
import { decidedOverAll, makeDecisionTables } from "../clients/commits.js"
import * as FanOut from "../clients/fanOut.js"
import { openPlain } from "../clients/plain.js"
import { openRouter } from "../clients/router.js"
import { maxConnections } from "../clients/settings.js"
import type { Cluster } from "../cluster.js"
import type { Lab } from "../lab.js"
import type { Work } from "../work.js"
import { arraysOf, columns, type Event, eventsFrom, expectedOf, loading, truncated, valuesOf } from "./events.js"

export const name = "insert"
export const rowsPerInsert = 1_000

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    yield* makeDecisionTables(cluster)
    const contenders = yield* contendersOf(cluster)
    return [1, 8].map((inFlight) => ({
      id: `${name}/${inFlight}`,
      title: `INSERT of ${rowsPerInsert.toLocaleString("en-US")} rows, ${inFlight} in flight`,
      shards: 4,
      inFlight,
      rowsPerRequest: rowsPerInsert,
      warmUps: 8,
      baseline: "@effect/sql-pg, one server",
      before: truncated(cluster),
      oracle: Effect.sync(() => expectedOf(eventsFrom(1, rowsPerInsert))),
      contenders: contenders(),
      remark: `four columns, fsync ${lab.options.fsync ? "on" : "off"}, pools of ${maxConnections}`
    }))
  })

/** The hand-written owner table is that long; ids beyond it begin anew, which the emptied tables allow. */
const idsMax = 2_000_000

const contendersOf = (cluster: Cluster) =>
  Effect.gen(function* () {
    const router = yield* openRouter(cluster)
    const one = yield* openPlain(cluster.oracle)
    const pool = yield* openPool(cluster.oracle)
    const postgresJs = yield* openPostgresJs(cluster.oracle)
    const byHand = yield* FanOut.open(cluster, idsMax)
    let drawn = 0
    const next = (): ReadonlyArray<Event> => {
      if (drawn + rowsPerInsert > idsMax) drawn = 0
      const first = drawn + 1
      drawn += rowsPerInsert
      return eventsFrom(first, rowsPerInsert)
    }
    const first = () => eventsFrom(1, rowsPerInsert)
    const bySql = (label: string, insert: (events: ReadonlyArray<Event>) => Effect.Effect<unknown, unknown>) =>
      loading(
        cluster,
        label,
        Effect.suspend(() => insert(next())),
        Effect.suspend(() => insert(first()))
      )
    const byPromise = (label: string, insert: (events: ReadonlyArray<Event>) => Promise<unknown>) =>
      loading(
        cluster,
        label,
        () => insert(next()),
        () => insert(first())
      )
    return () => [
      bySql("@effect/sql-pg, one server", (events) => helperInsert(one, events)),
      bySql("@effect/sql-pg, one server, unnest", (events) => unnestInsert(one, events)),
      bySql("routed", (events) => helperInsert(router.client, events)),
      bySql("routed, unnest", (events) => unnestInsert(router.client, events)),
      byPromise("pg, one server", (events) => pool.query(valuesQuery(events))),
      byPromise("pg, one server, unnest", (events) => pool.query(unnestQuery(events))),
      byPromise(
        "postgres.js, one server",
        (events) => postgresJs`insert into events ${postgresJs([...events], ...columns)}`
      ),
      byPromise("hand, split, not atomic", (events) => splitInsert(byHand, events, valuesQuery)),
      byPromise("hand, split, unnest, not atomic", (events) => splitInsert(byHand, events, unnestQuery)),
      byPromise("hand, split, unnest, decided", (events) => decidedInsert(byHand, events))
    ]
  })

const helperInsert = (sql: SqlClient.SqlClient, events: ReadonlyArray<Event>) =>
  sql`insert into events ${sql.insert(events as unknown as ReadonlyArray<Record<string, never>>)}`

const unnestText =
  "insert into events (id, name, amount, at) select * from unnest($1::int8[], $2::text[], $3::int4[], $4::timestamptz[])"

const unnestInsert = (sql: SqlClient.SqlClient, events: ReadonlyArray<Event>) => {
  const { amounts, ids, names, times } = arraysOf(events)
  return sql.unsafe(unnestText, [ids, names, amounts, times])
}

const unnestQuery = (events: ReadonlyArray<Event>): pg.QueryConfig => {
  const { amounts, ids, names, times } = arraysOf(events)
  return { name: "unnest", text: unnestText, values: [ids, names, amounts, times] }
}

/** Named where all lists are equally long; the parts of a split are not. */
const valuesQuery = (events: ReadonlyArray<Event>): pg.QueryConfig => {
  const rows = events.map(
    (_, row) => `(${columns.map((_column, at) => `$${row * columns.length + at + 1}`).join(",")})`
  )
  const query = {
    text: `insert into events (id, name, amount, at) values ${rows.join(",")}`,
    values: events.flatMap(valuesOf)
  }
  return events.length === rowsPerInsert ? { ...query, name: "values" } : query
}

const partsOf = ({ ownerOf, pools }: FanOut.FanOut, events: ReadonlyArray<Event>) => {
  const parts = pools.map((): Array<Event> => [])
  for (const event of events) parts[ownerOf(event.id)]?.push(event)
  return parts
}

const splitInsert = (
  byHand: FanOut.FanOut,
  events: ReadonlyArray<Event>,
  query: (events: ReadonlyArray<Event>) => pg.QueryConfig
) => Promise.all(partsOf(byHand, events).map((part, index) => byHand.pool(index).query(query(part))))

/** With the router's guarantees. */
const decidedInsert = (byHand: FanOut.FanOut, events: ReadonlyArray<Event>): Promise<void> => {
  const parts = partsOf(byHand, events)
  return decidedOverAll(byHand.pools, (client, index) => client.query(unnestQuery(parts[index] ?? [])))
}
