/**
 * One row by its key. Everybody reads the same rows of the same server, the first shard, with the same statement and
 * the same number of connections; what differs is who sends it. Beside them, keys of all shards.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { openPipelined, openPool } from "../clients/drivers.js"
import { openPostgresJs } from "../clients/postgresJs.js"
import { openPlain } from "../clients/plain.js"
import { openRouter, openShard } from "../clients/router.js"
import { maxConnections } from "../clients/settings.js"
import type { Cluster } from "../cluster.js"
import type { Lab } from "../lab.js"
import type { Contender, Skipped, Work } from "../work.js"
import {
  type Account,
  checked,
  readByPg,
  readBySql,
  selectAccount,
  selected,
  turning,
  turningEffect
} from "./points.js"

export const name = "point-read"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const key = cluster.idsOf[0]?.[0] ?? 0
    const contenders = yield* contendersOf(lab, cluster, key)
    const one = yield* openPlain(cluster.oracle)
    return lab.options.inFlight.map((inFlight) => ({
      id: `${name}/${inFlight}`,
      title: `Point read by primary key, ${inFlight} in flight`,
      shards: 4,
      inFlight,
      baseline: "@effect/sql-pg",
      oracle: selected(one, key),
      contenders,
      remark: `pools of ${maxConnections}; pipelined: 2 connections`
    }))
  })

const contendersOf = (
  lab: Lab,
  cluster: Cluster,
  key: number
): Effect.Effect<ReadonlyArray<Contender | Skipped>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const [first] = cluster.shards
    if (first === undefined) throw new Error("a cluster without shards")
    const ids = cluster.idsOf[0] ?? []
    const router = yield* openRouter(cluster)
    const pool = yield* openPool(first)
    const pipelined = yield* openPipelined(first)
    const sql = yield* openPostgresJs(first)
    const text = selectAccount
    const find = yield* router.prepare<Account>(text)
    return [
      readBySql("@effect/sql-pg", yield* openPlain(first), ids, key),
      readBySql("routed", router.client, ids, key),
      {
        name: "router.prepare",
        request: turningEffect(ids, (id) => find(id)),
        answer: find(key)
      },
      readBySql("routed, keys of 4 shards", router.client, cluster.ids, key),
      readBySql("PgShard, no router", yield* openShard(first), ids, key),
      readByPg("pg", (id) => pool.query({ text, values: [id] }), ids, key),
      readByPg("pg, named", (id) => pool.query({ name: "point", text, values: [id] }), ids, key),
      readByPg("pg, pipelined", (id) => pipelined().query({ name: "point", text, values: [id] }), ids, key),
      {
        name: "postgres.js",
        request: turning(ids, async (id) =>
          checked(id, await sql<Array<Account>>`SELECT id, name, balance FROM accounts WHERE id = ${id}`)
        ),
        answer: async () => [...(await sql`SELECT id, name, balance FROM accounts WHERE id = ${key}`)]
      },
      yield* throughProxy(lab, cluster, key)
    ]
  })

const proxyName = "PL/Proxy, keys of 4 shards"

const throughProxy = (
  lab: Lab,
  cluster: Cluster,
  key: number
): Effect.Effect<Contender | Skipped, unknown, Scope.Scope> =>
  Effect.flatMap(lab.proxy(4), (found): Effect.Effect<Contender | Skipped, unknown, Scope.Scope> =>
    typeof found === "string"
      ? Effect.succeed({ name: proxyName, skipped: found })
      : Effect.map(openPool(found), (pool) =>
          readByPg(
            "PL/Proxy",
            (id) => pool.query({ name: "point", text: "SELECT id, name, balance FROM account($1)", values: [id] }),
            cluster.ids,
            key
          )
        )
  )
