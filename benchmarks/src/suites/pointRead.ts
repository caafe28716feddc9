/**
 * One row by its key. Everybody reads the same rows of the same server, the first shard, with the same statement and
 * the same number of connections; what differs is who sends it. Beside them, keys of all shards.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type pg from "pg"
import { openPipelined, openPool, openPostgresJs } from "../clients/drivers.js"
import { prepareOf } from "../clients/prepared.js"
import type { Cluster, Lab } from "../lab.js"
import { maxConnections, openPlain, openRouter, openShard } from "../lab.js"
import type { Contender, Skipped, Work } from "../work.js"

export const name = "point-read"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const contenders = yield* contendersOf(cluster)
    const one = yield* openPlain(cluster.oracle)
    return lab.options.inFlight.map((inFlight) => ({
      id: `${name}/${inFlight}`,
      title: `Point read by primary key, ${inFlight} in flight`,
      shards: 4,
      inFlight,
      baseline: "@effect/sql-pg",
      oracle: one`SELECT id, name, balance FROM accounts WHERE id = ${sample(cluster)}`,
      contenders,
      remark: `pools of ${maxConnections}; pipelined: 2 connections`
    }))
  })

interface Account {
  readonly id: string
  readonly name: string
  readonly balance: number
}

const text = "SELECT id, name, balance FROM accounts WHERE id = $1"

/** The key that all are asked for once, to compare their answers. */
const sample = ({ idsOf }: Cluster): number => idsOf[0]?.[0] ?? 0

const contendersOf = (cluster: Cluster): Effect.Effect<ReadonlyArray<Contender | Skipped>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const [first] = cluster.shards
    if (first === undefined) throw new Error("a cluster without shards")
    const ids = cluster.idsOf[0] ?? []
    const key = sample(cluster)
    const router = yield* openRouter(cluster)
    const pool = yield* openPool(first)
    const pipelined = yield* openPipelined(first)
    const sql = yield* openPostgresJs(first)
    const throughPg = (label: string, query: (id: number) => Promise<pg.QueryResult<Account>>): Contender => ({
      name: label,
      request: turning(ids, async (id) => checked(id, (await query(id)).rows)),
      answer: async () => (await query(key)).rows
    })
    const throughSql = (label: string, client: SqlClient.SqlClient, keys: ReadonlyArray<number>): Contender => ({
      name: label,
      request: turningEffect(keys, (id) => selected(client, id)),
      answer: selected(client, key)
    })
    const prepare = prepareOf(router)?.<Account>(text)
    return [
      throughSql("@effect/sql-pg", yield* openPlain(first), ids),
      throughSql("routed", router.client, ids),
      prepare === undefined
        ? { name: "router.prepare", skipped: "this router has no prepare" }
        : {
            name: "router.prepare",
            request: turningEffect(ids, (id) => prepare([id])),
            answer: prepare([key])
          },
      throughSql("routed, keys of 4 shards", router.client, cluster.ids),
      throughSql("PgShard, no router", yield* openShard(first), ids),
      throughPg("pg", (id) => pool.query({ text, values: [id] })),
      throughPg("pg, named", (id) => pool.query({ name: "point", text, values: [id] })),
      throughPg("pg, pipelined", (id) => pipelined().query({ name: "point", text, values: [id] })),
      {
        name: "postgres.js",
        request: turning(ids, async (id) =>
          checked(id, await sql<Array<Account>>`SELECT id, name, balance FROM accounts WHERE id = ${id}`)
        ),
        answer: async () => [...(await sql`SELECT id, name, balance FROM accounts WHERE id = ${key}`)]
      }
    ]
  })

const selected = (sql: SqlClient.SqlClient, id: number | undefined) =>
  sql<Account>`SELECT id, name, balance FROM accounts WHERE id = ${id}`

/** An answer for another key ends the benchmark. */
const checked = (id: number, rows: ReadonlyArray<Account>): void => {
  if (rows.length !== 1 || rows[0]?.id !== String(id)) throw new Error(`asked for ${id}, got ${JSON.stringify(rows)}`)
}

/** Keys go round. */
const turning = (ids: ReadonlyArray<number>, request: (id: number) => Promise<void>): (() => Promise<void>) => {
  let turn = 0
  return () => request(ids[turn++ % ids.length] ?? 0)
}

const turningEffect = (
  ids: ReadonlyArray<number>,
  request: (id: number) => Effect.Effect<ReadonlyArray<Account>, unknown>
): Effect.Effect<void, unknown> => {
  let turn = 0
  return Effect.suspend(() => {
    const id = ids[turn++ % ids.length] ?? 0
    return Effect.map(request(id), (rows) => checked(id, rows))
  })
}
