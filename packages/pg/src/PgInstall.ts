/**
 * Our own tables, in schema `shardlayer` of the meta database.
 *
 * Enters: a client of that database. Leaves: a schema of exactly this program's version, or an error and the schema as
 * it was. Holds: any number of processes may install at once, each step runs once; a schema newer than the program is
 * refused, never touched. Nothing outside of the schema is made or changed.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { NotInstalled, SchemaMismatch, type ShardError } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as ReadView from "@shardlayer/core/ReadView"
import * as GlobalId from "@shardlayer/core/protocol/GlobalId"
import { randomFillSync } from "node:crypto"
import * as MetaClient from "./internal/metaClient.js"
import { migrations } from "./migrations/index.js"
import type { Migration } from "./migrations/Migration.js"

/**
 * The version of schema `shardlayer` that this program needs.
 *
 * @since 0.1.0
 * @category constants
 */
export const version: number = Math.max(...migrations.map((migration) => migration.version))

/**
 * What `install` found and left. `found: undefined`: there was nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface Installation {
  readonly found: number | undefined
  readonly version: number
  readonly applied: ReadonlyArray<string>
}

/**
 * Brings the schema to this program's version. Where it has that version already, nothing is written and no right to
 * write is needed. Otherwise waits up to 60 s for another process that installs, then fails with `StatementFailed`
 * (LockNotAvailable). `NotInstalled` where the schema is newer than the program.
 *
 * @since 0.1.0
 * @category installation
 */
export const install = (client: SqlClient): Effect.Effect<Installation, ShardError> =>
  Effect.gen(function* () {
    const meta = MetaClient.make(client)
    const found = yield* versionFound(meta.query)
    if (found === version) return { found, version, applied: [] }
    if (found !== undefined && found > version) return yield* new NotInstalled({ found, expected: version })
    return yield* meta.transaction(migrate)
  })

/**
 * The same on the meta database and on every shard, and gives them all the name of this installation: that of the meta
 * database, or the one that the shards have already. `SchemaMismatch` where they have several: then one of them is a
 * database of another installation.
 *
 * @since 0.1.0
 * @category installation
 */
export const installAll = (
  meta: SqlClient,
  shards: ReadonlyArray<readonly [shard: string, client: SqlClient]>
): Effect.Effect<Installation, ShardError> =>
  Effect.gen(function* () {
    const databases = [["the meta database", meta], ...shards] as const
    const installation = yield* install(meta)
    yield* Effect.forEach(shards, ([, client]) => install(client), { concurrency: 8, discard: true })
    const named = yield* Effect.forEach(databases, ([, client]) => clusterOf(client), { concurrency: 8 })
    const known = named.find((name) => name !== undefined) ?? newCluster()
    // Readers may believe for a while that there is no gate: until then nobody is let through (`CommitLog.cluster`).
    if (named.includes(undefined)) yield* Effect.sleep(ReadView.absenceMillis + 250)
    const cluster = yield* nameCluster(meta, known)
    const all = yield* Effect.forEach(
      databases,
      ([name, client]) => Effect.map(nameCluster(client, cluster), (found) => ({ name, found })),
      { concurrency: 8 }
    )
    const others = all.filter(({ found }) => found !== cluster)
    if (others.length === 0) return installation
    return yield* new SchemaMismatch({
      problems: others.map(
        ({ found, name }) => `${name} belongs to installation ${found}, the meta database to ${cluster}`
      )
    })
  })

const newCluster = (): string => GlobalId.newName(GlobalId.clusterLength, randomFillSync)

/**
 * The name of the installation that a database belongs to; none where it has none yet. It must be installed.
 *
 * @since 0.1.0
 * @category installation
 */
export const clusterOf = (client: SqlClient): Effect.Effect<string | undefined, ShardError> =>
  Effect.map(
    MetaClient.make(client).query<{ cluster: string }>("select cluster from shardlayer.cluster"),
    ([row]) => row?.cluster
  )

