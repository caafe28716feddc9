/**
 * A router over three shards beside one PostgreSQL with the same tables: a statement runs on both, its answers are
 * compared, and so is what all tables hold afterwards, on each shard where they are copies.
 */
import { SqlError } from "@effect/sql/SqlError"
import { expect } from "@effect/vitest"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"

export interface Setup {
  readonly topology: Topology
  readonly schema: string
  /** The tables that are compared, each with an order that is one and, where not all are, the columns to compare. */
  readonly tables: { readonly [table: string]: string | { readonly columns: string; readonly order: string } }
  readonly types?: Parameters<typeof PgShard.layer>[0]["types"]
  readonly config?: Partial<PgRouter.Config>
}

export const make = (setup: Setup) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
    for (const { id } of cluster.nodes) yield* cluster.query(id, setup.schema)
    const layer = PgRouter.layer({
      ...setup.config,
      topology: setup.topology,
      install: true,
      shards: Object.fromEntries(
        cluster.shards.map(({ id, url }) => [
          id,
          PgShard.layer({ url, types: setup.types, maxConnections: 5, acquireTimeout: "3 seconds" })
        ])
      )
    })
    const router = Context.get(yield* Layer.build(layer), ShardRouter.ShardRouter)
    return { cluster, router, sql: router.client, setup }
  })

export type World = Effect.Effect.Success<ReturnType<typeof make>>

export const failureOf = (error: ShardError | SqlError): ShardError => {
  const cause = error instanceof SqlError ? error.cause : error
  if (!isShardError(cause)) throw error
  return cause
}

/** The code of the refusal that a statement gets, or the tag of another error. */
export const codeOf = ({ sql }: World, text: string) =>
  Effect.map(Effect.flip(sql.unsafe(text)), (error) => {
    const failure = failureOf(error)
    return failure._tag === "UnsupportedQuery" ? failure.code : failure._tag
  })

/** As texts, whichever way a driver gives them. */
const plain = (rows: ReadonlyArray<object>) =>
  rows.map((row) =>
    Object.entries(row).map(([name, value]: [string, unknown]) => [name, value === null ? null : JSON.stringify(value)])
  )

/** Runs it on both sides, compares the answers, and then all tables. */
export const same = (world: World, text: string, params: ReadonlyArray<unknown> = [], ordered = false) =>
  Effect.gen(function* () {
    const { cluster, sql } = world
    const expected = yield* Effect.either(cluster.query("oracle", text, params))
    const given = yield* Effect.either(Effect.mapError(sql.unsafe<object>(text, params), failureOf))
    if (Either.isLeft(expected)) {
      const { code } = expected.left.cause as { readonly code: string }
      const failure = Either.isLeft(given) ? given.left : undefined
      expect([text, failure?._tag === "StatementFailed" ? failure.code : given]).toEqual([text, code])
    } else {
      if (Either.isLeft(given)) throw given.left
      const sort = (rows: ReadonlyArray<unknown>) => (ordered ? rows : rows.map((row) => JSON.stringify(row)).sort())
      expect([text, sort(plain(given.right))]).toEqual([text, sort(plain(expected.right))])
    }
    yield* compared(world)
  })

export const compared = ({ cluster, setup, sql }: World) =>
  Effect.gen(function* () {
    for (const [table, shown] of Object.entries(setup.tables)) {
      const { columns, order } = typeof shown === "string" ? { columns: "*", order: shown } : shown
      const all = `select ${columns} from ${table} order by ${order}`
      const expected = plain(yield* cluster.query("oracle", all))
      if (setup.topology.tables[table]?._tag === "Reference") {
        for (const { id } of cluster.shards) expect([id, plain(yield* cluster.query(id, all))]).toEqual([id, expected])
      } else {
        expect([table, plain(yield* sql.unsafe<object>(all))]).toEqual([table, expected])
      }
    }
  })
