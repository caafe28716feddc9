/**
 * SELECT through the routed client, each answer compared with the oracle's.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Statement } from "@effect/sql/Statement"
import { KeyInvalid, KeyUnassigned } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import { describe, expect } from "vitest"
import { devices, userIds } from "./load.js"
import { both, failureOf, Routing, shardsOf } from "./Routing.js"
import { ownerOf, shard1, shard2, shard3, userOn } from "./schema.js"
import type { It } from "./It.js"

type Use = (sql: SqlClient) => Statement<any>

const on1 = userOn(shard1, 1)
const on2 = userOn(shard2, 1)
const on3 = userOn(shard3, 1)
const everywhere = ["shard_1", "shard_2", "shard_3"]

/** Reads of one shard: the answer, and where it came from. */
const single: Record<string, readonly [shard: string, use: Use]> = {
  "a key as a constant": [shard2, (sql) => sql.unsafe(`select * from users where id = ${on2}`)],
  "a key as a param": [shard1, (sql) => sql`select * from users where id = ${on1}`],
  "a key as text and as bigint": [
    shard1,
    (sql) => sql`select * from users where id = ${String(on1)} and id = ${BigInt(on1)}`
  ],
  "a key quoted, cast and turned around": [
    shard3,
    (sql) => sql.unsafe(`select * from users where '${on3}'::int8 = id`)
  ],
  "a hot key on its own shard": [shard3, (sql) => sql`select * from users where id = ${42}`],
  "a negative key": [ownerOf("user", -7), (sql) => sql`select * from users where id = ${-7}`],
  "a key that has no row": [ownerOf("user", 999_999), (sql) => sql`select * from users where id = ${999_999}`],
  "a join on the key": [
    shard2,
    (sql) => sql`select u.name, o.id, o.total from users u join orders o on o.user_id = u.id where u.id = ${on2}`
  ],
  "a join through a third table": [
    shard2,
    (sql) =>
      sql`select u.name, o.status, i.sku from items i join orders o on o.user_id = i.user_id and o.id = i.order_id
        join users u on u.id = o.user_id where i.user_id = ${on2}`
  ],
  "a join by comma, the key from the other table": [
    shard1,
    (sql) => sql`select o.* from users u, orders o where u.id = o.user_id and ${on1} = u.id`
  ],
  "an outer join": [
    shard3,
    (sql) => sql`select u.id, o.id as order_id from users u left join orders o on o.user_id = u.id where u.id = ${on3}`
  ],
  "a join with a reference table": [
    shard2,
    (sql) =>
      sql`select u.name, c.name as country from users u left join countries c on c.code = u.country where u.id = ${on2}`
  ],
  USING: [shard2, (sql) => sql`select * from orders join items using (user_id) where user_id = ${on2}`],
  "a subquery": [
    shard1,
    (sql) =>
      sql`select name, (select count(*) from orders o where o.user_id = u.id) as orders from users u where u.id = ${on1}`
  ],
  "EXISTS and IN": [
    shard2,
    (sql) =>
      sql`select id from users u where id = ${on2} and exists (select 1 from orders o where o.user_id = u.id)
        and id in (select user_id from orders where user_id = ${on2})`
  ],
  "a derived table": [
    shard2,
    (sql) =>
      sql`select s.n from (select user_id, count(*) as n from orders group by user_id) s where s.user_id = ${on2}`
  ],
  "a CTE": [
    shard2,
    (sql) => sql`with mine as (select * from orders where user_id = ${on2}) select count(*), sum(total) from mine`
  ],
  "two CTEs on one key": [
    shard1,
    (sql) =>
      sql`with u as (select * from users where id = ${on1}), o as (select * from orders where user_id = ${on1})
        select u.name, o.id from u left join o on true`
  ],
  "aggregates, windows, ordering and limits": [
    shard2,
    (sql) =>
      sql`select status, count(*), sum(total), avg(total), row_number() over (order by status) from orders
        where user_id = ${on2} group by status having count(*) >= 1 order by status limit 10`
  ],
  "a union on one key": [
    shard2,
    (sql) => sql`select id from users where id = ${on2} union select user_id from orders where user_id = ${on2}`
  ],
  DISTINCT: [shard1, (sql) => sql`select distinct status from orders where user_id = ${on1}`],
  "two keys of one shard": [
    shard1,
    (sql) =>
      sql`select u.id, v.id as other from users u, users v where u.id = ${on1} and v.id = ${userOn(shard1, on1 + 1)}`
  ],
  "IN with one key": [shard2, (sql) => sql`select * from users where ${sql.in("id", [on2])}`],
  "= ANY with keys of one shard": [
    shard1,
    (sql) => sql`select id from users where id = any(${[on1, userOn(shard1, on1 + 1), null]})`
  ],
  "OR of equal keys": [shard2, (sql) => sql`select id from users where id = ${on2} or id = ${on2}`],
  "a uuid key, upper case": [
    ownerOf("device", devices[2]),
    (sql) => sql`select kind, at from events where device = ${devices[2].toUpperCase()} order by at`
  ],
  "a text key": [ownerOf("slug", "straße"), (sql) => sql`select * from notes where slug = ${"straße"}`],
  "a text key, empty": [ownerOf("slug", ""), (sql) => sql`select * from notes where slug = ''`],
  "a text key, quoted": [ownerOf("slug", "O'Reilly"), (sql) => sql`select * from notes where slug = 'O''Reilly'`],
  "a composite key": [ownerOf("seat", 2, "B1"), (sql) => sql`select * from seats where hall = ${2} and name = ${"B1"}`],
  "a key of a list": [shard2, (sql) => sql`select * from shops where region = ${"us"}`],
  "a key of a range": [shard1, (sql) => sql`select * from metrics where bucket = ${99}`],
  "a key of a directory": [shard3, (sql) => sql`select * from invoices where tenant = ${"globex"}`],
  "a single table": [shard2, (sql) => sql`select * from settings where name = 'theme'`],
  "a single table beside a reference table": [shard2, (sql) => sql`select * from settings, countries`],
  "a single table beside a key of its shard": [
    shard2,
    (sql) => sql`select s.value, u.name from settings s, users u where u.id = ${on2}`
  ],
  "FOR UPDATE": [shard2, (sql) => sql`select id from users where id = ${on2} for update`],
  "a function declared pure": [shard1, (sql) => sql`select tidy(name) as name from users where id = ${on1}`]
}

