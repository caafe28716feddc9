/**
 * INSERT, UPDATE and DELETE on one shard, on the router and on the oracle alike. After each test every row lies where
 * the topology says, and the tables of all shards together are the oracle's.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { describe, expect } from "vitest"
import { asMultiset, both, failureOf, placed, Routing, shardsOf } from "./Routing.js"
import { ownerOf, shard1, shard2, shard3, userOn } from "./schema.js"
import type { It } from "./It.js"

const id = { one: userOn(shard1, 1000), two: userOn(shard2, 1000), three: userOn(shard3, 1000) }

type Placement = readonly [table: string, keyspace: Parameters<typeof ownerOf>[0], columns: ReadonlyArray<string>]

const placements: ReadonlyArray<Placement> = [
  ["users", "user", ["id"]],
  ["orders", "user", ["user_id"]],
  ["items", "user", ["user_id"]],
  ["events", "device", ["device"]],
  ["notes", "slug", ["slug"]],
  ["seats", "seat", ["hall", "name"]],
  ["shops", "region", ["region"]],
  ["metrics", "bucket", ["bucket"]]
]

/** Every row where the topology says, and all of them together what the oracle has. */
export const expectInPlace = (...tables: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { oracle } = yield* Routing
    for (const [table, keyspace, columns] of placements) {
      if (tables.length > 0 && !tables.includes(table)) continue
      const rows = yield* placed(table)
      const astray = rows.filter(
        ({ row, shard }) => ownerOf(keyspace, ...columns.map((column) => row[column])) !== shard
      )
      expect(astray).toEqual([])
      expect(asMultiset(rows.map(({ row }) => row))).toEqual(asMultiset(yield* oracle.unsafe(`select * from ${table}`)))
    }
  })

