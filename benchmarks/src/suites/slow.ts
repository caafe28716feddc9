/**
 * One slow shard, behind a proxy that adds 20 ms each way: what reads of the other shards notice of it, and what a
 * statement over all of them takes.
 */
import * as PgProxy from "@shardlayer/testing/PgProxy"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as FanOut from "../clients/fanOut.js"
import { openPlain } from "../clients/plain.js"
import { openRouter } from "../clients/router.js"
import type { Lab } from "../lab.js"
import { accountsTotal } from "../topology.js"
import type { Request, Work } from "../work.js"
import { checked, readByPg, readBySql, selectAccount, selected } from "./points.js"

export const name = "slow"

const latencyMillis = 20
const besideTotal = 16

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const [first, ...quick] = cluster.shards
    if (first === undefined) throw new Error("a cluster without shards")
    const proxy = yield* PgProxy.make(first)
    const shards = [proxy.node, ...quick]
    const router = yield* openRouter(cluster, { shards })
    const byHand = yield* FanOut.open({ ...cluster, shards }, accountsTotal)
    // Whoever opens connections has them before the network is slow.
    yield* router.client`select count(*) from accounts`
    yield* proxy.pace({ latencyMillis })
    const one = yield* openPlain(cluster.oracle)
    const [slowIds = [], ...quickIds] = cluster.idsOf
    const ids = quickIds.flat()
    const key = ids[0] ?? 0
    let turn = 0
    const slowId = () => slowIds[turn++ % slowIds.length] ?? 0
    const query = (id: number) =>
      byHand.pool(byHand.ownerOf(id)).query({ name: "point", text: selectAccount, values: [id] })
    const routed = readBySql("routed, nobody on the slow shard", router.client, ids, key)
    const hand = readByPg("hand, nobody on the slow shard", query, ids, key)
    const slowly: Request = Effect.suspend(() => {
      const several = Array.from({ length: besideTotal }, slowId)
      return Effect.forEach(several, (id) => Effect.map(selected(router.client, id), (rows) => checked(id, rows)), {
        concurrency: "unbounded"
      })
    })
    const slowlyByHand = () =>
      Promise.all(
        Array.from({ length: besideTotal }, async () => {
          const id = slowId()
          checked(id, (await query(id)).rows)
        })
      )
    const count = "select count(*) from accounts"
    return [
      {
        id: `${name}/beside`,
        title: `Point read on quick shards, 16 in flight, beside ${besideTotal} reads of a slow one`,
        shards: 4,
        inFlight: 16,
        baseline: routed.name,
        oracle: selected(one, key),
        contenders: [
          routed,
          { ...routed, name: `routed, ${besideTotal} on the slow shard`, beside: slowly },
          hand,
          { ...hand, name: `hand, ${besideTotal} on the slow shard`, beside: slowlyByHand }
        ],
        remark: `the slow shard answers ${latencyMillis * 2} ms late, through a proxy in this process`
      },
      {
        id: `${name}/scatter`,
        title: "count(*) over 4 shards, one of them slow, 1 in flight",
        shards: 4,
        inFlight: 1,
        baseline: "hand, all at once",
        oracle: one.unsafe(count),
        contenders: [
          same("hand, all at once", async () => summed(await byHand.parallel({ text: count }))),
          same("hand, one after another", async () => summed(await byHand.inSequence({ text: count }))),
          same("hand, in a view", async () => summed(await byHand.inView({ text: count }))),
          same("routed", router.client.unsafe(count)),
          same("routed, reads perShard", router.query(router.client.unsafe(count), { reads: "perShard" }))
        ],
        remark: `the slow shard answers ${latencyMillis * 2} ms late`
      }
    ]
  })

const same = (contender: string, request: Request) => ({ name: contender, request, answer: request })

const summed = (parts: ReadonlyArray<ReadonlyArray<Record<string, unknown>>>) => [
  { count: String(parts.reduce((total, rows) => total + Number(rows[0]?.["count"]), 0)) }
]