/** Reads of several shards, whose rows are put together. */
const several: Record<string, readonly [shards: ReadonlyArray<string>, use: Use]> = {
  "all rows": [everywhere, (sql) => sql`select * from users`],
  "a filter": [everywhere, (sql) => sql`select id, name from users where active and balance > ${50}`],
  "a join on the key": [
    everywhere,
    (sql) => sql`select u.name, o.id, o.total from users u join orders o on o.user_id = u.id`
  ],
  "three tables on the key": [
    everywhere,
    (sql) =>
      sql`select * from users u join orders o on o.user_id = u.id join items i on i.user_id = o.user_id and i.order_id = o.id`
  ],
  "an outer join on the key": [
    everywhere,
    (sql) => sql`select u.id, o.id as o from users u left join orders o on o.user_id = u.id`
  ],
  "a reference table beside": [
    everywhere,
    (sql) => sql`select u.id, c.name from users u left join countries c on c.code = u.country`
  ],
  "EXISTS on the key": [
    everywhere,
    (sql) => sql`select id from users u where exists (select 1 from orders o where o.user_id = u.id)`
  ],
  "NOT EXISTS on the key": [
    everywhere,
    (sql) => sql`select id from users u where not exists (select 1 from orders o where o.user_id = u.id)`
  ],
  "IN, pruned": [[shard1, shard3], (sql) => sql`select id, name from users where ${sql.in("id", [on1, 42])}`],
  "IN of constants, pruned": [
    [shard1, shard2],
    (sql) => sql.unsafe(`select id from users where id in (${on1}, ${on2})`)
  ],
  "= ANY, pruned": [[shard2, shard3], (sql) => sql`select id from users where id = any(${[on2, on3, on2, null]})`],
  "OR, pruned": [[shard1, shard2], (sql) => sql`select id from users where id = ${on1} or id = ${on2}`],
  "IN and a join, pruned": [
    [shard1, shard2],
    (sql) =>
      sql`select u.id, o.id as o from users u join orders o on o.user_id = u.id where ${sql.in("u.id", [on1, on2])}`
  ],
  "a list of regions": [[shard1, shard2], (sql) => sql`select * from shops where region in ('eu', 'us')`],
  "tenants of a directory": [
    [shard2, shard3],
    (sql) => sql`select * from invoices where tenant = any(${["acme", "globex"]})`
  ],
  "a composite key, in part": [everywhere, (sql) => sql`select * from seats where hall = ${1}`]
}

