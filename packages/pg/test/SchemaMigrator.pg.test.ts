/** The stock Migrator on the routed client, as it is: each run is one transaction over all shards. */
import * as PgMigrator from "@effect/sql-pg/PgMigrator"
import * as Migrator from "@effect/sql/Migrator"
import * as Client from "@effect/sql/SqlClient"
import type { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ids, make, routerOver, schemaOf } from "./schemas.js"

const inSql = <A, E>(use: (sql: SqlClient) => Effect.Effect<A, E>) =>
  Effect.asVoid(Effect.flatMap(Client.SqlClient, use))

const migrations = {
  "0001_base": inSql((sql) =>
    sql.unsafe(`
      create type mood as enum ('calm', 'wild');
      create table countries (code text primary key, name text not null);
      create table users (id int8 primary key, name text, mood mood not null default 'calm');
      insert into countries values ('de', 'Germany');
    `)
  ),
  "0002_orders": inSql((sql) =>
    Effect.gen(function* () {
      yield* sql`create table orders (user_id int8 references users, id int, item text, primary key (user_id, id))`
      yield* sql`create index orders_item on orders (item)`
      yield* sql`insert into countries ${sql.insert([
        { code: "fr", name: "France" },
        { code: "it", name: "Italy" }
      ])}`
      yield* sql`insert into users ${sql.insert([1, 2, 3, 4, 5].map((id) => ({ id, name: `u${id}` })))}`
      yield* sql`alter table users add column country text references countries`
      yield* sql`update users set country = 'it', mood = 'wild' where id < 4`
    })
  ),
  "0003_unlisted": inSql((sql) => sql`create table loose (id serial primary key, note text)`)
}

const broken = {
  ...migrations,
  "0004_more": inSql((sql) => sql`alter table orders add column price numeric(10, 2)`),
  "0005_fails": inSql((sql) =>
    Effect.zipRight(sql`create table settings (name text)`, sql`alter table users add constraint few check (id < 5)`)
  )
}

const migrate = (sql: SqlClient, record: Parameters<typeof Migrator.fromRecord>[0]) =>
  Migrator.make({})({ loader: Migrator.fromRecord(record) }).pipe(Effect.provideService(Client.SqlClient, sql))

const elsewhere = /loose|_migrations|settings/

describe("the stock Migrator on the routed client", () => {
  it.scopedLive(
    "runs unchanged, and a migration that fails leaves nothing",
    () =>
      Effect.gen(function* () {
        const { cluster, router, sql } = yield* make()
        const oracle = yield* Effect.sync(() => cluster.nodes.find(({ id }) => id === "oracle")!)
        expect(oracle.id).toBe("oracle")
        expect(yield* migrate(sql, migrations)).toEqual([
          [1, "base"],
          [2, "orders"],
          [3, "unlisted"]
        ])
        const schema = yield* schemaOf(cluster, "shard_1", elsewhere)
        for (const id of ids) expect([id, yield* schemaOf(cluster, id, elsewhere)]).toEqual([id, schema])
        expect(schema.filter((line) => line.startsWith("index")).length).toBe(4)
        for (const id of ids) {
          expect(yield* cluster.query(id, "select code from countries order by 1")).toEqual([
            { code: "de" },
            { code: "fr" },
            { code: "it" }
          ])
        }
        expect(yield* sql`select count(*)::int as n, mood from users where country = 'it' group by mood`).toEqual([
          { n: 3, mood: "wild" }
        ])
        expect(yield* sql`select migration_id from effect_sql_migrations order by 1`).toHaveLength(3)
        expect((yield* cluster.query("shard_2", "select to_regclass('effect_sql_migrations')::text as x"))[0]).toEqual({
          x: null
        })
        expect(yield* migrate(sql, migrations)).toEqual([])

        const exit = yield* Effect.exit(migrate(sql, broken))
        expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toMatch(/0?5_fails/)
        for (const id of ids) expect([id, yield* schemaOf(cluster, id, elsewhere)]).toEqual([id, schema])
        expect(yield* sql`select migration_id from effect_sql_migrations order by 1`).toHaveLength(3)
        yield* sql`delete from users where id = 5`
        expect(yield* migrate(sql, broken)).toEqual([
          [4, "more"],
          [5, "fails"]
        ])
        expect(yield* router.inDoubt).toEqual([])
      }),
    120_000
  )

  it.scopedLive(
    "also as PgMigrator, and from two processes at once",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make()
        const other = yield* routerOver(cluster)
        // Files and commands are asked for by its dumps alone, which are not made here.
        const run = (client: SqlClient) => {
          const migrated: unknown = PgMigrator.run({ loader: Migrator.fromRecord(migrations) }).pipe(
            Effect.provideService(Client.SqlClient, client)
          )
          return migrated as Effect.Effect<ReadonlyArray<readonly [number, string]>, unknown>
        }
        // Making its own table at once is what the Migrator itself does not survive, on one PostgreSQL either.
        yield* migrate(sql, {})
        const all = yield* Effect.all([run(sql), run(other.client)], { concurrency: 2 })
        expect(all.map((done) => done.length).sort()).toEqual([0, 3])
        const schema = yield* schemaOf(cluster, "shard_1", elsewhere)
        for (const id of ids) expect([id, yield* schemaOf(cluster, id, elsewhere)]).toEqual([id, schema])
        expect(yield* other.client`select count(*)::int as n from users`).toEqual([{ n: 5 }])
      }),
    120_000
  )
})
