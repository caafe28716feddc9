/**
 * A transfer between two rows: two UPDATEs inside `sql.withTransaction`, on one shard and over two, beside what one could
 * write by hand with less, the same and other guarantees. Then sums over both shards while transfers are made: how long
 * they take, and whether any of them saw half a transfer.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type pg from "pg"
import * as Commits from "../clients/commits.js"
import { openPool } from "../clients/drivers.js"
import { openPlain } from "../clients/plain.js"
import { openRouter } from "../clients/router.js"
import type { Cluster } from "../cluster.js"
import type { Lab } from "../lab.js"
import { accountsTotal } from "../topology.js"
import type { Contender, Work } from "../work.js"

export const name = "transactions"

/** Enough for 16 transactions over two shards, and for readers beside them. */
const connections = 20

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const router = yield* openRouter(cluster, { maxConnections: connections })
    const one = yield* openPlain(cluster.oracle, connections)
    yield* Commits.makeDecisionTables(cluster)
    const contenders = yield* transfers(cluster, one, router)
    const before = yield* totalOf(cluster)
    const commits = lab.options.inFlight
      .filter((inFlight) => inFlight < 64)
      .map((inFlight): Work => ({
        id: `${name}/transfer/${inFlight}`,
        title: `Transfer between two rows, ${inFlight} in flight`,
        shards: 4,
        inFlight,
        baseline: "routed, one shard",
        contenders,
        after: nothingLost(cluster, before),
        warmUps: 8,
        remark: `two UPDATEs in a transaction, pools of ${connections}, fsync ${lab.options.fsync ? "on" : "off"}`
      }))
    return [...commits, sums(cluster, one, router, false), sums(cluster, one, router, true)]
  })

/** Two ids of one shard, two of two shards: others each time, so that nobody waits for another's row. */
const pairsOf = ({ idsOf }: Cluster) => {
  const [first = [], second = []] = idsOf
  const half = first.length >> 1
  let turn = 0
  return {
    within: (): readonly [number, number] => {
      const at = turn++ % half
      return [first[at] ?? 0, first[at + half] ?? 0]
    },
    across: (): readonly [number, number] => {
      const at = turn++ % Math.min(first.length, second.length)
      return [first[at] ?? 0, second[at] ?? 0]
    }
  }
}

const transfer = (sql: SqlClient.SqlClient, [from, to]: readonly [number, number]) =>
  sql.withTransaction(
    Effect.zipRight(
      sql`UPDATE wallets SET balance = balance - 1 WHERE id = ${from}`,
      sql`UPDATE wallets SET balance = balance + 1 WHERE id = ${to}`
    )
  )

const transfers = (
  cluster: Cluster,
  one: SqlClient.SqlClient,
  router: ShardRouter.ShardRouterService
): Effect.Effect<ReadonlyArray<Contender>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const [first, second] = cluster.shards
    if (first === undefined || second === undefined) throw new Error("a cluster without two shards")
    const { across, within } = pairsOf(cluster)
    const [from, to] = [yield* openPool(first, connections), yield* openPool(second, connections)]
    const sql = (id: number, by: number) => `update wallets set balance = balance + ${by} where id = ${id}`
    const halves = ([left, right]: readonly [number, number]): readonly [Commits.Half, Commits.Half] => [
      { pool: from, sql: sql(left, -1) },
      { pool: to, sql: sql(right, 1) }
    ]
    const update = (by: number, id: number): pg.QueryConfig => ({
      name: `transfer_${by}`,
      text: `UPDATE wallets SET balance = balance + ${by} WHERE id = $1`,
      values: [id]
    })
    return [
      { name: "routed, one shard", request: Effect.suspend(() => transfer(router.client, within())) },
      { name: "routed, two shards", request: Effect.suspend(() => transfer(router.client, across())) },
      { name: "@effect/sql-pg, one server", request: Effect.suspend(() => transfer(one, within())) },
      {
        name: "pg, one shard",
        request: () => {
          const [left, right] = within()
          return Commits.onOne({ pool: from, sql: "" }, [update(-1, left), update(1, right)])
        }
      },
      { name: "hand, two commits, not atomic", request: () => Commits.plainly(halves(across())) },
      { name: "hand, 2PC without a decision", request: () => Commits.textbook(halves(across())) },
      { name: "hand, gate and decision", request: () => Commits.decided(halves(across()), false) },
      { name: "hand, the same in batches", request: () => Commits.decided(halves(across()), true) }
    ]
  })

/** Of all shards together. Transfers leave it as it is. */
const totalOf = ({ query, shards }: Cluster): Effect.Effect<bigint, unknown> =>
  Effect.map(
    Effect.forEach(shards, ({ id }) => query<{ total: string }>(id, "select sum(balance)::text as total from wallets")),
    (totals) => totals.reduce((total, [row]) => total + BigInt(row?.total ?? 0), 0n)
  )

/** The sum is what it was before, and nothing stays prepared. */
const nothingLost = (cluster: Cluster, before: bigint): Effect.Effect<undefined, unknown> =>
  Effect.gen(function* () {
    const total = yield* totalOf(cluster)
    if (total !== before) return yield* Effect.dieMessage(`the wallets hold ${total} in place of ${before}`)
    for (const { id } of cluster.shards) {
      const [row] = yield* cluster.query<{ count: string }>(id, "select count(*) from pg_prepared_xacts")
      if (row?.count !== "0") return yield* Effect.dieMessage(`${row?.count} transactions are still prepared on ${id}`)
    }
  })

const everyMillis = 20
const sumSql = "select sum(balance) as total, count(*) as n from wallets"

/** Both shards' sum is the same whenever it is read: what differs is half a transfer. */
const sums = (
  cluster: Cluster,
  one: SqlClient.SqlClient,
  router: ShardRouter.ShardRouterService,
  writing: boolean
): Work => {
  const { across } = pairsOf(cluster)
  const beside = writing
    ? Effect.suspend(() => Effect.zipRight(transfer(router.client, across()), Effect.sleep(everyMillis)))
    : undefined
  const torn = { atomic: 0, perShard: 0 }
  const read = { atomic: 0, perShard: 0 }
  let expected: string | undefined
  const reading = (reads: "atomic" | "perShard"): Contender => ({
    name: `routed, reads ${reads}`,
    request: Effect.map(router.query(router.client.unsafe<{ total: string }>(sumSql), { reads }), ([row]) => {
      expected ??= row?.total
      read[reads]++
      if (row?.total !== expected) torn[reads]++
    }),
    beside
  })
  return {
    id: `${name}/sum${writing ? "/beside" : ""}`,
    title: `Sum over ${accountsTotal.toLocaleString("en-US")} rows of 4 shards, 1 in flight${writing ? ", beside up to 50 transfers a second" : ""}`,
    shards: 4,
    inFlight: 1,
    baseline: "@effect/sql-pg, one server",
    contenders: [
      { name: "@effect/sql-pg, one server", request: one.unsafe(sumSql), beside },
      reading("atomic"),
      reading("perShard")
    ],
    after: Effect.suspend(() =>
      torn.atomic > 0
        ? Effect.dieMessage(`${torn.atomic} of ${read.atomic} atomic reads saw half a transfer`)
        : Effect.succeed(
            `half a transfer was seen by ${torn.perShard} of ${read.perShard} reads per shard, by none of ${read.atomic} atomic ones`
          )
    )
  }
}
