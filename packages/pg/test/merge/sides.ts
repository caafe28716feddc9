/** Shards behind a router, and one PostgreSQL with all their rows: a statement is asked of both, every value as its text. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type * as Table from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import type { Locale } from "@shardlayer/testing/PgServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { openShard } from "../shard.js"

export interface Setup {
  readonly topology: Topology
  readonly locale?: Locale | undefined
  readonly searchPath?: ReadonlyArray<string> | undefined
  /** Types and tables; run everywhere, as the statements after it. */
  readonly schema: string
  /** All rows, keys from 1 to `keysMax`. A shard keeps those of its own keys. */
  readonly rows: string
  readonly keysMax: number
}

export type Answer =
  | { readonly _tag: "Rows"; readonly rows: ReadonlyArray<string> }
  | { readonly _tag: "Refused"; readonly code: string; readonly message: string }
  | { readonly _tag: "Failed"; readonly code: string; readonly message: string }

export interface Sides {
  /** The same as one PostgreSQL; "" for that, else what is different in words. Refusals are different, too. */
  readonly compare: (sql: string) => Effect.Effect<string>
  /** The router's answer, its rows not gathered in tables. */
  readonly ask: (sql: string) => Effect.Effect<Answer>
  readonly router: ShardRouter.ShardRouterService
}

export const make = (setup: Setup) =>
  Effect.gen(function* () {
    const { keysMax, locale, rows, schema, searchPath = ["public"], topology } = setup
    const shards = topology.shards.length
    const cluster = yield* PgCluster.make({ shards, oracle: true, mode: "databases", locale })
    const each = (sql: string) =>
      Effect.forEach(cluster.nodes, ({ id }) => cluster.query(id, `set search_path = ${searchPath.join(", ")};${sql}`))
    yield* each(schema)
    yield* each(rows)
    const config = { searchPath, types: { getTypeParser: () => (text: string) => text } }
    const routed = (gatherTablesMin: number) =>
      Effect.map(
        Layer.build(
          PgRouter.layer({
            topology,
            gatherTablesMin,
            shards: Object.fromEntries(
              cluster.shards.map(({ database, host, id, port, username }) => [
                id,
                PgShard.layer({ host, port, database, username, maxConnections: 2, ...config })
              ])
            )
          })
        ),
        (context) => Context.get(context, ShardRouter.ShardRouter)
      )
    const [router, staging] = [yield* routed(1_000_000), yield* routed(0)]
    yield* keepOwn(cluster, router, Object.values(topology.tables), keysMax)
    yield* each("analyze")
    const one = (yield* openShard(yield* cluster.node("oracle"), config)).sql
    const sides: Sides = {
      router,
      ask: (sql) => answerOf(router.client, sql),
      compare: (sql) =>
        Effect.gen(function* () {
          const expected = shownOf(sql, yield* answerOf(one, sql))
          for (const [how, { client }] of [
            ["", router],
            ...(isGathered.test(sql) ? [["in tables: ", staging] as const] : [])
          ] as const) {
            const actual = shownOf(sql, yield* answerOf(client, sql))
            if (actual !== expected) return `${how}${actual}\n  expected: ${expected}`
          }
          return ""
        })
    }
    return sides
  })

/** Statements of one level give nothing to gather. */
const isGathered = /\bjoin\b|\bselect\b.*\bselect\b|from \w+ \w*,/i

/** As one text. Without ORDER BY at the end rows come in any order. */
const shownOf = (sql: string, answer: Answer): string => {
  switch (answer._tag) {
    case "Rows": {
      const rows = /order by [^()]*(\([^()]*\)[^()]*)*$/i.test(sql) ? answer.rows : [...answer.rows].sort()
      return rows.join(" ")
    }
    case "Refused":
      return `refused: ${answer.code} ${answer.message}`
    case "Failed":
      return `failed: ${answer.code} ${answer.message}`
  }
}

const answerOf = (client: SqlClient, sql: string): Effect.Effect<Answer> =>
  client.unsafe(sql).values.pipe(
    Effect.map((rows): Answer => ({ _tag: "Rows", rows: rows.map((row) => JSON.stringify(row)) })),
    Effect.catchAll((error) => Effect.succeed(failureOf(error)))
  )

const failureOf = (error: SqlError): Answer => {
  const { cause } = error as {
    readonly cause: { readonly _tag?: string; readonly code?: string; readonly message?: string }
  }
  const { _tag, code = "", message = "" } = cause
  return { _tag: _tag === "UnsupportedQuery" ? "Refused" : "Failed", code, message }
}

/** Rows whose key belongs to another shard go. */
const keepOwn = (
  cluster: PgCluster.PgCluster.Service,
  router: ShardRouter.ShardRouterService,
  tables: ReadonlyArray<Table.Table>,
  keysMax: number
) =>
  Effect.gen(function* () {
    for (const table of tables) {
      if (table._tag !== "Sharded") continue
      const keys = new Map<string, Array<number>>(cluster.shards.map(({ id }) => [id, []]))
      for (let key = 1; key <= keysMax; key++) {
        const shard = yield* router.locate(table as never, key as never)
        keys.get(shard)?.push(key)
      }
      for (const [id, own] of keys) {
        const [column] = table.columns
        yield* cluster.query(id, `delete from "${table.schema}"."${table.name}" where not "${column}" = any($1)`, [own])
      }
    }
  })
