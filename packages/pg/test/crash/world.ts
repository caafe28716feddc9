/**
 * Three servers, a network that can fail before each, and what their tables have to hold.
 *
 * Enters: nothing. Leaves: servers that die and come back, routers that reach them by way of the network or past it, a
 * transaction that writes on all of them, and a look at everything: each row of each table, what is prepared, who holds a
 * gate, whose session is in the middle of something. Holds: contents are compared whole, never counted.
 */
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import * as ShardConnection from "@shardlayer/core/ShardConnection"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgProxy from "@shardlayer/testing/PgProxy"
import { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Cause from "effect/Cause"

export const shards = ["shard_1", "shard_2", "shard_3"] as const
export type Shard = (typeof shards)[number]

/** Of three writers the last one by name. */
export const decider: Shard = "shard_3"

export const topology = Topology.make({
  shards,
  keyspaces: {
    k: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 100, shard: "shard_1" },
        { from: 100, to: 200, shard: "shard_2" },
        { from: 200, shard: "shard_3" }
      ]
    })
  },
  tables: {
    accounts: Table.sharded({ key: "id", keyspace: "k" }),
    journal: Table.sharded({ key: "account", keyspace: "k" })
  }
})

const schema = (shard: number) => `
create table accounts (id int8 primary key, balance int8 not null check (balance >= 0), owner text not null);
create table journal (account int8, entry int8, note text not null, primary key (account, entry));
insert into accounts select id, 1000, 'nobody' from generate_series(${shard * 100}, ${shard * 100 + 3}) as id`

/** The account of a shard that transactions write to; three others beside it stay as they are. */
export const accountOf = (shard: Shard): number => shards.indexOf(shard) * 100

/** All rows, in their order. */
export interface Contents {
  readonly accounts: ReadonlyArray<{ readonly id: number; readonly balance: number; readonly owner: string }>
  readonly journal: ReadonlyArray<{ readonly account: number; readonly entry: number; readonly note: string }>
}

export const initial: Contents = {
  accounts: shards.flatMap((shard) =>
    [0, 1, 2, 3].map((n) => ({ id: accountOf(shard) + n, balance: 1000, owner: "nobody" }))
  ),
  journal: []
}

/** Entries older than this are deleted by the transaction that writes a new one. */
const entriesKept = 3

const noteOf = (entry: number, shard: Shard): string => `entry ${entry} of ${shard}`

/** What a transaction with this number makes of it. */
export const after = ({ accounts, journal }: Contents, entry: number): Contents => ({
  accounts: accounts.map((row) => {
    const isWritten = shards.some((shard) => accountOf(shard) === row.id)
    return isWritten ? { ...row, balance: row.balance + entry, owner: `transaction ${entry}` } : row
  }),
  journal: shards.flatMap((shard) => {
    const account = accountOf(shard)
    const kept = journal.filter((row) => row.account === account && row.entry > entry - entriesKept)
    return [...kept, { account, entry, note: noteOf(entry, shard) }]
  })
})

/** Writes on each shard: a changed row, a new one, and some that go. `around` is given each shard's first statement. */
export const writeAll = (
  { client: sql }: ShardRouter.ShardRouterService,
  entry: number,
  around: <A, E>(statement: Effect.Effect<A, E>) => Effect.Effect<A, E | ShardError> = (statement) => statement
) =>
  Effect.forEach(
    shards,
    (shard) => {
      const account = accountOf(shard)
      const owner = `transaction ${entry}`
      return around(sql`update accounts set balance = balance + ${entry}, owner = ${owner} where id = ${account}`).pipe(
        Effect.zipRight(
          sql`insert into journal (account, entry, note) values (${account}, ${entry}, ${noteOf(entry, shard)})`
        ),
        Effect.zipRight(sql`delete from journal where account = ${account} and entry <= ${entry - entriesKept}`)
      )
    },
    { discard: true }
  )

