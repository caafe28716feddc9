/**
 * What each test of the suite works with: a router over loaded shards, and the oracle beside it.
 *
 * Holds: everything that reached a shard is in the log, so that a test can say that nothing did; `both` runs a
 * statement on the router and on the oracle and compares the answers as multisets.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import type { Statement } from "@effect/sql/Statement"
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import type { SharedStatements, ShardConnection, ShardDriver } from "@shardlayer/core/ShardConnection"
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import { isShardError } from "@shardlayer/core/ShardError"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgDirectory from "@shardlayer/pg/PgDirectory"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import type { Backend, Databases } from "./Backend.js"
import { load } from "./load.js"
import { hiddenSql, tablesSql, topology, withUnlisted } from "./schema.js"

/** One statement that reached a shard. */
export interface Sent {
  readonly shard: string
  readonly sql: string
}

export interface RouterOver {
  readonly router: ShardRouter.ShardRouterService
  readonly sql: SqlClient
  readonly manager: ShardManager.ShardManagerService
  readonly context: Context.Context<PgRouter.Provided>
}

export interface RoutingService extends RouterOver {
  readonly backend: Backend
  readonly databases: Databases
  readonly oracle: SqlClient
  /** Everything that reached a shard, catalog queries included. */
  readonly log: Array<Sent>
  /** The shards that a text reached. */
  readonly reached: (sql: string) => ReadonlyArray<string>
  /** A router of its own over the same shards. */
  readonly over: (
    topology: Topology,
    config?: Partial<PgRouter.Config>,
    shards?: Omit<PgShardConfig, "url">
  ) => Effect.Effect<RouterOver, ShardError, Scope.Scope>
}

export class Routing extends Context.Tag("@shardlayer/pg/test/Routing")<Routing, RoutingService>() {}

/** Builds the schema, loads it through the router, and keeps both open for the tests of one file. */
export const layer = (backend: Backend): Layer.Layer<Routing, unknown> => Layer.scoped(Routing, make(backend))

const make = (backend: Backend) =>
  Effect.gen(function* () {
    const databases = yield* backend.open
    const log: Array<Sent> = []
    const over: RoutingService["over"] = (topology, config, shards) =>
      Effect.map(
        Layer.build(
          PgRouter.layer({
            topology,
            shards: Object.fromEntries(
              topology.shards.map((id) => [id, logged(id, databases.shard(id as "shard_1", shards), log)])
            ),
            ...config
          })
        ),
        (context) => ({
          router: Context.get(context, ShardRouter.ShardRouter),
          sql: Context.get(context, Client.SqlClient),
          manager: Context.get(context, ShardManager.ShardManager),
          context
        })
      )
    const oracle = Context.get(yield* Layer.build(databases.oracle()), Client.SqlClient)
    // The schema comes first: the router reads it when it plans its first statement.
    const bare = yield* over(withUnlisted, { install: true })
    for (const statement of [...tablesSql, ...hiddenSql]) {
      yield* bare.router.onAllShards(bare.sql.unsafe(statement))
      yield* oracle.unsafe(statement)
    }
    const routed = yield* over(topology)
    const directory = PgDirectory.make(yield* routed.manager.client("shard_1"))
    yield* directory.assign("tenants", ["acme"], ShardId.make("shard_2"))
    yield* directory.assign("tenants", ["globex"], ShardId.make("shard_3"))
    yield* load(routed.router, routed.sql, oracle)
    log.length = 0
    return {
      ...routed,
      backend,
      databases,
      oracle,
      log,
      reached: (sql: string) => log.filter((sent) => sent.sql === sql).map(({ shard }) => shard),
      over
    }
  })

/** The same shard, with everything that reaches it written down. */
export const logged = (shard: string, layer: ShardLayer, log: Array<Sent>): ShardLayer =>
  Layer.map(layer, (context) => {
    const driver = Context.getOption(context, CurrentShardDriver)
    if (driver._tag === "None") return context
    return Context.add(context, CurrentShardDriver, loggedDriver(shard, driver.value, log))
  })

