/** Three shards and one database that holds all their rows: what is planned is run on both sides and compared. */
import * as Bind from "@shardlayer/core/plan/Bind"
import type { Plan } from "@shardlayer/core/plan/Plan"
import * as Policy from "@shardlayer/core/Policy"
import type { QueryPlannerService } from "@shardlayer/core/QueryPlanner"
import * as ScatterMerge from "@shardlayer/core/ScatterMerge"
import * as ScatterWrite from "@shardlayer/core/ScatterWrite"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import { OperationRefused, type ShardError } from "@shardlayer/core/ShardError"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import type * as Table from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgPlanner from "@shardlayer/pg/PgPlanner"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import pg from "pg"
import { openShard } from "../shard.js"

export type Params = ReadonlyArray<unknown>

export interface Side {
  readonly id: string
  /** Rows as arrays of text; an error as its SQLSTATE. */
  readonly run: (sql: string, params?: Params) => Promise<Answer>
}

export type Answer =
  | { readonly _tag: "Rows"; readonly rows: ReadonlyArray<ReadonlyArray<string | null>>; readonly count: number | null }
  | { readonly _tag: "Failed"; readonly code: string; readonly message: string }

export interface World {
  readonly topology: Topology
  readonly planner: QueryPlannerService
  readonly oracle: Side
  readonly shards: ReadonlyArray<Side>
  readonly shard: (id: string) => Side
  /** For plans that are merged; values come as text. */
  readonly driver: (shard: ShardId) => Effect.Effect<ShardDriver, ShardError>
}

/** Makes the schema everywhere. */
export const make = (topology: Topology, schema: string, searchPath?: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: topology.shards.length, oracle: true, mode: "databases" })
    const sides = yield* Effect.forEach(cluster.nodes, (node) => side(node))
    yield* Effect.promise(() => Promise.all(sides.map((each) => each.run(schema))))
    const drivers = yield* Effect.forEach(topology.shards, (id, index) =>
      Effect.map(openShard(nodeAt(cluster.shards, index), { types: asText }), ({ driver }) => ({
        id,
        driver: Effect.succeed(driver)
      }))
    )
    const planner = yield* PgPlanner.make({ topology: () => topology, shards: () => drivers, searchPath })
    const find = (id: string) => {
      const found = sides.find((each) => each.id === id)
      if (found === undefined) throw new Error(`no side is called ${id}`)
      return found
    }
    const world: World = {
      topology,
      planner,
      oracle: find("oracle"),
      shards: topology.shards.map(find),
      shard: find,
      driver: (id) => drivers.find((each) => each.id === id)?.driver ?? Effect.dieMessage(`no driver of ${id}`)
    }
    return world
  })

const asText: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text }

const nodeAt = (nodes: ReadonlyArray<PgCluster.Node>, index: number): PgCluster.Node => {
  const node = nodes[index]
  if (node === undefined) throw new Error(`no node ${index}`)
  return node
}

const side = (node: PgCluster.Node) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new pg.Client({
          host: node.host,
          port: node.port,
          database: node.database,
          user: node.username,
          statement_timeout: 10_000,
          types: asText
        })
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.end())
    ),
    (client): Side => ({
      id: node.id,
      run: async (sql, params = []) => {
        try {
          const result = await client.query({ text: sql, values: [...params], rowMode: "array" })
          const last = Array.isArray(result) ? result.at(-1) : result
          return { _tag: "Rows", rows: last.rows, count: last.rowCount }
        } catch (error) {
          const { code = "", message } = error as { code?: string; message: string }
          return { _tag: "Failed", code, message }
        }
      }
    })
  )

/** The shard of a key; no resolver that asks is used here. */
export const ownerOf = (topology: Topology, table: Table.Sharded, values: ReadonlyArray<unknown>): string => {
  const keyspace = topology.keyspaces[table.keyspace]
  if (keyspace === undefined) throw new Error(`no keyspace ${table.keyspace}`)
  const key = Either.getOrThrowWith(KeyValue.decode(keyspace.key, values), (reason) => new Error(reason))
  const owner = Resolver.owner(topology, keyspace, key)
  if (owner._tag !== "Shard") throw new Error("a key without a shard")
  return owner.shard
}

export type Outcome =
  | { readonly _tag: "Refused"; readonly error: ShardError }
  | { readonly _tag: "Ran"; readonly answer: Answer; readonly shards: number; readonly plan: Plan }

