/** What tests of schema changes share: a cluster with a router, and what a database's schema is, as text. */
import { SqlError } from "@effect/sql/SqlError"
import type { SqlClient } from "@effect/sql/SqlClient"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"

export const ids = ["shard_1", "shard_2", "shard_3"] as const

export const topology = Topology.make({
  shards: ids,
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "k", acknowledge: ["users_nick_key", "serialized"] }),
    orders: Table.sharded({ key: "user_id", keyspace: "k" }),
    events: Table.sharded({ key: "user_id", keyspace: "k" }),
    countries: Table.reference(),
    settings: Table.single("shard_2")
  },
  unlisted: "shard_1"
})

export interface Options {
  readonly topology?: Topology.Topology
  readonly router?: Partial<PgRouter.Config>
  /** Where a shard is reached, if not directly. */
  readonly urls?: Readonly<Record<string, Redacted.Redacted>>
}

export const routerOver = (cluster: Effect.Effect.Success<ReturnType<typeof clusterOf>>, options: Options = {}) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology: options.topology ?? topology,
        install: true,
        ...options.router,
        shards: Object.fromEntries(
          cluster.shards.map(({ id, url }) => [
            id,
            PgShard.layer({ url: options.urls?.[id] ?? url, maxConnections: 6, acquireTimeout: "5 seconds" })
          ])
        )
      })
    ),
    (context) => Context.get(context, ShardRouter.ShardRouter)
  )

export const clusterOf = (options: Partial<PgCluster.Options> = {}) =>
  PgCluster.make({ shards: 3, oracle: true, mode: "databases", ...options })

export const make = (options: Options = {}) =>
  Effect.gen(function* () {
    const cluster = yield* clusterOf()
    const router = yield* routerOver(cluster, options)
    return { cluster, router, sql: router.client }
  })

export type World = Effect.Effect.Success<ReturnType<typeof make>>

/** The typed error of something that must fail. */
export const failure = (effect: Effect.Effect<unknown, SqlError | ShardError>): Effect.Effect<ShardError> =>
  Effect.map(Effect.either(effect), (said) => {
    if (Either.isRight(said)) throw new Error("it did not fail")
    const error = said.left
    const cause = error instanceof SqlError ? error.cause : error
    if (!isShardError(cause)) throw error
    return cause
  })

export const run = (sql: SqlClient, text: string) => sql.unsafe<Record<string, unknown>>(text)

/** Everything in schema public and beside it, one line a thing. */
export const described = `
select 'column ' || n.nspname || '.' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
  || ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') as line
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v')
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'shardlayer') and c.relname <> any('{%}')
union all
select 'index ' || pg_get_indexdef(i.indexrelid) || ' ' || i.indisvalid
from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'shardlayer')
union all
select 'constraint ' || con.conrelid::regclass || ' ' || con.conname || ' ' || pg_get_constraintdef(con.oid)
from pg_constraint con join pg_namespace n on n.oid = con.connamespace
where con.conrelid <> 0 and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'shardlayer')
union all
select 'enum ' || e.enumtypid::regtype || ' ' || string_agg(e.enumlabel, ',' order by e.enumsortorder)
from pg_enum e group by e.enumtypid
union all
select 'function ' || p.oid::regprocedure || ' ' || md5(p.prosrc)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public'
union all
select 'schema ' || nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'shardlayer')
order by 1`.replace("and c.relname <> any('{%}')", "")

export const schemaOf = (cluster: World["cluster"], id: string, without: RegExp = /^$/) =>
  Effect.map(cluster.query<{ line: string }>(id, described), (rows) =>
    rows.map(({ line }) => line).filter((line) => !without.test(line))
  )
