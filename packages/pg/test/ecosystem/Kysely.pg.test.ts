/** Kysely (`@effect/sql-kysely`) as it is: schema, queries and transactions, on one PostgreSQL, on one shard and on four. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as PgKysely from "@effect/sql-kysely/Pg"
import { layer } from "@effect/vitest"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import type { Generated } from "kysely"
import { sql as raw } from "kysely"
import { expect } from "vitest"
import { alike, inAnyOrder, layer as sides, same, Sides } from "./sides.js"

interface Database {
  readonly users: {
    readonly id: Generated<number>
    readonly name: string
    readonly country: string | null
    readonly active: Generated<boolean>
  }
  readonly posts: {
    readonly user_id: number
    readonly id: number
    readonly title: string
    readonly likes: Generated<number>
  }
  readonly countries: { readonly code: string; readonly label: string }
}

const setup = {
  topology: (shards: ReadonlyArray<string>) =>
    Topology.make({
      shards,
      keyspaces: { user: Keyspace.hash({ key: ["int4"] }) },
      tables: {
        users: Table.sharded({ key: "id", keyspace: "user", generate: { id: Id.sequence() } }),
        posts: Table.sharded({ key: "user_id", keyspace: "user" }),
        countries: Table.reference()
      }
    }),
  schema: ""
}

const kysely = PgKysely.make<Database>()
type Db = Effect.Effect.Success<typeof kysely>

/** What Kysely says on each side. */
const using = <A, E>(use: (db: Db) => Effect.Effect<A, E, SqlClient>) => same(() => Effect.flatMap(kysely, use))