const loggedDriver = (shard: string, driver: ShardDriver, log: Array<Sent>): ShardDriver => ({
  ...driver,
  ...loggedConnection(shard, driver, log),
  shared: driver.shared && loggedStatements(shard, driver.shared, log),
  reserve: Effect.map(driver.reserve, (session) => ({
    ...session,
    ...loggedConnection(shard, session, log),
    control: (sql, sent) => {
      log.push({ shard, sql })
      return session.control(sql, sent)
    },
    ahead:
      session.ahead && ((sql) => Effect.suspend(() => (log.push({ shard, sql }), session.ahead?.(sql) ?? Effect.void))),
    commit: Effect.zipRight(
      Effect.sync(() => log.push({ shard, sql: "COMMIT" })),
      session.commit
    ),
    rollback: Effect.zipRight(
      Effect.sync(() => log.push({ shard, sql: "ROLLBACK" })),
      session.rollback
    )
  }))
})

const loggedStatements = (shard: string, connection: SharedStatements, log: Array<Sent>): SharedStatements => ({
  execute: (sql, params) => Effect.suspend(() => (log.push({ shard, sql }), connection.execute(sql, params))),
  executeValues: (sql, params) =>
    Effect.suspend(() => (log.push({ shard, sql }), connection.executeValues(sql, params))),
  executeRaw: (sql, params) => Effect.suspend(() => (log.push({ shard, sql }), connection.executeRaw(sql, params)))
})

const loggedConnection = (shard: string, connection: ShardConnection, log: Array<Sent>): ShardConnection => ({
  ...loggedStatements(shard, connection, log),
  executeStream: (sql, params) =>
    Stream.suspend(() => (log.push({ shard, sql }), connection.executeStream(sql, params))),
  executeText: (sql, params, bound) =>
    Effect.suspend(() => (log.push({ shard, sql }), connection.executeText(sql, params, bound))),
  streamPages: (sql, params) => Stream.suspend(() => (log.push({ shard, sql }), connection.streamPages(sql, params)))
})

/** Rows in an order of their own, for comparing answers whose order SQL leaves open. */
export const asMultiset = <A>(rows: ReadonlyArray<A>): ReadonlyArray<A> =>
  [...rows]
    .map((row) => [JSON.stringify(row), row] as const)
    .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
    .map(([, row]) => row)

export interface BothOptions {
  /** Compare in order, not as multisets. */
  readonly ordered?: boolean
}

/** Runs the same on the router and on the oracle; gives the rows once they are the same. */
export const both = <A, R>(
  use: (sql: SqlClient) => Effect.Effect<ReadonlyArray<A>, SqlError, R>,
  options: BothOptions = {}
): Effect.Effect<ReadonlyArray<A>, SqlError, R | Routing> =>
  Effect.gen(function* () {
    const { oracle, sql } = yield* Routing
    const routed = yield* use(sql)
    const expected = yield* use(oracle)
    const form = options.ordered === true ? (rows: ReadonlyArray<A>) => rows : asMultiset
    expect(form(routed)).toEqual(form(expected))
    return routed
  })

/** Where a statement would run. */
export const shardsOf = (
  use: (sql: SqlClient) => Statement<any>
): Effect.Effect<ReadonlyArray<string>, ShardError, Routing> =>
  Effect.flatMap(Routing, ({ router, sql }) => Effect.map(router.explain(use(sql)), ({ shards }) => shards))

/** The typed failure of a statement on the routed client, seen through the plain client and through `router.query`. */
export const failureOf = (
  use: (sql: SqlClient) => Effect.Effect<unknown, SqlError>
): Effect.Effect<ShardError, unknown, Routing> =>
  Effect.flatMap(Routing, ({ sql }) =>
    Effect.map(Effect.flip(use(sql)), (error) => {
      expect(error).toBeInstanceOf(SqlError)
      if (!isShardError(error.cause)) throw new Error("an untyped failure", { cause: error })
      expect(error.message).toBe(error.cause.message)
      return error.cause
    })
  )

/** Every row of a table, with the shard it lies on, asked of each shard alone. */
export const placed = (
  table: string
): Effect.Effect<ReadonlyArray<{ readonly shard: string; readonly row: any }>, unknown, Routing> =>
  Effect.flatMap(Routing, ({ router, sql }) =>
    Effect.map(router.onAllShards(sql.unsafe(`select * from ${table}`)), (shards) =>
      [...shards].flatMap(([shard, rows]) => rows.map((row) => ({ shard: shard as string, row })))
    )
  )
