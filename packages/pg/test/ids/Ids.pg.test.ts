/**
 * Columns that the topology generates: every row gets a value of its own before its shard is found, whatever the form of
 * the INSERT and wherever it runs; what no value can be put into is refused, and nothing is written.
 */
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as IdLayout from "@shardlayer/core/topology/IdLayout"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { cluster, codeOf, routerOf, topology } from "./world.js"

interface Row {
  readonly id: string
  readonly name: string
}

const ascending = (ids: ReadonlyArray<string>) =>
  ids.every((id, index) => index === 0 || BigInt(id) > BigInt(ids[index - 1] ?? 0))

const make = Effect.gen(function* () {
  const servers = yield* cluster
  return { servers, ...(yield* routerOf(servers)) }
})

describe("generated columns", () => {
  it.scopedLive(
    "are filled in for each row of every form of INSERT, and each row goes where its key says",
    () =>
      Effect.gen(function* () {
        const { router, servers, sql } = yield* make
        const names = Array.from({ length: 30 }, (_, index) => `n${index}`)
        const rows =
          yield* sql<Row>`insert into users ${sql.insert(names.map((name) => ({ name })))} returning id, name`
        expect(rows.map(({ name }) => name)).toEqual(names)
        expect(ascending(rows.map(({ id }) => id))).toBe(true)
        for (const { id } of servers.shards) {
          for (const row of yield* servers.query<Row>(id, "select id, name from users")) {
            expect(yield* router.locate(topology.tables.users, row.id)).toBe(id)
          }
        }
        expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 30 }])

        // The same text twice gives new values; so do DEFAULT, DEFAULT VALUES, an alias, comments, and conflicts.
        const forms = [
          "insert into users (name) values ('x') returning id",
          "insert into users (name) values ('x') returning id",
          "insert into users (name) values ('a'), ('b'), ('c'), ('d') returning id",
          "insert into users (name, id) values ('a', default), (default, default), ('c', default) returning id",
          "insert into users default values returning id",
          "insert into users as u default values returning u.id",
          "insert into users values (default, 'p'), (default, 'q') returning id",
          "insert into public.users as u (made, name) overriding system value values (now(), 'values (1'), (now(), ')') returning u.id",
          `insert /* (a, b) values */ into "users" /* ä𝄞 */ ( -- default
             "name" ) values (upper($$a, default$$)), (coalesce(null, 'ä𝄞')) on conflict (id) do nothing returning id`,
          "insert into users (name) values ('x'), ('y') on conflict (id) do update set name = excluded.name returning id",
          "with w as (select 'values' as v) insert into users (name) values ('w') returning id",
          "with i as (insert into users (name) values ('i'), ('j'), ('k') returning id) select * from i",
          "with i as (insert into users (id, name) values (default, 'i') returning id) select id from i order by id"
        ]
        const seen = new Set<string>(rows.map(({ id }) => id))
        for (const form of forms) {
          const given = yield* sql.unsafe<Row>(form)
          expect([form, given.length > 0 && given.every(({ id }) => !seen.has(id))]).toEqual([form, true])
          for (const { id } of given) seen.add(id)
        }
        // A value that is given stays; DEFAULT beside it is filled in.
        const mixed =
          yield* sql<Row>`insert into users (id, name) values (${7}, 'seven'), (default, ${"new"}), (8, 'eight') returning id, name`
        expect(mixed.map(({ name }) => name)).toEqual(["seven", "new", "eight"])
        expect([mixed[0]?.id, mixed[2]?.id]).toEqual(["7", "8"])
        expect(yield* sql`select count(distinct id)::int as n from users`).toEqual([{ n: seen.size + 3 }])
        // As in the statement: parameters keep their types, whatever stands beside them.
        yield* sql`insert into users (made, name) values (${"2020-01-01"}, ${"typed"}), (${null}, ${"untyped"})`
        expect(yield* sql`select made::date::text as made from users where name = 'typed'`).toEqual([
          { made: "2020-01-01" }
        ])
        expect(yield* codeOf(sql.unsafe("insert into users (name) values ($1)", ["a", "b"]))).toBe("08P01")
        expect(yield* codeOf(sql.unsafe("insert into users (name) values ($1), ($2)", ["a"]))).toBe("08P01")
      }),
    60_000
  )

  it.scopedLive("come from every generator, as key and beside it", () =>
    Effect.gen(function* () {
      const { router, servers, sql } = yield* make
      const now = Date.now()
      const [user] = yield* sql<Row>`insert into users (name) values ('a') returning id`
      const { node, tick } = IdLayout.parse(IdLayout.snowflake, user?.id ?? "0")
      expect(Math.abs(IdLayout.millisOf(IdLayout.snowflake, tick) - now)).toBeLessThan(60_000)
      expect(yield* servers.query("meta", "select node, family from shardlayer.id_node")).toEqual([
        { node, family: "snowflake" }
      ])

      const safe = yield* sql<Row>`insert into safe (name) values ('a'), ('b'), ('c'), ('d') returning id`
      expect(safe.every(({ id }) => Number.isSafeInteger(Number(id)))).toBe(true)
      expect(ascending(safe.map(({ id }) => id))).toBe(true)

      const docs = yield* sql<Row>`insert into docs values ('a'), ('b'), ('c'), ('d'), ('e') returning id`
      expect(docs.map(({ id }) => id)).toEqual(docs.map(({ id }) => id).sort())
      expect(
        docs.every(({ id }) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id))
      ).toBe(true)
      // The server reads the same time in them.
      const [moment] = yield* servers.query<{ at: Date }>(
        "meta",
        `select uuid_extract_timestamp('${docs[0]?.id}') as at`
      )
      expect(Math.abs(Number(moment?.at) - now)).toBeLessThan(60_000)

      const counted =
        yield* sql<Row>`insert into counted (name) values ('a'), ('b'), ('c'), ('d'), ('e'), ('f'), ('g') returning id`
      expect(counted.map(({ id }) => id)).toEqual(["100", "101", "102", "103", "104", "105", "106"])
      expect(yield* router.nextId(topology.tables.counted)).toBe("107")

      // Beside the key: on one shard and on several, two columns at once, over a serial default and a volatile one.
      yield* sql`insert into orders (user_id, item) values (1, 'one')`
      const orders = yield* sql<{
        id: number
        item: string
        token: string
      }>`insert into orders (item, user_id) values ('b', 2), ('c', 3), ('d', 4), ('e', 5), ('f', 2) returning id, item, token`
      expect(orders.map(({ id, item }) => [id, item])).toEqual([
        [2, "b"],
        [3, "c"],
        [4, "d"],
        [5, "e"],
        [6, "f"]
      ])
      expect(orders.map(({ token }) => token)).toEqual(orders.map(({ token }) => token).sort())
      expect(yield* sql`insert into orders (user_id, id) values (9, 77) returning id`).toEqual([{ id: 77 }])

      // All copies of a reference table have the same.
      yield* sql`insert into countries (name) values ('x'), ('y')`
      for (const { id } of servers.shards) {
        expect(yield* servers.query(id, "select id, name from countries order by id")).toEqual([
          { id: 1, name: "x" },
          { id: 2, name: "y" }
        ])
      }
    })
  )

  it.scopedLive("are part of transactions, streams, raw answers and pins, and a program can draw them itself", () =>
    Effect.gen(function* () {
      const { router, servers, sql } = yield* make
      const made = yield* sql.withTransaction(
        Effect.gen(function* () {
          const [user] = yield* sql<Row>`insert into users (name) values ('parent') returning id`
          yield* sql`insert into orders (user_id, item) values (${user?.id ?? ""}, 'child')`
          const id = yield* router.nextId(topology.tables.users)
          yield* sql`insert into users (id, name) values (${id}, 'drawn')`
          yield* sql`insert into orders ${sql.insert([
            { user_id: id, item: "a" },
            { user_id: id, item: "b" }
          ])}`
          return id
        })
      )
      expect(yield* sql`select count(*)::int as n from orders o join users u on u.id = o.user_id`).toEqual([{ n: 3 }])
      expect(yield* sql`select name from users where id = ${made}`).toEqual([{ name: "drawn" }])
      const undone = sql.withTransaction(
        Effect.zipRight(sql`insert into users (name) values ('no')`, Effect.fail("no"))
      )
      expect(yield* Effect.flip(undone)).toBe("no")
      expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 2 }])

      const streamed = yield* Stream.runCollect(sql`insert into users (name) values ('s'), ('t') returning id`.stream)
      expect(new Set(Chunk.toReadonlyArray(streamed).map((row) => JSON.stringify(row))).size).toBe(2)
      expect((yield* sql`insert into users (name) values ('v') returning id`.values).length).toBe(1)
      expect(((yield* sql`insert into users (name) values ('r'), ('q')`.raw) as { rowCount: number }).rowCount).toBe(2)

      const ids = yield* router.nextIds("users", 10_000)
      expect(new Set(ids).size).toBe(10_000)
      expect(ascending(ids)).toBe(true)
      expect((yield* router.nextIds("orders", 25, "id")).length).toBe(25)
      expect(yield* codeOf(router.nextId("orders"))).toBe("OperationRefused")
      expect(yield* codeOf(router.nextId("plain"))).toBe("OperationRefused")
      expect(yield* codeOf(router.nextId("nothing"))).toBe("OperationRefused")

      // Pinned: a column beside the key is filled in, a key may belong anywhere.
      const shard = yield* router.locate(topology.tables.orders, 5)
      const onShard = <A, E>(effect: Effect.Effect<A, E>) => router.onShard(effect, shard)
      const [order] = yield* onShard(sql<{ id: number }>`insert into orders (user_id) values (5) returning id`)
      const [other] = yield* onShard(
        sql.withTransaction(sql<{ id: number }>`insert into orders (user_id) values (${5}) returning id`)
      )
      expect(Number(other?.id)).toBeGreaterThan(Number(order?.id))
      expect(yield* codeOf(onShard(sql`insert into users (name) values ('x')`))).toBe("SL7005")
      expect(yield* codeOf(onShard(sql`insert into users (id, name) values (default, 'x')`))).toBe("SL7005")
      const reserved = onShard(
        Effect.scoped(
          Effect.flatMap(sql.reserve, (connection) =>
            connection.execute("insert into orders (user_id) values (5) returning id", [], undefined)
          )
        )
      )
      expect(Number((yield* reserved)[0]?.id)).toBeGreaterThan(Number(other?.id))
      const list = "insert into orders (user_id, id) values (5, 900); insert into orders (user_id) values (5)"
      expect(yield* codeOf(onShard(sql.unsafe(list)))).toBe("SL3005")
      expect(yield* codeOf(onShard(sql.unsafe("copy orders (user_id, item) from stdin")))).toBe("SL3005")
      // Said by name, the server's own defaults apply.
      yield* ShardRouter.unchecked(onShard(sql`insert into orders (user_id, item) values (5, 'unchecked')`))
      const forKey = router.forKey(sql`insert into orders (user_id) values (5) returning id`, topology.tables.orders, 5)
      expect((yield* forKey).length).toBe(1)
      expect(yield* servers.query(shard, "select count(*)::int as n from orders where user_id = 5")).toEqual([{ n: 5 }])
      const explained = yield* router.explain(sql`insert into users (name) values ('a'), ('b'), ('c'), ('d')`, {
        format: "text"
      })
      expect(explained).toContain("users")
    })
  )

  it.scopedLive("refuse, before any shard is touched, what no value can be put into, and say what to do", () =>
    Effect.gen(function* () {
      const { sql } = yield* make
      const refused = [
        "with i as (insert into orders (user_id, id) select 1, n from generate_series(1, 2) as n returning id) select * from i",
        "update orders set id = default where user_id = 1",
        "update orders set (item, id) = ('a', default) where user_id = 1",
        "insert into orders (user_id, id, token) values (1, 1, gen_random_uuid()) on conflict (user_id, id) do update set id = default",
        "merge into orders using countries c on false when not matched then insert (user_id, item) values (1, 'x')",
        "merge into orders using countries c on false when not matched then insert (user_id, id, token) values (1, default, null)"
      ]
      for (const text of refused) expect([text, yield* codeOf(sql.unsafe(text))]).toEqual([text, "SL3005"])
      expect(yield* codeOf(sql.unsafe("insert into named (name) values ('x')"))).toBe("SL2003")
      // Given by the query, the values are the program's.
      yield* sql`insert into orders (user_id, id, token) select 1, 5, null from countries where false`
      const error = yield* Effect.flip(sql`with i as (insert into users (name) select 'x') select 1`)
      expect(String(error.message)).toContain("ShardRouter.nextId")
      const serial = yield* Effect.flip(sql`insert into plain (name) values ('x')`)
      expect(String(serial.message)).toContain("generate: {")
      const next = yield* Effect.flip(sql`select nextval('plain_id_seq'), name from plain`)
      expect(String(next.message)).toContain("Id.sequence")
      for (const table of ["users", "orders", "countries", "plain"]) {
        expect([table, yield* sql.unsafe(`select count(*)::int as n from ${table}`)]).toEqual([table, [{ n: 0 }]])
      }
    })
  )
})
