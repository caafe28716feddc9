/**
 * Statements over all shards, against one server that holds all rows, a fan-out by hand, and PostgreSQL's own sharding;
 * and lists of keys. On four shards everything, on other numbers of them the statements that show how it grows.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type * as ShardRouter from "@shardlayer/core/ShardRouter"
import type * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { isDeepStrictEqual } from "node:util"
import type pg from "pg"
import { openPool } from "../clients/drivers.js"
import * as FanOut from "../clients/fanOut.js"
import { openPlain } from "../clients/plain.js"
import { openRouter } from "../clients/router.js"
import type { Cluster } from "../cluster.js"
import type { Lab } from "../lab.js"
import type { Contender, Skipped, Work } from "../work.js"
import type { AskAll, Row, Statement } from "./statements.js"
import { guessing, statements } from "./statements.js"

export const name = "scatter"
export const oneServer = "@effect/sql-pg, one server"

/** The number of shards that is compared with everything. */
const size = 4

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const full = yield* openTable(lab, size)
    const growing = yield* Effect.forEach(
      lab.options.shards.filter((count) => count !== size),
      (count) => openTable(lab, count)
    )
    return [
      ...statements.map((statement) => workOf(full, statement, everybody(full, statement), 1)),
      ...growing.flatMap((table) =>
        statements
          .filter(({ id }) => id === "count" || id === "group" || id === "page")
          .map((statement) => ({
            ...workOf(table, statement, principal(table, statement), 1),
            rounds: Math.min(3, lab.options.rounds)
          }))
      ),
      ...statements
        .filter(({ id }) => id === "count")
        .map((statement) => workOf(full, statement, everybody(full, statement), 16)),
      ...[1, 16].map((inFlight) => keysWork(full, inFlight))
    ]
  })

interface Tables {
  readonly cluster: Cluster
  readonly rows: number
  readonly one: SqlClient.SqlClient
  readonly router: ShardRouter.ShardRouterService
  readonly byHand: FanOut.FanOut
  readonly foreign: pg.Pool | string
  readonly proxy: pg.Pool | string
}

const openTable = (lab: Lab, count: number): Effect.Effect<Tables, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.withOrders(count)
    const pooled = (found: PgCluster.Node | string) =>
      typeof found === "string" ? Effect.succeed(found) : openPool(found)
    return {
      cluster,
      rows: lab.options.rows,
      one: yield* openPlain(cluster.oracle),
      router: yield* openRouter(cluster),
      byHand: yield* FanOut.open(cluster, lab.options.rows),
      foreign: count === size ? yield* pooled(yield* lab.foreign(size)) : "on four servers only",
      proxy: count === size ? yield* pooled(yield* lab.proxy(size)) : "on four servers only"
    }
  })

const workOf = (
  { cluster, one }: Tables,
  { id, sql, title }: Statement,
  contenders: ReadonlyArray<Contender | Skipped>,
  inFlight: number
): Work => ({
  id: `${name}/${id}/${cluster.size}${inFlight === 1 ? "" : `/${inFlight}`}`,
  title: `${title}, ${cluster.size} ${cluster.size === 1 ? "shard" : "shards"}, ${inFlight} in flight`,
  shards: cluster.size,
  inFlight,
  baseline: oneServer,
  oracle: one.unsafe(sql),
  contenders
})

/** Same request, same answer. */
const asking = (contender: string, request: Contender["request"]): Contender => ({
  name: contender,
  request,
  answer: request
})

const principal = ({ byHand, one, router }: Tables, statement: Statement): ReadonlyArray<Contender> => {
  const { sql } = statement
  const { inSequence, inView, parallel } = handWritten(byHand, statement)
  return [
    asking(oneServer, one.unsafe(sql)),
    asking("routed", router.client.unsafe(sql)),
    asking("routed, reads perShard", router.query(router.client.unsafe(sql), { reads: "perShard" })),
    asking("hand, all at once", parallel),
    asking("hand, in a view", inView),
    asking("hand, one after another", inSequence)
  ]
}

const handWritten = (byHand: FanOut.FanOut, { hand, id }: Statement) => {
  const query = { name: `hand_${id}`, text: hand.sql }
  return {
    parallel: async () => hand.merge(await byHand.parallel<Row>(query)),
    inView: async () => hand.merge(await byHand.inView<Row>(query)),
    inSequence: async () => hand.merge(await byHand.inSequence<Row>(query))
  }
}