/** No key can match: any shard gives the empty answer in its right form. */
const empty: Record<string, Use> = {
  "= NULL": (sql) => sql`select * from users where id = null`,
  "a NULL param": (sql) => sql`select * from users where id = ${null}`,
  "IN of NULLs": (sql) => sql`select * from users where id = any(${[null]})`,
  "a contradiction": (sql) => sql`select * from users where id = ${on1} and id = ${on2}`,
  "a constant out of range": (sql) => sql`select * from users where id = 99999999999999999999`
}

const anywhere: Record<string, Use> = {
  "a reference table": (sql) => sql`select * from countries order by code`,
  "reference tables joined": (sql) =>
    sql`select a.name, count(*) from countries a, countries b where a.code <= b.code group by a.name`,
  "no table": (sql) =>
    sql`select ${1}::int8 as one, 'x' || ${"y"}::text as text, array[1, null] as list, null as nothing`,
  VALUES: (sql) => sql`values (1, 'a'), (2, 'b')`
}

export const reads = (it: It): void => {
  describe("reads of one shard", () => {
    for (const [name, [shard, use]] of Object.entries(single)) {
      it.effect(name, () =>
        Effect.gen(function* () {
          yield* both(use)
          expect(yield* shardsOf(use)).toEqual([shard])
        })
      )
    }
  })

  describe("reads of several shards", () => {
    for (const [name, [shards, use]] of Object.entries(several)) {
      it.effect(name, () =>
        Effect.gen(function* () {
          const rows = yield* both(use)
          expect(rows.length).toBeGreaterThan(0)
          expect(yield* shardsOf(use)).toEqual(shards)
        })
      )
    }
  })

  describe("reads without a row", () => {
    for (const [name, use] of Object.entries(empty)) {
      it.effect(name, () =>
        Effect.gen(function* () {
          expect(yield* both(use)).toEqual([])
          // An aggregate over nothing is one row, not three.
          const [sql, params] = use((yield* Routing).sql).compile()
          yield* both((client) => client.unsafe(sql.replace("*", "count(*), max(id)"), params))
        })
      )
    }
  })

  describe("reads of any shard", () => {
    for (const [name, use] of Object.entries(anywhere)) {
      it.effect(name, () =>
        Effect.gen(function* () {
          yield* both(use)
          const { router, sql } = yield* Routing
          expect(yield* router.explain(use(sql))).toMatchObject({ strategy: "AnyShard", shards: everywhere })
        })
      )
    }

    it.effect("take turns", () =>
      Effect.gen(function* () {
        const { log, reached, sql } = yield* Routing
        log.length = 0
        for (let read = 0; read < 6; read++) yield* sql`select code from countries /* in turn */`
        expect([...reached("select code from countries /* in turn */")].sort()).toEqual(
          everywhere.flatMap((shard) => [shard, shard])
        )
      })
    )
  })

  it.effect("IN of nothing names no key, and finds no row", () =>
    both((sql) => sql`select * from users where ${sql.in("id", [])}`)
  )

  it.effect("finds each user on its shard, and the same rows over all", () =>
    Effect.gen(function* () {
      for (const id of userIds) {
        yield* both((sql) => sql`select * from users where id = ${id}`)
        expect(yield* shardsOf((sql) => sql`select * from users where id = ${id}`)).toEqual([ownerOf("user", id)])
      }
    })
  )

  it.effect("a value that is no key, and a key without a shard, fail by name", () =>
    Effect.gen(function* () {
      const { log } = yield* Routing
      log.length = 0
      expect(yield* failureOf((sql) => sql`select * from users where id = ${"seven"}`)).toMatchObject({
        _tag: "KeyInvalid",
        table: expect.stringContaining("users"),
        column: "id"
      })
      expect(yield* failureOf((sql) => sql`select * from users where id = any(${[1, 1.5]})`)).toBeInstanceOf(KeyInvalid)
      for (const bucket of [100, 150, 199]) {
        expect(yield* failureOf((sql) => sql`select * from metrics where bucket = ${bucket}`)).toBeInstanceOf(
          KeyUnassigned
        )
      }
      expect(yield* failureOf((sql) => sql`select * from invoices where tenant = ${"nobody"}`)).toMatchObject({
        _tag: "KeyUnassigned",
        keyspace: "tenant",
        key: ["nobody"]
      })
      expect(yield* failureOf((sql) => sql`select * from shops where region = ${"mars"}`)).toBeInstanceOf(KeyUnassigned)
      expect(log.filter(({ sql }) => /users|metrics|invoices|shops/.test(sql) && !sql.includes("pg_catalog"))).toEqual(
        []
      )
    })
  )
}
