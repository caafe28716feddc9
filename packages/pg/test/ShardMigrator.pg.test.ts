/** Migrations with a record on each shard: all shards have one and its changes, or none has; who failed goes on. */
import * as Migrator from "@effect/sql/Migrator"
import * as Client from "@effect/sql/SqlClient"
import type { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import { ShardUnavailable } from "@shardlayer/core/ShardError"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as ShardMigrator from "@shardlayer/pg/ShardMigrator"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { clusterOf, ids, run, schemaOf, topology, type World } from "./schemas.js"

type Cluster = World["cluster"]
type Record = Parameters<typeof Migrator.fromRecord>[0]

const inSql = <A, E>(use: (sql: SqlClient) => Effect.Effect<A, E>) =>
  Effect.asVoid(Effect.flatMap(Client.SqlClient, use))
const text = (sql: string) => inSql((client) => run(client, sql))

const migrations = {
  "0001_base": text(`
    create type mood as enum ('calm', 'wild');
    create table countries (code text primary key, name text not null);
    create table users (id int8 primary key, name text, mood mood not null default 'calm')`),
  "0002_orders": inSql((sql) =>
    Effect.gen(function* () {
      yield* sql`create table orders (user_id int8 references users, id int, item text, primary key (user_id, id))`
      yield* sql`insert into countries ${sql.insert({ code: "fr", name: "France" })}`
      yield* sql`insert into users ${sql.insert([1, 2, 3, 4, 5].map((id) => ({ id, name: `u${id}` })))}`
      yield* sql.withTransaction(sql`update users set mood = 'wild' where id < 4`)
    })
  ),
  "0003_index": text("create index orders_item on orders (item)")
}

/** A router with what the migrator needs beside it. */
const processOver = (cluster: Cluster, config: Partial<PgRouter.Config> = {}) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        install: true,
        ...config,
        shards: Object.fromEntries(
          cluster.shards.map(({ id, url }) => [
            id,
            PgShard.layer({ url, maxConnections: 6, acquireTimeout: "5 seconds" })
          ])
        )
      })
    ),
    (context) => {
      const router = Context.get(context, ShardRouter.ShardRouter)
      const migrate = (record: Record, options: Partial<ShardMigrator.Options> = {}) =>
        Effect.provide(ShardMigrator.run({ loader: Migrator.fromRecord(record), ...options }), context)
      return { context, router, sql: router.client, migrate, manager: Context.get(context, ShardManager.ShardManager) }
    }
  )

const make = (config: Partial<PgRouter.Config> = {}) =>
  Effect.gen(function* () {
    const cluster = yield* clusterOf({ oracle: false })
    return { cluster, ...(yield* processOver(cluster, config)) }
  })

const recorded = (cluster: Cluster, id: string) =>
  Effect.map(
    cluster.query<{ id: number }>(
      id,
      "select id::int as id from shardlayer.shard_migrations where created_at is not null order by id"
    ),
    (rows) => rows.map((row) => row.id)
  )

/** All shards have one schema and one record; that record. */
const equal = (cluster: Cluster, shards: ReadonlyArray<string> = ids) =>
  Effect.gen(function* () {
    const all = yield* Effect.forEach(shards, (id) => Effect.all([schemaOf(cluster, id), recorded(cluster, id)]))
    for (const one of all) expect(one).toEqual(all[0])
    return { schema: all[0]?.[0] ?? [], ids: all[0]?.[1] ?? [] }
  })