/** Plans, binds and runs on the shards. */
export const run = (world: World, sql: string, params: Params): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const planned = yield* Effect.either(world.planner.plan(sql))
    if (Either.isLeft(planned)) return { _tag: "Refused" as const, error: planned.left }
    const bound = Bind.bind(planned.right, params, world.topology, () => undefined)
    if (Either.isLeft(bound)) return { _tag: "Refused" as const, error: bound.left }
    if (bound.right._tag === "Ask") return yield* Effect.dieMessage("no resolver asks here")
    if (bound.right._tag === "Merged") {
      const { merge, shards } = bound.right
      const coordinator = shards[sql_turn++ % shards.length]!
      const request = { merge, shards, coordinator, sql, params }
      // One in four as if there were many rows.
      const reducedMin = sql_turn % 4 === 0 ? 0 : Infinity
      const rows = yield* Effect.either(
        ScatterMerge.run(
          {
            driver: world.driver,
            policy: Policy.defaults,
            limits: { rowsMax: 100_000, bytesMax: Infinity, stagedMin: Infinity, reducedMin, keysMax: 20 }
          },
          request,
          "executeValues"
        )
      )
      return { _tag: "Ran" as const, answer: answerOf(rows), shards: shards.length, plan: planned.right }
    }
    if (bound.right._tag === "Written") {
      const { shards, write } = bound.right
      if (["Feed", "Match", "Move", "Merged"].includes(write.action._tag)) {
        // Several steps, which the router's own tests and the fuzzer run.
        const error = new OperationRefused({ operation: "these tests", reason: "a write of several steps" })
        return { _tag: "Refused" as const, error }
      }
      const request = { ...bound.right, sql, params }
      const { now } = write
      const moment = now === undefined ? undefined : yield* Effect.promise(() => world.shard(shards[0] ?? "").run(now))
      const time = moment?._tag === "Rows" ? (moment.rows[0]?.[0] ?? null) : null
      // In the sessions of the sides, which may be in a transaction.
      const answers = yield* Effect.promise(() =>
        Promise.all(
          shards.map((id, place) => {
            const own = ScatterWrite.statementOf(request, place, time)
            return world.shard(id).run(own.sql, own.params)
          })
        )
      )
      const answer = together(write.action._tag === "Copies" ? answers.slice(0, 1) : answers)
      return { _tag: "Ran" as const, answer, shards: shards.length, plan: planned.right }
    }
    if (bound.right._tag === "Sequenced") {
      const error = new OperationRefused({ operation: "these tests", reason: "a write of several steps" })
      return { _tag: "Refused" as const, error }
    }
    const ids = shardsOf(world, bound.right)
    const answers = yield* Effect.promise(() => Promise.all(ids.map((id) => world.shard(id).run(sql, params))))
    return { _tag: "Ran" as const, answer: together(answers), shards: ids.length, plan: planned.right }
  })

const answerOf = (result: Either.Either<ReadonlyArray<ReadonlyArray<string | null>>, ShardError>): Answer => {
  if (Either.isRight(result)) return { _tag: "Rows", rows: result.right, count: result.right.length }
  const { message } = result.left
  return { _tag: "Failed", code: "code" in result.left ? result.left.code : result.left._tag, message }
}

const shardsOf = (
  world: World,
  bound: Exclude<Bind.BoundPlan, { readonly _tag: "Merged" | "Written" | "Sequenced" }>
): ReadonlyArray<string> => {
  switch (bound._tag) {
    case "AnyShard":
      return [world.topology.shards[sql_turn++ % world.topology.shards.length] ?? ""]
    case "OneShard":
      return [bound.shard]
    case "Listed":
      throw new Error("no list is run here")
    case "Changed":
    case "Concatenated":
      return bound.shards
  }
}

let sql_turn = 0

const together = (answers: ReadonlyArray<Answer>): Answer => {
  const failed = answers.find((answer) => answer._tag === "Failed")
  if (failed !== undefined) return failed
  const all = answers.flatMap((answer) => (answer._tag === "Rows" ? [answer] : []))
  return {
    _tag: "Rows",
    rows: all.flatMap((answer) => answer.rows),
    count: all.reduce((sum, answer) => sum + (answer.count ?? 0), 0)
  }
}

/** Rows in no order. */
export const multiset = (answer: Answer): ReadonlyArray<string> =>
  answer._tag === "Failed" ? [`${answer.code} ${answer.message}`] : answer.rows.map((row) => JSON.stringify(row)).sort()