const everybody = (tables: Tables, statement: Statement): ReadonlyArray<Contender | Skipped> => {
  const { byHand, foreign, proxy } = tables
  const { alsoByHand, id, sql } = statement
  const ask: AskAll = (label, text, values) => byHand.parallel({ name: label, text, values: [...(values ?? [])] })
  return [
    ...principal(tables, statement),
    ...(id === "page" ? guessed(byHand) : []),
    ...(alsoByHand === undefined ? [] : [asking(alsoByHand.name, () => alsoByHand.run(ask))]),
    typeof foreign === "string"
      ? { name: "postgres_fdw", skipped: foreign }
      : asking("postgres_fdw", async () => (await foreign.query({ name: `fdw_${id}`, text: sql })).rows),
    ...(id === "count" ? [throughProxy(proxy)] : [])
  ]
}

/** What the router does for a page far down, without a view of all servers and in one. Both ways are looked at beforehand. */
const guessed = ({ each, eachInView }: FanOut.FanOut): ReadonlyArray<Contender> =>
  [
    { name: "hand, guessed and proven", ask: each },
    { name: "hand, guessed and proven, in a view", ask: eachInView }
  ].map(({ ask, name: contender }) => {
    const page = guessing()
    return {
      name: contender,
      request: () => page(ask),
      answer: async () => {
        const whole = await page(ask)
        const again = await page(ask)
        if (!isDeepStrictEqual(again, whole)) throw new Error("a guessed page is not the whole one's")
        return again
      }
    }
  })

const throughProxy = (proxy: pg.Pool | string): Contender | Skipped =>
  typeof proxy === "string"
    ? { name: "PL/Proxy", skipped: proxy }
    : asking("PL/Proxy", async () => {
        const { rows } = await proxy.query("select sum(counted)::int8 as count from orders_counts() as counted")
        return rows
      })

const keysTotal = 100

/** A list of keys, other ones each time: the oracle answers for the list that everybody is asked for once. */
const keysWork = ({ byHand, cluster, foreign, one, router, rows }: Tables, inFlight: number): Work => {
  const listed = (start: number) => Array.from({ length: keysTotal }, (_, at) => ((start + at * 997) % rows) + 1)
  let turn = 0
  const next = () => listed((turn += 7919))
  const checked = (
    contender: string,
    query: (ids: ReadonlyArray<number>) => Promise<ReadonlyArray<Row>>
  ): Contender => ({
    name: contender,
    request: async () => complete(await query(next())),
    answer: () => query(listed(0))
  })
  const bySql = (contender: string, sql: SqlClient.SqlClient): Contender => {
    const query = (ids: ReadonlyArray<number>) =>
      sql<Row>`select id, amount from orders where ${sql.in("id", ids)} order by id`
    return {
      name: contender,
      request: Effect.suspend(() => Effect.map(query(next()), complete)),
      answer: query(listed(0))
    }
  }
  const text = "select id, amount from orders where id = any($1::int8[])"
  return {
    id: `${name}/keys/${cluster.size}/${inFlight}`,
    title: `IN-list of ${keysTotal} keys, ${cluster.size} shards, ${inFlight} in flight`,
    shards: cluster.size,
    inFlight,
    baseline: oneServer,
    oracle: one`select id, amount from orders where ${one.in("id", listed(0))} order by id`,
    contenders: [
      bySql(oneServer, one),
      bySql("routed", router.client),
      {
        ...bySql("routed, reads perShard", router.client),
        request: Effect.suspend(() => {
          const statement = router.client<Row>`select id, amount from orders where ${router.client.in("id", next())} order by id`
          return Effect.map(router.query(statement, { reads: "perShard" }), complete)
        })
      },
      checked("hand, all at once", async (ids) => {
        const parts = FanOut.split(byHand, ids).map((own, index) =>
          byHand.pool(index).query<Row>({ name: "keys", text, values: [own] })
        )
        return (await Promise.all(parts)).flatMap((part) => part.rows).sort(byId)
      }),
      checked("hand, one after another", async (ids) => {
        const found: Array<Row> = []
        for (const [index, own] of FanOut.split(byHand, ids).entries())
          found.push(...(await byHand.pool(index).query<Row>({ name: "keys", text, values: [own] })).rows)
        return found.sort(byId)
      }),
      typeof foreign === "string"
        ? { name: "postgres_fdw", skipped: foreign }
        : checked("postgres_fdw", async (ids) => {
            const { rows: found } = await foreign.query<Row>({
              name: "keys",
              text: `${text} order by id`,
              values: [ids]
            })
            return found
          })
    ]
  }
}

const byId = (one: Row, other: Row): number => Number(one["id"]) - Number(other["id"])

const complete = (rows: ReadonlyArray<Row>): void => {
  if (rows.length !== keysTotal) throw new Error(`${rows.length} rows of ${keysTotal} keys`)
}