layer(sides(setup), { excludeTestServices: true, timeout: 120_000 })("Kysely", (it) => {
  it.effect("makes the schema", () =>
    using((db) =>
      Effect.gen(function* () {
        yield* db.schema
          .createTable("countries")
          .addColumn("code", "text", (c) => c.primaryKey())
          .addColumn("label", "text", (c) => c.notNull())
        yield* db.schema
          .createTable("users")
          .addColumn("id", "serial", (c) => c.primaryKey())
          .addColumn("name", "text", (c) => c.notNull())
          .addColumn("country", "text", (c) => c.references("countries.code"))
        yield* db.schema.alterTable("users").addColumn("active", "boolean", (c) => c.notNull().defaultTo(true))
        yield* db.schema
          .createTable("posts")
          .addColumn("user_id", "integer", (c) => c.references("users.id"))
          .addColumn("id", "integer")
          .addColumn("title", "text", (c) => c.notNull())
          .addColumn("likes", "integer", (c) => c.notNull().defaultTo(0))
          .addPrimaryKeyConstraint("posts_pkey", ["user_id", "id"])
        yield* db.schema.createIndex("posts_by_likes").on("posts").column("likes")
        yield* db.schema.createView("loved").as(db.selectFrom("posts").where("likes", ">", 4).selectAll() as never)
      })
    )
  )

  it.effect("insert, select, update, delete", () =>
    Effect.gen(function* () {
      yield* using((db) =>
        db.insertInto("countries").values([
          { code: "de", label: "Germany" },
          { code: "fr", label: "France" }
        ])
      )
      yield* using((db) => db.insertInto("users").values({ name: "Alice" }).returningAll())
      yield* using((db) =>
        db
          .insertInto("users")
          .values(["Bob", "Carol", "Dave", "Erin", "Frank"].map((name, i) => ({ name, country: i % 2 ? "de" : "fr" })))
          .returning(["id", "name"])
      )
      yield* using((db) =>
        db
          .insertInto("posts")
          .values(
            [1, 2, 3, 4, 5, 6].flatMap((user_id) =>
              [1, 2].map((id) => ({ user_id, id, title: `post ${id} of ${user_id}`, likes: user_id * id }))
            )
          )
      )
      yield* using((db) => db.updateTable("users").set({ active: false }).where("id", "=", 3).returningAll())
      yield* using((db) =>
        db
          .updateTable("posts")
          .set((eb) => ({ likes: eb("likes", "+", 1) }))
          .where("likes", ">", 3)
      )
      yield* using((db) =>
        Effect.map(db.deleteFrom("posts").where("id", "=", 2).where("likes", "<", 4).returning("user_id"), inAnyOrder)
      )
      yield* using((db) =>
        db
          .insertInto("users")
          .values({ id: 1, name: "Alicia" })
          .onConflict((c) => c.column("id").doUpdateSet({ name: "Alicia" }))
          .returning("name")
      )
      yield* using((db) => db.selectFrom("users").selectAll().orderBy("id"))
    })
  )

  it.effect("joins, groups, subqueries, CTEs, json of rows", () =>
    Effect.gen(function* () {
      yield* using((db) =>
        db
          .selectFrom("users")
          .innerJoin("posts", "posts.user_id", "users.id")
          .leftJoin("countries", "countries.code", "users.country")
          .select(["users.name", "posts.title", "countries.label"])
          .orderBy("users.id")
          .orderBy("posts.id")
      )
      yield* using((db) =>
        db
          .selectFrom("users")
          .innerJoin("posts", "posts.user_id", "users.id")
          .groupBy("country")
          .select((eb) => [
            "country",
            eb.fn.countAll().as("posts"),
            eb.fn.sum("likes").as("likes"),
            eb.fn.max("title").as("last")
          ])
          .having((eb) => eb.fn.countAll(), ">", 1)
          .orderBy("country")
      )
      yield* using((db) =>
        db
          .selectFrom("posts")
          .select(["user_id", "title"])
          .orderBy("likes", "desc")
          .orderBy("user_id")
          .orderBy("id")
          .limit(3)
          .offset(1)
      )
      yield* using((db) =>
        db
          .selectFrom("users")
          .select("name")
          .where((eb) =>
            eb.exists(
              eb
                .selectFrom("posts")
                .whereRef("posts.user_id", "=", "users.id")
                .where("likes", ">", 4)
                .select("posts.id")
            )
          )
          .orderBy("name")
      )
      yield* using((db) =>
        db
          .with("big", (q) => q.selectFrom("posts").where("likes", ">", 2).selectAll())
          .selectFrom("big")
          .select((eb) => eb.fn.countAll().as("n"))
      )
      yield* using((db) =>
        db
          .selectFrom("users")
          .select([
            "id",
            (eb) =>
              eb
                .selectFrom("posts")
                .whereRef("posts.user_id", "=", "users.id")
                .select((e) => e.fn.countAll<string>().as("n"))
                .as("posts")
          ])
          .orderBy("id")
      )
      yield* using((db) =>
        db
          .selectFrom("users")
          .where("id", "in", [1, 2, 5, 99])
          .select(raw<string>`upper(name)`.as("shout"))
          .orderBy("id")
      )
      yield* using((db) => db.selectFrom("users").select("country").distinct().orderBy("country"))
      yield* using((db) =>
        db.selectFrom("users").select("id").union(db.selectFrom("posts").select("user_id as id")).orderBy("id")
      )
      yield* using((db) =>
        db
          .selectFrom("loved" as "posts")
          .select(["user_id", "id"])
          .orderBy("user_id")
          .orderBy("id")
      )
    })
  )

  it.effect("transactions: kept, undone, nested, and with statements of the client's own", () =>
    Effect.gen(function* () {
      const named = (db: Db) => db.selectFrom("users").select("name").where("name", "like", "T%").orderBy("name")
      const add = (db: Db, ...names: ReadonlyArray<string>) =>
        db.insertInto("users").values(names.map((name) => ({ name })))
      yield* using((db) => Effect.zipRight(db.withTransaction(add(db, "T1", "T2", "T3")), named(db)))
      yield* using((db) =>
        Effect.zip(
          Effect.flip(
            db.withTransaction(add(db, "T4", "T5").pipe(Effect.zipRight(named(db)), Effect.flatMap(Effect.fail)))
          ),
          named(db)
        )
      )
      yield* using((db) =>
        db.withTransaction(
          Effect.gen(function* () {
            yield* add(db, "T6")
            yield* Effect.ignore(db.withTransaction(Effect.zipRight(add(db, "T7", "T8"), Effect.fail("inner"))))
            return yield* named(db)
          })
        )
      )
      yield* same((sql) =>
        Effect.flatMap(kysely, (db) =>
          Effect.ignore(sql.withTransaction(Effect.zipRight(add(db, "T9"), Effect.fail("no")))).pipe(
            Effect.zipRight(named(db))
          )
        )
      )
      yield* alike(() => Effect.flatMap(kysely, (db) => db.insertInto("users").values({ id: 1, name: "twice" })))
      yield* alike(() => Effect.flatMap(kysely, (db) => db.insertInto("users").values({ name: "far", country: "xx" })))
    })
  )

  it.effect("on a shard that is chosen", () =>
    Effect.gen(function* () {
      const { four, router } = yield* Sides
      const db = yield* Effect.provide(kysely, four.context)
      const [all] = yield* db.selectFrom("users").select((eb) => eb.fn.countAll<string>().as("n"))
      const each = yield* router.onAllShards(db.selectFrom("users").select((eb) => eb.fn.countAll<string>().as("n")))
      const counts = [...each.values()].map(([row]) => Number(row?.n))
      expect(counts.reduce((sum, n) => sum + n, 0)).toBe(Number(all?.n))
      expect(counts.every((n) => n < Number(all?.n))).toBe(true)
    })
  )
})