export interface World {
  readonly cluster: PgCluster.PgCluster.Service
  /** A connection to each shard, past the network. */
  readonly watchers: ReadonlyArray<ShardConnection.ShardDriver>
  readonly network: Readonly<Record<Shard, PgProxy.PgProxy>>
  readonly urls: Readonly<Record<"direct" | "proxied", Readonly<Record<Shard, Redacted.Redacted>>>>
}

/** They are started some hundred times: what they do on their own is left out. */
const settings = { autovacuum: false, shared_buffers: "16MB", max_logical_replication_workers: 0 }

export const makeWorld = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, mode: "servers", maxConnections: 60, settings })
  return yield* worldOf(cluster)
})

/** The same on databases of one server, which nobody can kill. */
export const makeSharedWorld = (options: Pick<PgCluster.Options, "oracle"> = {}) =>
  Effect.flatMap(PgCluster.make({ shards: 3, mode: "databases", ...options }), (cluster) => worldOf(cluster))

/** One database with the rows of all shards. */
export const openOracle = Effect.fnUntraced(function* ({ cluster }: World) {
  const { id, url } = yield* cluster.node("oracle")
  yield* cluster.query(id, schema(0))
  const all = [JSON.stringify(initial.accounts)]
  yield* cluster.query(id, "truncate accounts")
  yield* cluster.query(id, "insert into accounts select * from json_populate_recordset(null::accounts, $1)", all)
  const context = yield* Layer.build(PgShard.layer({ url, maxConnections: 4 }))
  return {
    client: Context.get(context, SqlClient),
    contents: Effect.map(cluster.query<{ view: Contents }>(id, viewSql), ([row]) => {
      const { accounts, journal } = row?.view ?? initial
      return { accounts, journal }
    })
  }
})

const worldOf = Effect.fnUntraced(function* (cluster: PgCluster.PgCluster.Service) {
  for (const [index, { id }] of cluster.shards.entries()) yield* cluster.query(id, schema(index))
  const proxies = yield* Effect.forEach(cluster.shards, PgProxy.make)
  const watchers = yield* Effect.forEach(cluster.shards, ({ url }) =>
    Effect.map(Layer.build(PgShard.layer({ url, maxConnections: 1 })), (context) =>
      Context.get(context, ShardConnection.CurrentShardDriver)
    )
  )
  const byShard = <A>(values: ReadonlyArray<A>) =>
    Object.fromEntries(shards.map((shard, index) => [shard, values[index]!])) as Record<Shard, A>
  const world: World = {
    cluster,
    watchers,
    network: byShard(proxies),
    urls: {
      direct: byShard(cluster.shards.map(({ url }) => url)),
      proxied: byShard(proxies.map(({ node }) => node.url))
    }
  }
  return world
})

export interface RouterOptions {
  /** By way of the network that fails. */
  readonly proxied: boolean
  readonly install?: boolean
  readonly commitLog?: CommitLogService
  readonly finishTimeoutMillis?: number
  readonly config?: Pick<PgShardConfig, "answerTimeout" | "cancelTimeout" | "acquireTimeout" | "connectTimeout">
  /** Around each shard's layer. */
  readonly layer?: (layer: ReturnType<typeof PgShard.layer>) => ReturnType<typeof PgShard.layer>
}

