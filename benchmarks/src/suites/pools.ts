/** The point read at 64 in flight with pools of 2 to 32 connections, and over 1 to 8 shards with pools of ten. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as FanOut from "../clients/fanOut.js"
import { openPool } from "../clients/drivers.js"
import { openPlain } from "../clients/plain.js"
import { openRouter } from "../clients/router.js"
import { maxConnections } from "../clients/settings.js"
import type { Lab } from "../lab.js"
import { accountsTotal } from "../topology.js"
import type { Work } from "../work.js"
import { readByPg, readBySql, selectAccount, selected } from "./points.js"

export const name = "pools"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const sizes = yield* Effect.forEach(lab.options.quick ? [2, 16] : [2, 4, 8, 16, 32], (size) => ofSize(lab, size))
    const shards = yield* Effect.forEach(lab.options.shards, (size) => overShards(lab, size))
    return [...sizes, ...shards]
  })

const ofSize = (lab: Lab, size: number): Effect.Effect<Work, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const [first] = cluster.shards
    if (first === undefined) throw new Error("a cluster without shards")
    const ids = cluster.idsOf[0] ?? []
    const key = ids[0] ?? 0
    const pool = yield* openPool(first, size)
    const router = yield* openRouter(cluster, { maxConnections: size })
    return {
      id: `${name}/size/${size}`,
      title: `Point read, 64 in flight, a pool of ${size}`,
      shards: 4,
      inFlight: 64,
      rounds: Math.min(3, lab.options.rounds),
      baseline: "@effect/sql-pg",
      oracle: selected(yield* openPlain(cluster.oracle, 1), key),
      contenders: [
        readBySql("@effect/sql-pg", yield* openPlain(first, size), ids, key),
        readBySql("routed", router.client, ids, key),
        readByPg("pg, named", (id) => pool.query({ name: "point", text: selectAccount, values: [id] }), ids, key)
      ]
    }
  })

const overShards = (lab: Lab, size: number): Effect.Effect<Work, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(size)
    const router = yield* openRouter(cluster)
    const byHand = yield* FanOut.open(cluster, accountsTotal)
    const one = yield* openPlain(cluster.oracle)
    const key = cluster.ids[0] ?? 0
    return {
      id: `${name}/shards/${size}`,
      title: `Point read, 16 in flight, keys of ${size} ${size === 1 ? "shard" : "shards"}`,
      shards: size,
      inFlight: 16,
      rounds: Math.min(3, lab.options.rounds),
      baseline: "@effect/sql-pg, one server",
      oracle: selected(one, key),
      contenders: [
        readBySql("@effect/sql-pg, one server", one, cluster.ids, key),
        readBySql("routed", router.client, cluster.ids, key),
        readByPg(
          "hand, pg, named",
          (id) => byHand.pool(byHand.ownerOf(id)).query({ name: "point", text: selectAccount, values: [id] }),
          cluster.ids,
          key
        )
      ],
      remark: `pools of ${maxConnections}; all servers share this machine's cores`
    }
  })
