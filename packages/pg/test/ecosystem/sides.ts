/**
 * One program on three sides: plain `@effect/sql-pg` on one PostgreSQL, a router over one shard, a router over four.
 *
 * Enters: tables, rows, a topology for any shards. Leaves: `alike`, which runs a program on each side and compares what
 * came of it to the letter: values with their classes and the order of their properties, failures with all that the server
 * said.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as Client from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { isShardError } from "@shardlayer/core/ShardError"
import { ShardManager } from "@shardlayer/core/ShardManager"
import { ShardRouter, type ShardRouterService } from "@shardlayer/core/ShardRouter"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { inspect } from "node:util"
import { expect } from "vitest"

/** What every side gives to a program. */
export type Stock = Client.SqlClient | PgClient.PgClient | Reactivity.Reactivity

export interface Side {
  readonly name: "one PostgreSQL" | "one shard" | "four shards"
  readonly sql: PgClient.PgClient
  readonly context: Context.Context<Stock>
}

export interface Setup {
  readonly topology: (shards: ReadonlyArray<string>) => Topology
  /** Run on every database, past the router. */
  readonly schema: string
  /** Run through each side's client: every row goes where it belongs. */
  readonly rows?: (sql: Client.SqlClient) => Effect.Effect<unknown, SqlError>
  readonly client?: Pick<
    PgClient.PgClientConfig,
    "transformResultNames" | "transformQueryNames" | "transformJson" | "types" | "spanAttributes"
  >
}

export interface SidesService {
  readonly plain: Side
  readonly one: Side
  readonly four: Side
  readonly router: ShardRouterService
  readonly manager: Context.Tag.Service<ShardManager>
  readonly cluster: PgCluster.PgCluster.Service
}

export class Sides extends Context.Tag("@shardlayer/pg/test/Sides")<Sides, SidesService>() {}

export const layer = (setup: Setup): Layer.Layer<Sides, unknown> => Layer.scoped(Sides, make(setup))

const four = ["shard_1", "shard_2", "shard_3", "shard_4"]

export const make = (setup: Setup) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 5, oracle: true, mode: "databases" })
    for (const { id } of cluster.nodes) yield* cluster.query(id, setup.schema)
    const { client = {} } = setup
    const { types, ...names } = client
    const urlOf = (id: string) => Effect.map(cluster.node(id), ({ url }) => url)
    const shard = (id: string) =>
      Layer.unwrapEffect(Effect.map(Effect.orDie(urlOf(id)), (url) => PgShard.layer({ url, types, maxConnections: 4 })))
    const routerOver = (places: Readonly<Record<string, string>>) =>
      Layer.build(
        PgRouter.layer({
          ...names,
          topology: setup.topology(Object.keys(places)),
          install: true,
          shards: Object.fromEntries(Object.entries(places).map(([id, node]) => [id, shard(node)]))
        })
      )
    const plain = yield* Layer.build(
      Layer.provideMerge(
        PgClient.layer({ ...client, url: yield* urlOf("oracle"), maxConnections: 4 }),
        Reactivity.layer
      )
    )
    const routed = yield* routerOver(Object.fromEntries(four.map((id) => [id, id])))
    const sides: SidesService = {
      plain: sideOf("one PostgreSQL", plain),
      one: sideOf("one shard", yield* routerOver({ shard_1: "shard_5" })),
      four: sideOf("four shards", routed),
      router: Context.get(routed, ShardRouter),
      manager: Context.get(routed, ShardManager),
      cluster
    }
    for (const { sql } of all(sides)) yield* setup.rows?.(sql) ?? Effect.void
    return sides
  })

const sideOf = (name: Side["name"], context: Context.Context<Stock>): Side => ({
  name,
  sql: Context.get(context, PgClient.PgClient),
  context
})

export const all = (sides: SidesService): ReadonlyArray<Side> => [sides.plain, sides.one, sides.four]

/** Rows whose order SQL leaves open, in one of their own. */
export const inAnyOrder = <A>(rows: ReadonlyArray<A>): ReadonlyArray<A> =>
  rows
    .map((row) => [text(row), row] as const)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, row]) => row)

/** Runs it on every side and compares; gives what all have said. */
export const alike = <A, E>(
  use: (sql: PgClient.PgClient, side: Side) => Effect.Effect<A, E, Stock>
): Effect.Effect<Exit.Exit<A, E>, never, Sides> =>
  Effect.gen(function* () {
    const sides = yield* Sides
    const expected = yield* outcome(use, sides.plain)
    for (const side of [sides.one, sides.four]) {
      const given = yield* outcome(use, side)
      expect(`${side.name}: ${shown(given)}`).toBe(`${side.name}: ${shown(expected)}`)
    }
    return expected
  })

/** The same for what is to succeed everywhere. */
export const same = <A, E>(
  use: (sql: PgClient.PgClient, side: Side) => Effect.Effect<A, E, Stock>
): Effect.Effect<A, E, Sides> => Effect.flatten(alike(use))

const outcome = <A, E>(
  use: (sql: PgClient.PgClient, side: Side) => Effect.Effect<A, E, Stock>,
  side: Side
): Effect.Effect<Exit.Exit<A, E>> => Effect.exit(Effect.provide(use(side.sql, side), side.context))

/** To the letter, so that a number is no string, a Buffer no array, and columns stay in order. */
const shown = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isFailure(exit)) {
    const failure = Cause.failureOption(exit.cause)
    return Option.isSome(failure) ? `fails: ${text(said(failure.value))}` : `ends: ${Cause.pretty(exit.cause)}`
  }
  return text(exit.value)
}

const text = (value: unknown): string => inspect(value, { depth: null, maxArrayLength: null, breakLength: 120 })

const fields = [
  "code",
  "severity",
  "detail",
  "hint",
  "position",
  "schema",
  "table",
  "column",
  "constraint",
  "dataType",
  "where",
  "message"
]

/** What a program finds in a `SqlError`: its `cause` has the server's words under the names of the driver's own error. */
const said = (error: unknown): unknown => {
  if (!(error instanceof SqlError)) return error
  const cause = error.cause as Readonly<Record<string, unknown>>
  if (isShardError(error.cause) && error.cause._tag !== "StatementFailed") return error.cause
  return Object.fromEntries(fields.map((field) => [field, cause[field]]))
}
