/** Drizzle (`@effect/sql-drizzle`) as it is: queries and transactions, on one PostgreSQL, on one shard and on four. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as PgDrizzle from "@effect/sql-drizzle/Pg"
import { layer } from "@effect/vitest"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as D from "drizzle-orm"
import * as P from "drizzle-orm/pg-core"
import type { PgRemoteDatabase } from "drizzle-orm/pg-proxy"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { alike, inAnyOrder, layer as sides, same, Sides } from "./sides.js"

const countries = P.pgTable("countries", { code: P.text("code").primaryKey(), label: P.text("label").notNull() })

const users = P.pgTable("users", {
  id: P.serial("id").primaryKey(),
  name: P.text("name").notNull(),
  country: P.text("country").references(() => countries.code),
  active: P.boolean("active").notNull().default(true),
  seen: P.timestamp("seen", { withTimezone: true }),
  tags: P.text("tags").array(),
  profile: P.jsonb("profile").$type<{ readonly color: string }>(),
  balance: P.numeric("balance", { precision: 10, scale: 2 })
})

const posts = P.pgTable(
  "posts",
  {
    userId: P.integer("user_id").notNull(),
    id: P.integer("id").notNull(),
    title: P.text("title").notNull(),
    likes: P.bigint("likes", { mode: "number" }).notNull().default(0)
  },
  (table) => [P.primaryKey({ columns: [table.userId, table.id] })]
)

const relations = {
  users: D.relations(users, ({ many, one }) => ({
    posts: many(posts),
    country: one(countries, { fields: [users.country], references: [countries.code] })
  })),
  posts: D.relations(posts, ({ one }) => ({ author: one(users, { fields: [posts.userId], references: [users.id] }) }))
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
  schema: `
    create table countries (code text primary key, label text not null);
    create table users (
      id serial primary key, name text not null, country text references countries, active boolean not null default true,
      seen timestamptz, tags text[], profile jsonb, balance numeric(10, 2)
    );
    create table posts (user_id int references users, id int, title text not null, likes int8 not null default 0, primary key (user_id, id));
  `
}

const tables = { users, posts, countries, userRelations: relations.users, postRelations: relations.posts }

/**
 * `@effect/sql-drizzle` declares its types over those that drizzle-orm has for CommonJS. To a program of ES modules under
 * `moduleResolution: "nodenext"` they are others: the same is said here of its own.
 */
declare module "drizzle-orm" {
  export interface QueryPromise<T> extends Effect.Effect<T, SqlError> {}
}
type Db = PgRemoteDatabase<typeof tables>
const drizzle = PgDrizzle.make({ schema: tables } as never) as unknown as Effect.Effect<Db, never, SqlClient>

/** What Drizzle says on each side. */
const using = <A, E>(use: (db: Db) => Effect.Effect<A, E, SqlClient>) => same(() => Effect.flatMap(drizzle, use))