const kill = (cluster: Cluster, id: string, where = "true") =>
  cluster.query(
    id,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and ${where}`
  )

const namesOf = (list: ReadonlyArray<{ readonly id: number; readonly name: string }>) =>
  list.map(({ id, name }) => [id, name])

describe("ShardMigrator", () => {
  it.scopedLive(
    "runs each once, and one that fails leaves nothing",
    () =>
      Effect.gen(function* () {
        const { cluster, migrate, router, sql } = yield* make()
        const first = yield* migrate(migrations)
        expect(namesOf(first.applied)).toEqual([
          [1, "base"],
          [2, "orders"],
          [3, "index"]
        ])
        for (const { millis, shards } of first.applied) {
          expect(shards).toEqual(ids)
          expect(millis).toBeGreaterThan(0)
        }
        const before = yield* equal(cluster)
        expect(before.ids).toEqual([1, 2, 3])
        expect(before.schema.filter((line) => line.startsWith("index")).length).toBe(4)
        expect(yield* sql`select count(*)::int as n from users where mood = 'wild'`).toEqual([{ n: 3 }])

        const again = yield* migrate(migrations)
        expect(again.applied).toEqual([])
        expect(namesOf(again.skipped)).toEqual(namesOf(first.applied))

        const broken = {
          ...migrations,
          "0004_more": text("alter table orders add column price int"),
          "0005_fails": inSql((client) =>
            Effect.zipRight(
              client`alter table users add column age int`,
              client`alter table users add constraint few check (id < 5)`
            )
          )
        }
        expect(yield* Effect.flip(migrate(broken))).toMatchObject({
          _tag: "MigrationFailed",
          id: 5,
          name: "fails",
          shard: expect.stringMatching(/^shard_/),
          cause: { _tag: "StatementFailed", kind: "CheckViolation" }
        })
        const after = yield* equal(cluster)
        expect(after.ids).toEqual([1, 2, 3, 4])
        expect(after.schema.filter((line) => !before.schema.includes(line))).toEqual([
          expect.stringContaining("orders.price")
        ])
        expect(
          yield* Effect.flip(
            migrate({ ...migrations, "0004_more": text("select 1"), "0005_fails": Effect.die("oops") })
          )
        ).toMatchObject({ _tag: "MigrationFailed", id: 5, cause: "oops" })
        yield* sql`delete from users where id = 5`
        expect(namesOf((yield* migrate(broken)).applied)).toEqual([[5, "fails"]])
        expect((yield* equal(cluster)).ids).toEqual([1, 2, 3, 4, 5])
        expect(yield* router.inDoubt).toEqual([])
      }),
    120_000
  )

  it.scopedLive(
    "says which ids are twice, late, or of another name",
    () =>
      Effect.gen(function* () {
        const { cluster, context, migrate, sql } = yield* make({ transformResultNames: (name) => name.toUpperCase() })
        const one = { "0002_base": text("create table users (id int8 primary key)") }
        yield* sql.withTransaction(ShardRouter.lockShard(migrate(one)))
        expect(yield* Effect.flip(migrate({ ...one, "2_twice": Effect.void }))).toMatchObject({
          _tag: "MigrationError",
          reason: "duplicates"
        })
        expect(yield* Effect.flip(migrate({ ...one, "1_late": Effect.void }))).toMatchObject({ reason: "bad-state" })
        expect(yield* Effect.flip(migrate({ "2_renamed": Effect.void }))).toMatchObject({ reason: "bad-state" })
        const imports = Migrator.fromGlob({
          "./3_module.ts": () => Promise.resolve({ default: text("alter table users add column a int") }),
          "./4_nothing.ts": () => Promise.resolve({})
        })
        expect(yield* Effect.flip(Effect.provide(ShardMigrator.run({ loader: imports }), context))).toMatchObject({
          reason: "import-error"
        })
        // An older program, which knows less, has nothing to do.
        yield* migrate({ ...one, "0003_more": text("alter table users add column b int") })
        expect((yield* migrate(one)).applied).toEqual([])
        expect((yield* equal(cluster)).ids).toEqual([2, 3])
        // A record of its own, run when the layer is built.
        yield* Layer.build(
          Layer.provide(
            ShardMigrator.layer({
              loader: Migrator.fromRecord({ "1_other": text("create table orders (user_id int8 primary key)") }),
              table: "Other Record"
            }),
            Layer.succeedContext(context)
          )
        )
        expect(yield* cluster.query("shard_3", 'select id::int as id, name from shardlayer."Other Record"')).toEqual([
          { id: 1, name: "other" }
        ])
      }),
    120_000
  )

  it.scopedLive(
    "two processes at once run each once; who waits in vain says so; a lost lock stops",
    () =>
      Effect.gen(function* () {
        const cluster = yield* clusterOf({ shards: 4, oracle: false })
        // The meta database is none of the shards.
        const meta = () => PgShard.layer({ url: cluster.shards[3]!.url, maxConnections: 2 })
        const { migrate } = yield* processOver(cluster, { meta: meta() })
        const other = yield* processOver(cluster, { meta: meta() })
        const all = yield* Effect.all([migrate(migrations), other.migrate(migrations)], { concurrency: 2 })
        expect(all.map(({ applied }) => applied.length).sort()).toEqual([0, 3])
        expect((yield* equal(cluster)).ids).toEqual([1, 2, 3])

        const slow = {
          ...migrations,
          "0004_slow": inSql((sql) =>
            Effect.zipRight(sql`alter table users add column slow int`, Effect.sleep("6 seconds"))
          )
        }
        const running = yield* Effect.fork(Effect.flip(migrate(slow)))
        yield* Effect.sleep("1 second")
        expect(yield* Effect.flip(other.migrate(slow, { wait: "500 millis" }))).toMatchObject({
          _tag: "MigrationLocked",
          reason: "held"
        })
        yield* kill(cluster, "shard_4", "pid in (select pid from pg_locks where locktype = 'advisory')")
        expect(yield* Fiber.join(running)).toMatchObject({ _tag: "MigrationLocked", reason: "lost" })
        expect((yield* equal(cluster)).ids).toEqual([1, 2, 3])
        const quick = { ...migrations, "0004_slow": text("alter table users add column slow int") }
        expect(namesOf((yield* other.migrate(quick)).applied)).toEqual([[4, "slow"]])
        expect((yield* equal(cluster)).ids).toEqual([1, 2, 3, 4])
      }),
    120_000
  )

  it.scopedLive(
    "two that do not know of each other run each once, too",
    () =>
      Effect.gen(function* () {
        const cluster = yield* clusterOf({ shards: 4, oracle: false })
        const one = yield* processOver(cluster)
        // Its lock is another one.
        const other = yield* processOver(cluster, { meta: PgShard.layer({ url: cluster.shards[3]!.url }) })
        const adding = (n: number): Record => ({
          ...migrations,
          ...Object.fromEntries(
            Array.from({ length: n }, (_, i) => [
              `${i + 4}_row`,
              inSql((sql) => sql`insert into users ${sql.insert([1, 2, 3].map((id) => ({ id: (i + 1) * 10 + id })))}`)
            ])
          )
        })
        for (let n = 0; n < 4; n++) {
          const exits = yield* Effect.all(
            [Effect.exit(one.migrate(adding(n))), Effect.exit(other.migrate(adding(n)))],
            {
              concurrency: 2
            }
          )
          const applied = exits.flatMap((exit) => (exit._tag === "Success" ? exit.value.applied : []))
          expect(new Set(applied.map(({ id }) => id)).size).toBe(applied.length)
          yield* one.migrate(adding(n))
          expect((yield* equal(cluster)).ids).toHaveLength(3 + n)
          expect(yield* one.sql`select count(*)::int as n from users`).toEqual([{ n: 5 + 3 * n }])
        }
      }),
    120_000
  )

  it.scopedLive(
    "without a transaction: an index that one shard cannot build is completed later",
    () =>
      Effect.gen(function* () {
        const { cluster, migrate } = yield* make()
        const base = { "0001_base": migrations["0001_base"] }
        yield* migrate(base)
        yield* cluster.query("shard_2", "insert into countries values ('a', 'same'), ('b', 'same')")
        const unsafe = {
          ...base,
          "2_index": ShardMigrator.noTransaction(text("create index concurrently u on users (name)"))
        }
        expect((yield* Effect.flip(migrate(unsafe))).message).toMatch(/IF NOT EXISTS/)
        const record = {
          ...base,
          "2_index": ShardMigrator.noTransaction(
            inSql((sql) =>
              Effect.zipRight(
                sql`create index concurrently if not exists users_name on users (name)`,
                sql`create unique index concurrently if not exists countries_name on countries (name)`
              )
            )
          ),
          "3_after": text("alter table users add column later int")
        }
        expect(yield* Effect.flip(migrate(record))).toMatchObject({
          _tag: "MigrationFailed",
          id: 2,
          shard: "shard_2",
          cause: { _tag: "SchemaChangeFailed" }
        })
        for (const id of ids) expect(yield* recorded(cluster, id)).toEqual([1])
        yield* cluster.query("shard_2", "truncate countries")
        expect(namesOf((yield* migrate(record)).applied)).toEqual([
          [2, "index"],
          [3, "after"]
        ])
        const { ids: done, schema } = yield* equal(cluster)
        expect(done).toEqual([1, 2, 3])
        expect(schema.filter((line) => /index.*_name .*true/.test(line)).length).toBe(2)
        // Cut off between the index and its row.
        yield* cluster.query("shard_1", "delete from shardlayer.shard_migrations where id = 2")
        expect((yield* migrate(record)).applied).toMatchObject([{ id: 2, shards: ["shard_1"] }])
        yield* equal(cluster)
      }),
    120_000
  )
})

describe("ShardMigrator and what is cut off", () => {
  const step = (n: number): Record => ({
    [`${n}_step`]: inSql((sql) =>
      Effect.gen(function* () {
        yield* sql.unsafe(`alter table users add column extra_${n} int`)
        yield* sql`insert into users ${sql.insert([1, 2, 3, 4].map((id) => ({ id: n * 10 + id })))}`
        yield* sql.unsafe(`create index users_${n} on users (extra_${n})`)
      })
    )
  })
  const upTo = (n: number): Record =>
    Object.assign({ "1_base": migrations["0001_base"] }, ...Array.from({ length: n - 1 }, (_, i) => step(i + 2)))

  const settled = (world: Effect.Effect.Success<ReturnType<typeof make>>, n: number) =>
    Effect.gen(function* () {
      // Idle connections to a server that died are noticed when they are used.
      yield* Effect.retry(world.migrate(upTo(n)), { times: 10, schedule: Schedule.spaced("100 millis") })
      const { ids: done, schema } = yield* equal(world.cluster)
      expect(done).toEqual(Array.from({ length: n }, (_, i) => i + 1))
      expect(schema.filter((line) => line.includes(`extra_${n}`)).length).toBe(2)
      expect(yield* world.sql`select count(*)::int as n from users`).toEqual([{ n: 4 * (n - 1) }])
      expect(yield* world.router.inDoubt).toEqual([])
    })

  it.scopedLive(
    "by interruption, or by the connections of any shard, at any moment",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        yield* world.migrate(upTo(1))
        let n = 1
        for (const millis of [20, 60, 100, 140, 180, 220, 300]) {
          n++
          const running = yield* Effect.fork(Effect.exit(world.migrate(upTo(n))))
          yield* Effect.sleep(millis)
          yield* Fiber.interrupt(running)
          yield* settled(world, n)
        }
        for (const id of ids) {
          for (const millis of [40, 120, 200]) {
            n++
            const running = yield* Effect.fork(Effect.exit(world.migrate(upTo(n))))
            yield* Effect.sleep(millis)
            yield* kill(world.cluster, id)
            yield* Fiber.join(running)
            yield* settled(world, n)
          }
        }
      }),
    240_000
  )

  it.scopedLive(
    "by the server of any shard, that of the meta database included",
    () =>
      Effect.gen(function* () {
        const cluster = yield* clusterOf({ mode: "servers", oracle: false })
        const world = { cluster, ...(yield* processOver(cluster)) }
        yield* world.migrate(upTo(1))
        let n = 1
        for (const id of ids) {
          for (const millis of [60, 180]) {
            n++
            const running = yield* Effect.fork(Effect.exit(world.migrate(upTo(n))))
            yield* Effect.sleep(millis)
            yield* cluster.kill(id)
            // Backends of a server that was killed outlive it for a moment, and keep its memory.
            yield* Effect.retry(cluster.restart(id), { times: 20, schedule: Schedule.spaced("200 millis") })
            yield* Fiber.join(running)
            yield* settled(world, n)
          }
        }
      }),
    240_000
  )

  it.scopedLive(
    "by a commit that is decided and left prepared: waited for, not run again",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        yield* world.migrate(upTo(1))
        const lost = new ShardUnavailable({ shard: "test", reason: "the test lost the answer", sent: true })
        const forgetful = yield* processOver(world.cluster, {
          commitLog: { ...PgCommitLog.make, finish: () => Effect.fail(lost) },
          finishTimeoutMillis: 50
        })
        expect(yield* Effect.flip(forgetful.migrate(upTo(2)))).toMatchObject({ _tag: "MigrationFailed", id: 2 })
        const report = yield* world.migrate(upTo(2))
        expect(report.applied).toEqual([])
        yield* settled(world, 2)
      }),
    120_000
  )
})

describe("ShardMigrator and shards that come later", () => {
  it.scopedLive(
    "get schema changes; rows only where the migration says so, or by hand",
    () =>
      Effect.gen(function* () {
        const cluster = yield* clusterOf({ shards: 4, oracle: false })
        const { context, migrate } = yield* processOver(cluster)
        const all = [...ids, "shard_4"]
        const record = {
          "1_base": migrations["0001_base"],
          "2_orders": inSql((sql) =>
            Effect.zipRight(
              sql`set local lock_timeout = '3s'`,
              sql`create table orders (user_id int8 primary key, item text)`
            )
          ),
          "3_index": ShardMigrator.noTransaction(
            text("create index concurrently if not exists orders_item on orders (item)")
          ),
          // What it makes of the refusal does not matter.
          "4_rows": inSql((sql) => Effect.exit(sql`insert into countries values ('de', 'Germany')`)),
          "5_copies": ShardMigrator.perShard(inSql((sql) => sql`insert into countries values ('fr', 'France')`)),
          "6_users": ShardMigrator.perShard(
            inSql((sql) => sql`insert into users ${sql.insert([1, 2, 3].map((id) => ({ id })))}`)
          )
        }
        yield* migrate(record)
        const also = ["shard_4"]
        // Left by a build that was cut off.
        yield* cluster.query(
          "shard_4",
          "create table kept (id int); create index broken on kept (id); update pg_index set indisvalid = false where indexrelid = 'broken'::regclass"
        )
        expect(yield* Effect.flip(migrate(record, { also }))).toMatchObject({
          _tag: "MigrationFailed",
          id: 3,
          shard: "shard_4",
          cause: { _tag: "NotRepeatable", reason: expect.stringContaining("broken") }
        })
        yield* cluster.query("shard_4", "drop table kept")
        const behind = yield* Effect.flip(migrate(record, { also }))
        expect(behind).toMatchObject({ _tag: "ShardBehind", id: 4, shard: "shard_4", statement: "INSERT" })
        expect(behind.message).toContain("ShardMigrator.record")
        expect(yield* recorded(cluster, "shard_4")).toEqual([1, 2, 3])
        yield* cluster.query("shard_4", "insert into countries values ('de', 'Germany')")
        const byHand = (id: number, name: string) =>
          Effect.provide(ShardMigrator.record({ id, name, shard: "shard_4" }), context)
        yield* byHand(4, "rows")
        expect(yield* Effect.flip(migrate(record, { also }))).toMatchObject({ _tag: "ShardBehind", id: 6 })
        expect(yield* cluster.query("shard_4", "select code from countries order by 1")).toEqual([
          { code: "de" },
          { code: "fr" }
        ])
        yield* byHand(6, "users")
        const next = { ...record, "7_new": text("alter table users add column late int") }
        const report = yield* migrate(next, { also })
        expect(report.applied).toMatchObject([{ id: 7, shards: all }])
        expect((yield* equal(cluster, all)).ids).toEqual([1, 2, 3, 4, 5, 6, 7])
        expect((yield* migrate(next, { also })).applied).toEqual([])
        // One of the topology that was brought back as it had been before.
        yield* cluster.query(
          "shard_2",
          "alter table users drop column late; delete from shardlayer.shard_migrations where id = 7"
        )
        expect((yield* migrate(next)).applied).toMatchObject([{ id: 7, shards: ["shard_2"] }])
        yield* equal(cluster, all)
      }),
    120_000
  )
})