export const openRouter = ({ urls }: Pick<World, "urls">, options: RouterOptions) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        install: options.install ?? false,
        commitLog: options.commitLog,
        finishTimeoutMillis: options.finishTimeoutMillis,
        shards: Object.fromEntries(
          shards.map((shard) => {
            const layer = PgShard.layer({
              url: urls[options.proxied ? "proxied" : "direct"][shard],
              maxConnections: 4,
              acquireTimeout: "3 seconds",
              ...options.config
            })
            return [shard, options.layer?.(layer) ?? layer]
          })
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

/** What a program that ran a transaction knows of it. */
export type Told = "committed" | "incomplete" | "unknown" | "rolledBack"

export const toldOf = (exit: Exit.Exit<unknown, unknown>): Told => {
  if (exit._tag === "Success") return "committed"
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  const cause = error instanceof SqlError ? error.cause : error
  if (typeof cause !== "object" || cause === null || !("_tag" in cause)) throw new Error(Cause.pretty(exit.cause))
  switch (cause._tag) {
    case "CommitUnknown":
      return "unknown"
    case "CommitIncomplete":
      return "incomplete"
    default:
      return "rolledBack"
  }
}

/** What was told has to be true. */
export const isTrue = (told: Told, committed: boolean): boolean => {
  switch (told) {
    case "committed":
    case "incomplete":
      return committed
    case "rolledBack":
      return !committed
    case "unknown":
      return true
  }
}

/** Everything there is to see of the shards, seen at once. */
export interface View {
  readonly contents: Contents
  readonly left: ReadonlyArray<Leftovers>
}

/** What a transaction leaves behind that has not ended: on one shard. */
export interface Leftovers {
  /** Sessions in a transaction, or at work. */
  readonly busy: number
  readonly gates: number
  readonly prepared: number
}

export const look = ({ watchers }: World): Effect.Effect<View, unknown> =>
  Effect.map(
    Effect.forEach(
      watchers,
      (watcher) => Effect.map(watcher.execute(viewSql, []), ([row]): Leftovers & Contents => row.view),
      { concurrency: "unbounded" }
    ),
    (all) => ({
      contents: {
        accounts: all.flatMap(({ accounts }) => accounts),
        journal: all.flatMap(({ journal }) => journal)
      },
      left: all.map(({ busy, gates, prepared }) => ({ busy, gates, prepared }))
    })
  )

/**
 * The rows are those of the statement's start, and what is prepared is that of later: so nothing can come into the rows
 * behind a look that finds nothing left.
 */
const viewSql = `select json_build_object(
  'accounts', (select coalesce(json_agg(a order by id), '[]') from accounts a),
  'journal', (select coalesce(json_agg(j order by account, entry), '[]') from journal j),
  'busy', (
    select count(*)::int from pg_stat_activity
    where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
  ),
  'gates', (select count(*)::int from pg_locks 
    where relation = to_regclass('shardlayer.gate')
      and database = (select oid from pg_database where datname = current_database())),
  'prepared', (select count(*)::int from pg_prepared_xacts where database = current_database())
) as view`

/** Whether the transaction is there, whole; undefined where that is neither what was there before nor what it makes of it. */
export const isThere = ({ contents }: View, before: Contents, entry: number): boolean | undefined => {
  const found = JSON.stringify(contents)
  if (found === JSON.stringify(after(before, entry))) return true
  return found === JSON.stringify(before) ? false : undefined
}

const settleWithinMillis = 10_000

export const isClean = ({ left }: View): boolean =>
  left.every(({ busy, gates, prepared }) => busy + gates + prepared === 0)

/** Recovers until nothing is left of any transaction; what there is to see after ten seconds, if it never comes to that. */
export const settled = (
  world: World,
  router: Pick<ShardRouter.ShardRouterService, "recover">
): Effect.Effect<View, unknown> => {
  const until = Date.now() + settleWithinMillis
  const again: Effect.Effect<View, unknown> = Effect.gen(function* () {
    const { unreachable } = yield* router.recover({ grace: 0 })
    const view = yield* Effect.option(look(world))
    const isOver = Date.now() > until
    if (Option.isNone(view) && isOver) return yield* Effect.dieMessage("the shards cannot be looked at")
    if (Option.isSome(view)) {
      if (isOver) return view.value
      // What a session did while the rows were being read is in the rows of a look that comes later.
      if (isClean(view.value) && unreachable.length === 0) return yield* look(world)
    }
    return yield* Effect.delay(again, 20)
  })
  return again
}