export const writes = (it: It): void => {
  describe("writes", () => {
    it.effect("the load put every row in its place", () => expectInPlace())

    it.effect("INSERT by constants, params and helpers", () =>
      Effect.gen(function* () {
        yield* both((sql) => sql.unsafe(`insert into users (id, name) values (${id.one}, 'constant') returning *`))
        yield* both(
          (sql) => sql`insert into users (name, id) values (${"param"}, ${id.two}) returning id, name, active`
        )
        yield* both(
          (sql) =>
            sql`insert into users ${sql.insert({ id: id.three, name: "helper", tags: ["x", null] }).returning("*")}`
        )
        const more = [1, 2, 3].map((line) => ({ user_id: id.one, id: line, total: `${line}.5` }))
        yield* both((sql) => sql`insert into orders ${sql.insert(more)} returning *`)
        yield* both(
          (sql) =>
            sql`insert into orders (user_id, id) values (${id.two}, 1), (${id.two}, 2), (${String(id.two)}, 3) returning *`
        )
        yield* both((sql) => sql`insert into orders values (${id.three}, 1, default, null) returning *`)
        yield* expectInPlace("users", "orders")
      })
    )

    it.effect("INSERT into every keyspace", () =>
      Effect.gen(function* () {
        yield* both(
          (sql) =>
            sql`insert into events (device, at, kind) values (${"{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}"}, ${new Date(0)}, 'x') returning *`
        )
        yield* both(
          (sql) => sql`insert into notes (slug) values ('ключ'), ('ключ'::text) on conflict do nothing returning *`
        )
        yield* both((sql) => sql`insert into seats (name, hall) values ('Z9', ${7}) returning *`)
        yield* both((sql) => sql`insert into shops (region, id) values ('uk', 1) returning *`)
        yield* both((sql) => sql`insert into metrics (bucket, id) values (${-2147483648}, 1), (-1, 1) returning *`)
        yield* both((sql) => sql`insert into invoices (tenant, id) values (${"acme"}, 2) returning *`)
        expect(yield* failureOf((sql) => sql`insert into metrics (bucket, id) values (150, 1)`)).toMatchObject({
          _tag: "KeyUnassigned"
        })
        expect(yield* failureOf((sql) => sql`insert into shops (region, id) values ('mars', 1)`)).toMatchObject({
          _tag: "KeyUnassigned"
        })
        yield* expectInPlace()
      })
    )

    it.effect("INSERT … SELECT within one key", () =>
      Effect.gen(function* () {
        const key = userOn(shard2, 1100)
        yield* both((sql) => sql`insert into users (id, name) values (${key}, 'copy') returning id`)
        yield* both(
          (sql) =>
            sql`insert into orders (user_id, id, status) select id, 7, name from users where id = ${key} returning *`
        )
        yield* both(
          (sql) => sql`insert into orders (user_id, id) select ${key}, g from generate_series(10, 12) g returning *`
        )
        yield* both(
          (sql) =>
            sql`insert into items (user_id, order_id, line, sku, quantity) select user_id, id, 1, status, 2 from orders where user_id = ${key} returning *`
        )
        yield* expectInPlace("users", "orders", "items")
      })
    )

    it.effect("ON CONFLICT on a key that includes the shard key", () =>
      Effect.gen(function* () {
        const key = userOn(shard3, 1100)
        const upsert = (name: string) => (sql: SqlClient) =>
          sql`insert into users (id, name) values (${key}, ${name}) on conflict (id) do update set name = excluded.name || '!' returning *`
        yield* both(upsert("first"))
        yield* both(upsert("second"))
        yield* both(
          (sql) => sql`insert into users (id, name) values (${key}, 'third') on conflict do nothing returning *`
        )
        yield* both((sql) => sql`select name from users where id = ${key}`)
      })
    )

    it.effect("UPDATE by key, helper, join and subquery", () =>
      Effect.gen(function* () {
        const key = userOn(shard1, 1200)
        yield* both((sql) => sql`insert into users (id, name, balance) values (${key}, 'before', 10) returning id`)
        yield* both(
          (sql) => sql`insert into orders (user_id, id, total) values (${key}, 1, 5), (${key}, 2, 6) returning id`
        )
        yield* both(
          (sql) =>
            sql`update users set ${sql.update({ id: key, name: "after", country: "de" }, ["id"])} where id = ${key} returning *`
        )
        yield* both(
          (sql) =>
            sql`update users set balance = balance * 2, seen = ${new Date(1000)} where id = ${key} and name = 'after' returning *`
        )
        yield* both(
          (sql) =>
            sql`update orders o set status = u.name from users u where u.id = o.user_id and o.user_id = ${key} returning o.*`
        )
        yield* both(
          (sql) =>
            sql`update users set balance = (select sum(total) from orders where user_id = ${key}) where id = ${key} returning balance`
        )
        yield* both(
          (sql) =>
            sql`update orders set ${sql.update({ status: "paid" })} where user_id = ${key} and ${sql.in("id", [1, 2])} returning *`
        )
        yield* both((sql) => sql`update users set id = id, name = 'same' where id = ${key} returning *`)
        yield* both((sql) => sql`update users set id = ${key} where id = ${key} returning id`)
        yield* both((sql) => sql`update users set name = 'nobody' where id = ${null} returning *`)
        yield* expectInPlace("users", "orders")
      })
    )

    it.effect("DELETE by key, USING, cascading within the key", () =>
      Effect.gen(function* () {
        const key = userOn(shard2, 1300)
        yield* both((sql) => sql`insert into users (id, name) values (${key}, 'gone') returning id`)
        yield* both(
          (sql) => sql`insert into orders (user_id, id) values (${key}, 1), (${key}, 2), (${key}, 3) returning id`
        )
        yield* both(
          (sql) =>
            sql`insert into items (user_id, order_id, line, sku, quantity) values (${key}, 1, 1, 'a', 1), (${key}, 2, 1, 'b', 2) returning *`
        )
        yield* both((sql) => sql`delete from orders where user_id = ${key} and id = 1 returning *`)
        yield* both(
          (sql) =>
            sql`delete from orders o using users u where u.id = o.user_id and u.id = ${key} and o.id = 2 returning o.id`
        )
        yield* both((sql) => sql`delete from orders where user_id = any(${[key]}) returning id`)
        yield* both((sql) => sql`delete from users where id = ${key} returning *`)
        yield* expectInPlace("users", "orders", "items")
      })
    )

    it.effect("a CTE that writes, within one key", () =>
      Effect.gen(function* () {
        const key = userOn(shard3, 1400)
        yield* both(
          (sql) =>
            sql`with u as (insert into users (id, name) values (${key}, 'cte') returning id) select * from u where id = ${key}`
        )
        yield* both((sql) => sql`with gone as (delete from users where id = ${key} returning *) select name from gone`)
        yield* expectInPlace("users")
      })
    )

    it.effect("single tables are written where they live", () =>
      Effect.gen(function* () {
        yield* both((sql) => sql`insert into settings (name, value) values ('size', ${"big"}) returning *`)
        yield* both((sql) => sql`update settings set value = 'small' where name = 'size' returning *`)
        yield* both((sql) => sql`delete from settings where name = 'size' returning *`)
        expect(yield* shardsOf((sql) => sql`insert into settings (name) values ('x')`)).toEqual([shard2])
        expect(yield* shardsOf((sql) => sql`update journal set entry = 'x'`)).toEqual([shard3])
        expect((yield* placed("settings")).every(({ shard }) => shard === shard2)).toBe(true)
      })
    )

    it.effect("errors of PostgreSQL arrive typed, with its fields, from the shard that raised them", () =>
      Effect.gen(function* () {
        const key = userOn(shard1, 1500)
        yield* both((sql) => sql`insert into users (id, name) values (${key}, 'there') returning id`)
        expect(yield* failureOf((sql) => sql`insert into users (id, name) values (${key}, 'again')`)).toMatchObject({
          _tag: "StatementFailed",
          kind: "UniqueViolation",
          code: "23505",
          shard: shard1,
          table: "users",
          constraint: "users_pkey"
        })
        expect(
          yield* failureOf((sql) => sql`insert into orders (user_id, id) values (${userOn(shard1, 900_000)}, 1)`)
        ).toMatchObject({
          kind: "ForeignKeyViolation",
          code: "23503",
          shard: shard1
        })
        expect(
          yield* failureOf((sql) => sql`insert into users (id) values (${userOn(shard2, 900_000)})`)
        ).toMatchObject({
          kind: "NotNullViolation",
          code: "23502",
          shard: shard2,
          column: "name"
        })
        expect(yield* failureOf((sql) => sql`insert into users (name) values ('nobody')`)).toMatchObject({
          kind: "NotNullViolation",
          column: "id"
        })
        expect(yield* failureOf((sql) => sql`update users set balance = 1 / 0 where id = ${key}`)).toMatchObject({
          code: "22012"
        })
        yield* expectInPlace("users", "orders")
      })
    )
  })
}
