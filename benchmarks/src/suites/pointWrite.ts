/** One row written by its key, in a transaction of its own: the same server, statement and pools for everybody. */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type pg from "pg"
import { openPipelined, openPool } from "../clients/drivers.js"
import { openPostgresJs } from "../clients/postgresJs.js"
import { openPlain } from "../clients/plain.js"
import { openRouter } from "../clients/router.js"
import { maxConnections } from "../clients/settings.js"
import type { Cluster } from "../cluster.js"
import type { Lab } from "../lab.js"
import type { Contender, Work } from "../work.js"
import { checked, turning, turningEffect } from "./points.js"

export const name = "point-write"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const contenders = yield* contendersOf(cluster)
    return lab.options.inFlight
      .filter((inFlight) => inFlight < 64)
      .map((inFlight) => ({
        id: `${name}/${inFlight}`,
        title: `Point write by primary key, ${inFlight} in flight`,
        shards: 4,
        inFlight,
        baseline: "@effect/sql-pg",
        contenders,
        remark: `fsync ${lab.options.fsync ? "on" : "off"}, pools of ${maxConnections}; pipelined: 2 connections`
      }))
  })

const text = "UPDATE wallets SET balance = balance + 1 WHERE id = $1 RETURNING id"

const contendersOf = (cluster: Cluster): Effect.Effect<ReadonlyArray<Contender>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const [first] = cluster.shards
    if (first === undefined) throw new Error("a cluster without shards")
    const ids = cluster.idsOf[0] ?? []
    const router = yield* openRouter(cluster)
    const pool = yield* openPool(first)
    const pipelined = yield* openPipelined(first)
    const postgresJs = yield* openPostgresJs(first)
    const bySql = (label: string, sql: SqlClient.SqlClient, keys: ReadonlyArray<number>): Contender => ({
      name: label,
      request: turningEffect(
        keys,
        (id) => sql<{ id: string }>`UPDATE wallets SET balance = balance + 1 WHERE id = ${id} RETURNING id`
      )
    })
    const byPg = (label: string, query: (id: number) => Promise<pg.QueryResult<{ id: string }>>): Contender => ({
      name: label,
      request: turning(ids, async (id) => checked(id, (await query(id)).rows))
    })
    return [
      bySql("@effect/sql-pg", yield* openPlain(first), ids),
      bySql("routed", router.client, ids),
      bySql("routed, keys of 4 shards", router.client, cluster.ids),
      byPg("pg", (id) => pool.query({ text, values: [id] })),
      byPg("pg, named", (id) => pool.query({ name: "write", text, values: [id] })),
      byPg("pg, pipelined", (id) => pipelined().query({ name: "write", text, values: [id] })),
      {
        name: "postgres.js",
        request: turning(ids, async (id) =>
          checked(
            id,
            await postgresJs<
              Array<{ id: string }>
            >`UPDATE wallets SET balance = balance + 1 WHERE id = ${id} RETURNING id`
          )
        )
      }
    ]
  })
