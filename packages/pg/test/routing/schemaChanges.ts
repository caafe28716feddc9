/**
 * Schema changes on all shards, used at once; tables that the topology does not list; migrations.
 */
import * as Client from "@effect/sql/SqlClient"
import * as Migrator from "@effect/sql/Migrator"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { describe, expect } from "vitest"
import { asMultiset, failureOf, Routing } from "./Routing.js"
import { ownerOf, shard1, shard2, userOn, withUnlisted } from "./schema.js"
import type { It } from "./It.js"

const on1 = userOn(shard1, 1)

export const schemaChanges = (it: It): void => {
  describe("schema changes", () => {
    it.effect("a new column is there for the next statement", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        const read = sql`select id, mood from users where id = ${on1}`
        expect(yield* failureOf(() => read)).toMatchObject({ code: "SL2010" })
        yield* router.onAllShards(sql`alter table users add column mood text default 'calm'`)
        expect(yield* read).toEqual([{ id: String(on1), mood: "calm" }])
        expect((yield* sql`select * from users where id = ${on1}`)[0]).toHaveProperty("mood", "calm")
        yield* router.onAllShards(sql`alter table users drop column mood`)
        expect((yield* sql`select * from users where id = ${on1}`)[0]).not.toHaveProperty("mood")
        expect(yield* failureOf(() => read)).toMatchObject({ code: "SL2010" })
      })
    )

    it.effect("a new table of the topology is there for the next statement", () =>
      Effect.gen(function* () {
        const { over } = yield* Routing
        const wider = Topology.make({
          shards: ["shard_1", "shard_2", "shard_3"],
          keyspaces: { user: { key: ["int8"], resolver: { _tag: "Hash" } } },
          tables: { wishes: Table.sharded({ key: "user_id", keyspace: "user" }) }
        })
        const { router, sql } = yield* over(wider)
        const insert = (id: number) => sql`insert into wishes (user_id, wish) values (${id}, ${`w${id}`})`
        yield* failureOf(() => insert(1))
        yield* router.onAllShards(sql`create table wishes (user_id int8 primary key, wish text)`)
        for (let id = 1; id <= 9; id++) yield* insert(id)
        const placed = yield* router.onAllShards(sql<{ user_id: string }>`select user_id from wishes`)
        for (const [shard, rows] of placed) {
          for (const { user_id } of rows) expect(yield* router.locate(wider.tables.wishes, user_id)).toBe(shard)
        }
        expect(asMultiset(yield* sql`select wish from wishes`)).toHaveLength(9)
        yield* router.onAllShards(sql`drop table wishes`)
        yield* failureOf(() => insert(1))
      }).pipe(Effect.scoped)
    )

    it.effect("a trigger that appears is seen", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        const insert = sql`insert into notes (slug) values (${"triggered"}) returning slug`
        yield* router.onAllShards(sql`create trigger late before insert on notes for each row execute function audit()`)
        expect(yield* failureOf(() => insert)).toMatchObject({ code: "SL6003" })
        yield* router.onAllShards(sql`drop trigger late on notes`)
        expect(yield* insert).toEqual([{ slug: "triggered" }])
        yield* sql`delete from notes where slug = ${"triggered"}`
      })
    )

    it.effect("a change that did not pass through this router is seen after refresh", () =>
      Effect.gen(function* () {
        const { manager, router, sql } = yield* Routing
        for (const shard of ["shard_1", "shard_2", "shard_3"]) {
          yield* Effect.flatMap(
            manager.client(shard),
            (client) => client`create rule late as on insert to notes do also nothing`
          )
        }
        yield* router.refresh
        expect(yield* failureOf((sql) => sql`insert into notes (slug) values (${"ruled"})`)).toMatchObject({
          code: "SL6004"
        })
        yield* router.onAllShards(sql`drop rule late on notes`)
      })
    )

    it.effect("a shard whose schema differs is reported by name", () =>
      Effect.gen(function* () {
        const { router, sql } = yield* Routing
        yield* router.check
        yield* router.onShard(sql`alter table seats alter column holder type int4`, "shard_3")
        const error = yield* Effect.flip(router.check)
        expect(error._tag).toBe("SchemaMismatch")
        expect(error.message).toMatch(/shard_3/)
        expect(error.message).toMatch(/seats/)
        yield* router.onShard(sql`alter table seats alter column holder type int8`, "shard_3")
        yield* router.check
      })
    )
  })

  describe("tables that the topology does not list", () => {
    it.effect("live where it says", () =>
      Effect.gen(function* () {
        const { over } = yield* Routing
        const { router, sql } = yield* over(withUnlisted)
        yield* sql`insert into stray (id, note) values (1, 'here')`
        expect(yield* sql`select note from stray`).toEqual([{ note: "here" }])
        const counts = yield* router.onAllShards(sql<{ n: number }>`select count(*)::int as n from stray`)
        expect([...counts].map(([shard, [row]]) => [shard, row!.n])).toEqual([
          ["shard_1", 0],
          ["shard_2", 1],
          ["shard_3", 0]
        ])
        expect(yield* router.explain(sql`select * from stray`)).toMatchObject({ shards: ["shard_2"] })
        yield* sql`delete from stray`
      }).pipe(Effect.scoped)
    )

    it.effect("are found by name", () =>
      Effect.gen(function* () {
        const { over } = yield* Routing
        const { sql } = yield* over(withUnlisted)
        expect(yield* sql`select 'stray'::regclass::text as name`).toEqual([{ name: "stray" }])
        expect(yield* sql`select to_regclass('stray')::text as name, to_regclass('nowhere')::text as none`).toEqual([
          { name: "stray", none: null }
        ])
        expect(yield* sql`select ${"stray"}::regclass::text as name`).toEqual([{ name: "stray" }])
        expect(yield* Effect.flip(sql`select ${"nowhere"}::regclass`)).toMatchObject({ cause: { code: "42P01" } })
      }).pipe(Effect.scoped)
    )
  })

  describe("the stock Migrator", () => {
    const migrations = Migrator.fromRecord({
      "0001_things": Effect.flatMap(
        Client.SqlClient,
        (sql) => sql`create table things (id int8 primary key, name text)`
      ),
      "0002_rows": Effect.flatMap(Client.SqlClient, (sql) => sql`alter table things add column size int`)
    })
    const run = (sql: SqlClient) =>
      Migrator.make({})({ loader: migrations }).pipe(Effect.provideService(Client.SqlClient, sql))
    const applied = [
      [1, "things"],
      [2, "rows"]
    ]

    it.effect("on every shard, each with its own record", () =>
      Effect.gen(function* () {
        const { over } = yield* Routing
        const { router, sql } = yield* over(withUnlisted)
        const first = yield* router.onAllShards(run(sql))
        expect([...first.values()]).toEqual([applied, applied, applied])
        const again = yield* router.onAllShards(run(sql))
        expect([...again.values()]).toEqual([[], [], []])
        yield* sql`insert into things (id, size) values (1, 2)`
        expect(yield* sql`select * from things`).toEqual([{ id: "1", name: null, size: 2 }])
        yield* router.onAllShards(Effect.all([sql`drop table things`, sql`drop table effect_sql_migrations`]))
      }).pipe(Effect.scoped)
    )

    it.effect("on the shard of unlisted tables", () =>
      Effect.gen(function* () {
        const { over } = yield* Routing
        const { router, sql } = yield* over(withUnlisted)
        yield* Effect.flatMap(router.onShard(run(sql), shard2), (done) =>
          Effect.sync(() => expect(done).toEqual(applied))
        )
        expect(yield* sql`select name from effect_sql_migrations order by 1`).toEqual([
          { name: "rows" },
          { name: "things" }
        ])
        yield* ShardRouter.unchecked(
          router.onShard(Effect.all([sql`drop table things`, sql`drop table effect_sql_migrations`]), shard2)
        )
      }).pipe(Effect.scoped)
    )
  })

  it.effect("install is safe to run again, and by several at once", () =>
    Effect.gen(function* () {
      const { router } = yield* Routing
      yield* Effect.all([router.install, router.install, router.install], { concurrency: 3 })
      expect(ownerOf("user", 42)).toBe("shard_3")
    })
  )
}