layer(sides(setup), { excludeTestServices: true, timeout: 120_000 })("Drizzle", (it) => {
  it.effect("insert, select, update, delete", () =>
    Effect.gen(function* () {
      yield* using((db) =>
        db.insert(countries).values([
          { code: "de", label: "Germany" },
          { code: "fr", label: "France" }
        ])
      )
      yield* using((db) =>
        db
          .insert(users)
          .values({
            name: "Alice",
            tags: ["x", 'y"'],
            profile: { color: "red" },
            seen: new Date(1e12),
            balance: "1.50"
          })
          .returning()
      )
      yield* using((db) =>
        db
          .insert(users)
          .values(["Bob", "Carol", "Dave", "Erin", "Frank"].map((name, i) => ({ name, country: i % 2 ? "de" : "fr" })))
          .returning({ id: users.id, name: users.name })
      )
      yield* using((db) =>
        db
          .insert(posts)
          .values(
            [1, 2, 3, 4, 5, 6].flatMap((userId) =>
              [1, 2].map((id) => ({ userId, id, title: `post ${id} of ${userId}`, likes: userId * id }))
            )
          )
      )
      yield* using((db) =>
        db
          .update(users)
          .set({ active: false, profile: { color: "blue" } })
          .where(D.eq(users.id, 3))
          .returning()
      )
      yield* using((db) =>
        db
          .update(posts)
          .set({ likes: D.sql`${posts.likes} + 1` })
          .where(D.gt(posts.likes, 3))
      )
      yield* using((db) =>
        Effect.map(
          db
            .delete(posts)
            .where(D.and(D.eq(posts.id, 2), D.lt(posts.likes, 4)))
            .returning({ of: posts.userId }),
          inAnyOrder
        )
      )
      yield* using((db) =>
        db
          .insert(users)
          .values({ id: 1, name: "Alicia" })
          .onConflictDoUpdate({ target: users.id, set: { name: "Alicia" } })
          .returning({ name: users.name })
      )
      yield* using((db) => db.select().from(users).orderBy(users.id))
      yield* using((db) =>
        db
          .select({ id: users.id, shout: D.sql<string>`upper(${users.name})` })
          .from(users)
          .where(D.inArray(users.id, [1, 2, 99]))
          .orderBy(D.desc(users.id))
      )
    })
  )

  it.effect("joins, groups, subqueries, CTEs", () =>
    Effect.gen(function* () {
      yield* using((db) =>
        db
          .select()
          .from(users)
          .innerJoin(posts, D.eq(posts.userId, users.id))
          .leftJoin(countries, D.eq(countries.code, users.country))
          .orderBy(users.id, posts.id)
      )
      yield* using((db) =>
        db
          .select({ country: users.country, n: D.count(), likes: D.sum(posts.likes), last: D.max(posts.title) })
          .from(users)
          .innerJoin(posts, D.eq(posts.userId, users.id))
          .groupBy(users.country)
          .having(D.gt(D.count(), 1))
          .orderBy(users.country)
      )
      yield* using((db) =>
        db.select().from(posts).orderBy(D.desc(posts.likes), posts.userId, posts.id).limit(3).offset(1)
      )
      yield* using((db) =>
        db
          .select({ name: users.name })
          .from(users)
          .where(
            D.exists(
              db
                .select()
                .from(posts)
                .where(D.and(D.eq(posts.userId, users.id), D.gt(posts.likes, 4)))
            )
          )
          .orderBy(users.name)
      )
      yield* using((db) => {
        const big = db.$with("big").as(db.select().from(posts).where(D.gt(posts.likes, 2)))
        return db.with(big).select({ n: D.count() }).from(big)
      })
      yield* using((db) => db.selectDistinct({ country: users.country }).from(users).orderBy(users.country))
      yield* using((db) =>
        P.union(db.select({ id: users.id }).from(users), db.select({ id: posts.userId }).from(posts)).orderBy(
          D.asc(D.sql`id`)
        )
      )
      yield* using((db) => Effect.promise(() => db.$count(users)))
    })
  )

  it.effect("relational queries: rows with those that belong to them", () =>
    Effect.gen(function* () {
      yield* using((db) => db.query.users.findFirst({ where: D.eq(users.id, 2), with: { posts: true, country: true } }))
      yield* using((db) =>
        db.query.users.findMany({
          orderBy: users.id,
          with: { posts: { orderBy: posts.id, columns: { title: true } }, country: true }
        })
      )
      yield* using((db) =>
        db.query.posts.findMany({
          where: D.gt(posts.likes, 3),
          orderBy: [posts.userId, posts.id],
          with: { author: { columns: { name: true } } },
          limit: 3
        })
      )
    })
  )

  it.effect("transactions: those of the client, kept, undone, nested", () =>
    Effect.gen(function* () {
      const named = (db: Db) =>
        db.select({ name: users.name }).from(users).where(D.like(users.name, "T%")).orderBy(users.name)
      const add = (db: Db, ...names: ReadonlyArray<string>) => db.insert(users).values(names.map((name) => ({ name })))
      const each = <A, E>(use: (db: Db, sql: SqlClient) => Effect.Effect<A, E>) =>
        same((sql) => Effect.flatMap(drizzle, (db) => use(db, sql)))
      yield* each((db, sql) => Effect.zipRight(sql.withTransaction(add(db, "T1", "T2", "T3")), named(db)))
      yield* each((db, sql) =>
        Effect.zip(
          Effect.flip(
            sql.withTransaction(add(db, "T4", "T5").pipe(Effect.zipRight(named(db)), Effect.flatMap(Effect.fail)))
          ),
          named(db)
        )
      )
      yield* each((db, sql) =>
        sql.withTransaction(
          Effect.gen(function* () {
            yield* add(db, "T6")
            yield* Effect.ignore(sql.withTransaction(Effect.zipRight(add(db, "T7", "T8"), Effect.fail("inner"))))
            yield* sql`insert into users ${sql.insert({ name: "T9" })}`
            return yield* named(db)
          })
        )
      )
    })
  )

  it.effect("what fails, and on a shard that is chosen", () =>
    Effect.gen(function* () {
      yield* alike(() =>
        Effect.flatMap(drizzle, (db) => Effect.mapError(db.insert(users).values({ id: 1, name: "twice" }), codeOf))
      )
      yield* alike(() =>
        Effect.flatMap(drizzle, (db) =>
          Effect.mapError(db.insert(users).values({ name: "far", country: "xx" }), codeOf)
        )
      )
      const { four, router } = yield* Sides
      const db = yield* Effect.provide(drizzle, four.context)
      const [all] = yield* db.select({ n: D.count() }).from(users)
      const each = yield* router.onAllShards(db.select({ n: D.count() }).from(users))
      const counts = [...each.values()].map(([row]) => row!.n)
      expect(counts.reduce((sum, n) => sum + n, 0)).toBe(all!.n)
      expect(counts.every((n) => n < all!.n)).toBe(true)
    })
  )
})

/** Drizzle wraps what the client failed with. */
const codeOf = (error: unknown): unknown => {
  const { cause, code } = error as { readonly cause?: unknown; readonly code?: string }
  return code ?? (cause === undefined ? error : codeOf(cause))
}