/** Whoever comes first names it; the name that stands is given. */
const nameCluster = (client: SqlClient, cluster: string): Effect.Effect<string, ShardError> =>
  Effect.zipRight(
    MetaClient.make(client).query("insert into shardlayer.cluster (cluster) values ($1) on conflict do nothing", [
      cluster
    ]),
    Effect.map(clusterOf(client), (found) => found ?? cluster)
  )

/**
 * Succeeds where the schema has exactly this program's version; else `NotInstalled` says what was found.
 *
 * @since 0.1.0
 * @category installation
 */
export const check = (client: SqlClient): Effect.Effect<void, ShardError> =>
  Effect.flatMap(versionFound(MetaClient.make(client).query), (found) =>
    found === version ? Effect.void : Effect.fail(new NotInstalled({ found, expected: version }))
  )

/**
 * A statement on our tables that found them missing fails with what `check` says.
 *
 * @since 0.1.0
 * @category installation
 */
export const orNotInstalled =
  (client: SqlClient) =>
  <A>(effect: Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> =>
    Effect.catchIf(
      effect,
      (error) => error._tag === "StatementFailed" && error.kind === "UndefinedObject",
      (error) => Effect.zipRight(check(client), Effect.fail(error))
    )

/** Any number: it only has to be the same in every process, and nobody else's. "shardlay" in ASCII. */
const installLock = "8316003855878611321"

/**
 * The lock is taken before anything is looked at, and the isolation level set before that: under repeatable read, which
 * a database may have as its default, the look after the wait would still see what was there before it.
 */
const migrate = (query: MetaClient.MetaClient["query"]): Effect.Effect<Installation, ShardError> =>
  Effect.gen(function* () {
    yield* query("set transaction isolation level read committed, read write")
    yield* query("set local lock_timeout = '60s'")
    yield* query("select pg_advisory_xact_lock($1::bigint)", [installLock])
    const found = yield* versionFound(query)
    if (found !== undefined && found > version) return yield* new NotInstalled({ found, expected: version })
    if (found === undefined) yield* Effect.forEach(yield* foundation(query), (statement) => query(statement))
    const pending = migrations.filter((migration) => migration.version > (found ?? 0))
    yield* Effect.forEach(pending, (migration) => apply(query, migration), { discard: true })
    return { found, version, applied: pending.map((migration) => migration.name) }
  })

/** `create schema if not exists` asks for the right to create even where the schema is there already. */
const foundation = (query: MetaClient.MetaClient["query"]): Effect.Effect<ReadonlyArray<string>, ShardError> =>
  Effect.map(query("select from pg_catalog.pg_namespace where nspname = 'shardlayer'"), (schemas) => [
    ...(schemas.length === 0 ? ["create schema shardlayer"] : []),
    `create table shardlayer.migrations (
  version integer primary key,
  name text not null,
  applied_at timestamptz not null default clock_timestamp()
)`
  ])

const apply = (query: MetaClient.MetaClient["query"], migration: Migration): Effect.Effect<void, ShardError> =>
  Effect.zipRight(
    Effect.forEach(migration.statements, (statement) => query(statement), { discard: true }),
    Effect.asVoid(
      query("insert into shardlayer.migrations (version, name) values ($1, $2)", [migration.version, migration.name])
    )
  )

/**
 * The greatest version; none where the tables are missing. Asked in two steps, so that no server log shows an error, and
 * of the catalog's own tables: `to_regclass` answers from a session's cache, which a rival's COMMIT does not refresh
 * within a transaction (two installers at once then both made the table).
 */
const versionFound = (query: MetaClient.MetaClient["query"]): Effect.Effect<number | undefined, ShardError> =>
  Effect.gen(function* () {
    const tables = yield* query(migrationsTableSql)
    if (tables.length === 0) return undefined
    const [row] = yield* query<{ version: number | null }>("select max(version) as version from shardlayer.migrations")
    return row?.version ?? undefined
  })

const migrationsTableSql = `select from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'shardlayer' and c.relname = 'migrations'`
