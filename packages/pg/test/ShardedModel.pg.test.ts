/**
 * Models over three shards beside one PostgreSQL with the same rows: what the builder answers is what hand-written SQL
 * answers there.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Model from "@effect/sql/Model"
import { SqlError } from "@effect/sql/SqlError"
import { ShardRouter } from "@shardlayer/core/ShardRouter"
import * as ShardContext from "@shardlayer/core/ShardContext"
import * as ShardedModel from "@shardlayer/core/ShardedModel"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as BigDecimal from "effect/BigDecimal"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { compared, make as besideOne, type World } from "./besideOne.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    k: Keyspace.hash({ key: ["int8"] }),
    pair: Keyspace.hash({ key: ["int4", "text"] })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "k" }),
    orders: Table.sharded({ key: "user_id", keyspace: "k" }),
    seats: Table.sharded({ key: ["hall", "name"], keyspace: "pair" }),
    notes: Table.sharded({ key: "id", keyspace: "k", generate: { id: Id.sequence({ block: 100 }) } })
  }
})

const schema = `
create table users (
  id int8 primary key, name text collate "de-x-icu", nick text collate "C", active boolean not null, age int,
  balance numeric, big int8, made timestamptz, tags text[], doc jsonb, score float8
);
create table orders (
  user_id int8, no int, item text not null default 'none', price numeric(10, 2), updated timestamptz,
  primary key (user_id, no)
);
create table seats (hall int, name text, row_no int not null, taken boolean default false, primary key (hall, name));
create table notes (id bigserial primary key, body text not null, pinned boolean not null default false);
`

class User extends Model.Class<User>("User")({
  id: Schema.BigInt,
  name: Schema.NullOr(Schema.String),
  nick: Model.FieldOption(Schema.String),
  active: Schema.Boolean,
  age: Model.FieldOption(Schema.Int),
  balance: Schema.NullOr(Schema.BigDecimal),
  big: Schema.NullOr(Schema.BigInt),
  made: Schema.NullOr(Schema.DateFromSelf),
  tags: Schema.NullOr(Schema.Array(Schema.String)),
  doc: Schema.NullOr(Schema.Unknown),
  score: Schema.NullOr(Schema.Number)
}) {}

class Order extends Model.Class<Order>("Order")({
  userId: Schema.propertySignature(Schema.BigInt).pipe(Schema.fromKey("user_id")),
  no: Schema.Int,
  item: Schema.String,
  price: Schema.NullOr(Schema.BigDecimal),
  updated: Model.DateTimeUpdateFromDate
}) {}

class Seat extends Model.Class<Seat>("Seat")({
  hall: Schema.Int,
  name: Schema.String,
  row_no: Schema.Int,
  taken: Schema.NullOr(Schema.Boolean)
}) {}

class Note extends Model.Class<Note>("Note")({
  id: Model.Generated(Schema.BigInt),
  body: Schema.String,
  pinned: Model.Field({ select: Schema.Boolean, insert: Schema.optional(Schema.Boolean), update: Schema.Boolean })
}) {}

const names = ["Émile", "emile", "Zoë", "anna", "Anna", "ähm", "Bob", null, "bob", "_x", "50% off", "ärger"]

const rows = Array.from({ length: 120 }, (_, index) => {
  const name = names[index % names.length] ?? null
  return {
    id: index,
    name,
    nick: index % 5 === 0 ? null : `${name ?? "n"}${index % 4}`,
    active: index % 3 === 0,
    age: index % 7 === 0 ? null : index % 11,
    balance: index % 6 === 0 ? null : `${index * 12345678901234}.${100 + index}5000`,
    big: index % 8 === 0 ? null : String(9007199254740993n + BigInt(index % 9)),
    made: index % 10 === 0 ? null : `2026-01-02 03:04:05.00000${index % 3}+00`,
    tags: index % 4 === 0 ? null : ["a", `b ${index % 2}`],
    doc: { n: index % 3 },
    score: index % 9 === 0 ? null : index / 7
  }
})

const make = Effect.gen(function* () {
  const world = yield* besideOne({
    topology,
    schema,
    tables: {
      users: "1",
      orders: { columns: "user_id, no, item, price", order: "1, 2" },
      seats: "1, 2",
      notes: "1"
    }
  })
  const values = JSON.stringify(rows)
  const sql = `insert into users select * from jsonb_populate_recordset(null::users, $1::jsonb)`
  yield* world.cluster.query("oracle", sql, [values])
  yield* world.sql`insert into users ${world.sql.insert(rows.map((row) => ({ ...row, doc: JSON.stringify(row.doc) })))}`
  yield* compared(world)
  const provided = Effect.provideService(ShardRouter, world.router)
  const Users = yield* provided(ShardedModel.make(User, { table: topology.tables.users, key: "id" }))
  const Orders = yield* provided(ShardedModel.make(Order, { table: topology.tables.orders, key: "userId", id: "no" }))
  const Seats = yield* provided(ShardedModel.make(Seat, { table: topology.tables.seats, key: ["name", "hall"] }))
  const Notes = yield* provided(ShardedModel.make(Note, { table: topology.tables.notes, key: "id" }))
  return { ...world, Users, Orders, Seats, Notes }
})

const { between, eq, gt, gte, ilike, isNotNull, isNull, like, lt, lte, ne, notIlike, notIn, notLike } = ShardedModel

/** The ids that SQL finds on the one server. */
const idsOn = ({ cluster }: World, where: string, order = "id"): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(Effect.orDie(cluster.query("oracle", `select id from users where ${where} order by ${order}`)), (found) =>
    (found as ReadonlyArray<{ readonly id: string }>).map(({ id }) => String(id))
  )

const idsOf = (found: ReadonlyArray<User>) => found.map(({ id }) => String(id))

describe("conditions", () => {
  it.scopedLive("each operator finds what it finds on one PostgreSQL", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { Users, sql } = world
      const { and, not, or } = Users
      const cases = [
        [Users.where({}), "true"],
        [Users.where({ active: true }), "active"],
        [Users.where({ active: eq(false) }), "not active"],
        [Users.where({ active: ne(false) }), "active <> false"],
        [Users.where({ age: 3 }), "age = 3"],
        [Users.where({ age: Option.some(3) }), "age = 3"],
        [Users.where({ age: Option.none() }), "age is null"],
        [Users.where({ age: ne(3) }), "age <> 3"],
        [Users.where({ name: null }), "name is null"],
        [Users.where({ name: ne(null as never) }), "name is not null"],
        [Users.where({ age: gt(7) }), "age > 7"],
        [Users.where({ age: gte(7) }), "age >= 7"],
        [Users.where({ age: lt(3) }), "age < 3"],
        [Users.where({ age: lte(3) }), "age <= 3"],
        [Users.where({ age: between(3, 5) }), "age between 3 and 5"],
        [Users.where({ age: isNull }), "age is null"],
        [Users.where({ age: isNotNull }), "age is not null"],
        [Users.where({ age: ShardedModel.in([1, 2, 9]) }), "age in (1, 2, 9)"],
        [Users.where({ age: ShardedModel.in([]) }), "false"],
        [Users.where({ age: notIn([]) }), "true"],
        [Users.where({ age: notIn([1, 2]) }), "age not in (1, 2)"],
        [Users.where({ id: ShardedModel.in([3n, 4n, 5n, 99n]) }), "id in (3, 4, 5, 99)"],
        [Users.where({ name: ShardedModel.in(["Anna", "anna", "none"]) }), "name in ('Anna', 'anna')"],
        [Users.where({ name: like("%nn_") }), "name like '%nn_'"],
        [Users.where({ name: notLike("A%") }), "name not like 'A%'"],
        [Users.where({ name: ilike("a%") }), "name ilike 'a%'"],
        [Users.where({ name: notIlike("%B%") }), "name not ilike '%B%'"],
        [Users.where({ name: like("50\\% o%") }), "name like '50\\% o%'"],
        [Users.where({ nick: like("Zo%") }), "nick like 'Zo%'"],
        [Users.where({ name: gt("bob") }), "name > 'bob'"],
        [Users.where({ nick: gt("b") }), "nick > 'b'"],
        [Users.where({ big: 9007199254740995n }), "big = 9007199254740995"],
        [Users.where({ big: gt(9007199254740994n) }), "big > 9007199254740994"],
        [Users.where({ balance: gt(BigDecimal.unsafeFromString("900000000000000.5")) }), "balance > 900000000000000.5"],
        [
          Users.where({ balance: BigDecimal.unsafeFromString("86419752308638.1075") }),
          "balance = 86419752308638.1075000"
        ],
        [Users.where({ made: lt(new Date("2026-01-02T03:04:05.001Z")) }), "made < '2026-01-02 03:04:05.001+00'"],
        [Users.where({ tags: ["a", "b 1"] }), "tags = '{a,b 1}'"],
        [Users.where({ tags: ShardedModel.in([["a", "b 0"], ["x"]]) }), "tags in ('{a,b 0}', '{x}')"],
        [Users.where({ doc: { n: 1 } }), `doc = '{"n": 1}'`],
        [Users.where({ score: gt(3.5) }), "score > 3.5"],
        [Users.where({ active: true, age: gt(3), name: isNotNull }), "active and age > 3 and name is not null"],
        [Users.where({ active: true }).where({ age: gt(3) }), "active and age > 3"],
        [Users.where(or({ age: 1 }, { name: "Bob" })), "age = 1 or name = 'Bob'"],
        [Users.where({ active: true }).where(or({ age: 1 }, { name: "Bob" })), "active and (age = 1 or name = 'Bob')"],
        [Users.where(or()), "false"],
        [Users.where(and()), "true"],
        [Users.where(not({ age: 3 })), "not (age = 3)"],
        [Users.where(not({ age: 3, active: true })), "not (age = 3 and active)"],
        [
          Users.where(not(or({ age: gt(3) }, and({ active: true }, { name: like("%b") })))),
          "not (age > 3 or (active and name like '%b'))"
        ],
        [
          Users.where(sql`length(name) = ${4} or id < ${3}`).where({ active: true }),
          "(length(name) = 4 or id < 3) and active"
        ],
        [Users.where(or({ id: 1n }, sql`age = ${2}`)), "id = 1 or age = 2"],
        [
          Users.where(or({ id: 1n }, { id: ShardedModel.in([7n, 8n]), active: false })),
          "id = 1 or (id in (7, 8) and not active)"
        ]
      ] as const
      for (const [query, where] of cases) {
        const expected = yield* idsOn(world, where)
        expect([where, idsOf(yield* query.orderBy("id").scatter().all)]).toEqual([where, expected])
        expect([where, yield* query.scatter().count]).toEqual([where, expected.length])
        expect([where, yield* query.scatter().exists]).toEqual([where, expected.length > 0])
      }
    })
  )
})

interface Pageable {
  readonly paginate: (options: ShardedModel.PageOptions) => Effect.Effect<ShardedModel.Page<User>, any>
}

/** All pages, one after another, and then back to the first. */
const pagesOf = (query: Pageable, size: number) =>
  Effect.gen(function* () {
    const pages: Array<ReadonlyArray<string>> = []
    let page = yield* query.paginate({ size })
    expect(page.previous).toEqual(Option.none())
    for (;;) {
      pages.push(idsOf(page.items))
      expect(page.items.length).toBeLessThanOrEqual(size)
      if (Option.isNone(page.next)) break
      expect(page.items.length).toBe(size)
      page = yield* query.paginate({ size, after: page.next.value })
    }
    for (const ahead of pages.slice(0, -1).toReversed()) {
      page = yield* query.paginate({ size, before: Option.getOrThrow(page.previous) })
      expect(idsOf(page.items)).toEqual(ahead)
      expect(Option.isSome(page.next)).toBe(true)
    }
    expect(page.previous).toEqual(Option.none())
    return pages.flat()
  })

describe("orders", () => {
  it.scopedLive(
    "sort, cut out and page as one PostgreSQL, under every collation, with NULLs, ties and both directions",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const all = world.Users.scatter()
        const orders = [
          [all.orderBy("id"), "id"],
          [all.orderBy("id", "desc"), "id desc"],
          [all.orderBy("name"), "name, id"],
          [all.orderBy("name", "desc"), "name desc, id desc"],
          [all.orderBy("name", { nulls: "first" }), "name nulls first, id"],
          [all.orderBy("nick"), "nick, id"],
          [all.orderBy("nick", { direction: "desc", nulls: "last" }), "nick desc nulls last, id desc"],
          [
            all.orderBy("active", "desc").orderBy("age").orderBy("name", "desc"),
            "active desc, age, name desc, id desc"
          ],
          [all.orderBy("age", { nulls: "first" }).orderBy("id", "desc"), "age nulls first, id desc"],
          [all.orderBy("made"), "made, id"],
          [all.orderBy("made", "desc").orderBy("score"), "made desc, score, id"],
          [all.orderBy("balance"), "balance, id"],
          [all.orderBy("big", "desc").orderBy("age"), "big desc, age, id"],
          [all.where({ active: true }).orderBy("tags").orderBy("doc", "desc"), "tags, doc desc, id desc", "active"],
          [all.orderBy(world.sql`lower(name)`), "lower(name), id"],
          [
            all.orderBy(world.sql`age % ${3}`, { direction: "desc", nulls: "last" }).orderBy("name"),
            "age % 3 desc nulls last, name, id"
          ],
          [all.orderBy(world.sql`balance / 2`, "desc"), "balance / 2 desc, id desc"]
        ] as const
        for (const [query, order, where = "true"] of orders) {
          const expected = yield* idsOn(world, where, order)
          expect([order, yield* pagesOf(query, 7)]).toEqual([order, expected])
          expect([order, idsOf(yield* query.limit(9).offset(5).all)]).toEqual([order, expected.slice(5, 14)])
          expect([order, Option.map(yield* query.first, ({ id }) => String(id))]).toEqual([
            order,
            Option.some(expected[0])
          ])
        }
        // Rows that come between two pages.
        const one = yield* all.orderBy("age").paginate({ size: 50 })
        yield* world.sql`insert into users (id, active, age) values (1000, false, 0), (1001, false, 10)`
        const two = yield* all.orderBy("age").paginate({ size: 100, after: Option.getOrThrow(one.next) })
        const seen = [...idsOf(one.items), ...idsOf(two.items)]
        expect(new Set(seen).size).toBe(seen.length)
        expect(seen.filter((id) => Number(id) >= 1000)).toEqual(["1001"])
        const wrong = yield* Effect.flip(all.orderBy("name").paginate({ size: 5, after: Option.getOrThrow(one.next) }))
        expect(wrong._tag).toBe("CursorInvalid")
        expect((yield* Effect.flip(all.paginate({ size: 5, after: "!" })))._tag).toBe("CursorInvalid")
        const byThree = all.orderBy(world.sql`age % ${3}`)
        const three = Option.getOrThrow((yield* byThree.paginate({ size: 5 })).next)
        const byFour = all.orderBy(world.sql`age % ${4}`)
        expect((yield* Effect.flip(byFour.paginate({ size: 5, before: three })))._tag).toBe("CursorInvalid")
        // Nothing ahead of the first row any more.
        const [first, second] = (yield* all.orderBy("id").limit(2).all).map(({ id }) => id)
        const behind = yield* all
          .orderBy("id")
          .paginate({ size: 1, after: Option.getOrThrow((yield* all.orderBy("id").paginate({ size: 1 })).next) })
        expect(behind.items.map(({ id }) => id)).toEqual([second])
        expect(yield* all.where({ id: first! }).deleteAll).toBe(1)
        yield* world.cluster.query("oracle", "delete from users where id = $1", [String(first)])
        expect(yield* all.orderBy("id").paginate({ size: 1, before: Option.getOrThrow(behind.previous) })).toEqual({
          items: [],
          next: Option.none(),
          previous: Option.none()
        })
      })
  )

  it.scopedLive("what is added up is what one PostgreSQL adds up, and streams give every row", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { Users } = world
      const oracle = (sql: string) =>
        Effect.map(
          Effect.orDie(world.cluster.query("oracle", sql)),
          (found) => found as ReadonlyArray<Record<string, any>>
        )
      const [totals] = yield* oracle(
        `select sum(balance)::text b, avg(age)::text a, sum(big)::text g, min(name) n, max(nick) k, min(balance)::text mb, sum(age)::text s from users where active`
      )
      const active = Users.where({ active: true }).scatter()
      const text = Option.map(BigDecimal.format)
      const decimal = (value: string | null) =>
        value === null ? Option.none() : Option.some(BigDecimal.format(BigDecimal.unsafeFromString(value)))
      expect(text(yield* active.sum("balance"))).toEqual(decimal(totals!.b))
      expect(text(yield* active.avg("age"))).toEqual(decimal(totals!.a))
      expect(text(yield* active.sum("big"))).toEqual(decimal(totals!.g))
      expect(yield* active.sum("age", Schema.NumberFromString)).toEqual(Option.some(Number(totals!.s)))
      expect(yield* active.min("name")).toEqual(Option.some(totals!.n))
      expect(yield* active.max("nick")).toEqual(Option.some(totals!.k))
      expect(text(yield* active.min("balance"))).toEqual(decimal(totals!.mb))
      const none = Users.where({ age: gt(1000) }).scatter()
      expect(yield* none.sum("age")).toEqual(Option.none())
      expect(yield* none.max("name")).toEqual(Option.none())
      expect(yield* none.first).toEqual(Option.none())
      expect(yield* none.all).toEqual([])
      // Of rows that were counted out.
      const cut = active.orderBy("age").limit(10)
      const [few] = yield* oracle(
        `select count(*) n, sum(age)::text s from (select * from users where active order by age, id limit 10) t`
      )
      expect(yield* cut.count).toBe(Number(few!.n))
      expect(text(yield* cut.sum("age"))).toEqual(decimal(few!.s))
      expect(yield* active.orderBy("id").offset(1000).exists).toBe(false)

      const grouped = yield* Users.scatter().groupBy("age", "active").count
      const expected = yield* oracle("select age, active, count(*) from users group by 1, 2")
      const shown = (group: { age: unknown; active: unknown; count: unknown }) =>
        `${Option.isOption(group.age) ? String(Option.getOrNull(group.age)) : String(group.age)} ${String(group.active)} ${String(group.count)}`
      expect(grouped.map(shown).sort()).toEqual(expected.map((row) => shown(row as never)).sort())
      const top = yield* Users.where({ name: isNotNull })
        .scatter()
        .groupBy("name")
        .aggregate({ users: ShardedModel.count, total: ShardedModel.sum("balance"), oldest: ShardedModel.max("age") })
        .orderBy("total", "desc")
        .limit(3).all
      const topOn = yield* oracle(
        "select name, count(*) users, sum(balance)::text total, max(age) oldest from users where name is not null group by name order by sum(balance) desc, name limit 3"
      )
      expect(top.map(({ name, oldest, total, users }) => [name, users, text(total), oldest])).toEqual(
        topOn.map(({ name, oldest, total, users }) => [
          name,
          Number(users),
          decimal(total),
          Option.fromNullable(oldest)
        ])
      )

      const byName = Users.scatter()
        .groupBy("name")
        .aggregate({ users: ShardedModel.count, total: ShardedModel.sum("balance"), oldest: ShardedModel.max("age") })
      const havings = [
        [byName.having({ users: 10 }), "count(*) = 10"],
        [byName.having({ users: gt(10), oldest: gte(10) }), "count(*) > 10 and max(age) >= 10"],
        [
          byName.having({ total: gt(BigDecimal.unsafeFromString("5000000000000000.25")) }).having({ users: ne(20) }),
          "sum(balance) > 5000000000000000.25 and count(*) <> 20"
        ],
        [byName.having({ total: between<bigint>(0n, 10n ** 16n) }), "sum(balance) between 0 and 10000000000000000"],
        [byName.having({ total: isNull }), "sum(balance) is null"],
        [byName.having({ oldest: Option.none() }), "max(age) is null"],
        [byName.having({ oldest: ShardedModel.in([9, 10]) }), "max(age) in (9, 10)"],
        [byName.having(world.sql`min(age) < ${1} or name is null`), "min(age) < 1 or name is null"],
        [byName.having({ users: lt(0) }), "false"],
        [byName.having({}), "true"]
      ] as const
      for (const [query, condition] of havings) {
        const found = yield* query.orderBy(world.sql`min(id)`, "desc").all
        const expectedOf = yield* oracle(
          `select name, count(*) users from users group by name having ${condition} order by min(id) desc`
        )
        const sides = expectedOf.map(({ name, users }) => [name, Number(users)])
        expect([condition, found.map(({ name, users }) => [name, users])]).toEqual([condition, sides])
      }

      const streamed = yield* Stream.runCollect(Users.scatter().orderBy("name").stream)
      expect(idsOf(Chunk.toReadonlyArray(streamed)).length).toBe(rows.length)
      const taken = yield* Stream.runCollect(Stream.take(Users.scatter().orderBy("id").stream, 5))
      expect(idsOf(Chunk.toReadonlyArray(taken))).toEqual(["0", "1", "2", "3", "4"])
      const pinned = yield* Stream.runCollect(Users.onShard("shard_1").orderBy("id").stream)
      expect(idsOf(Chunk.toReadonlyArray(pinned))).toEqual(idsOf(yield* Users.onShard("shard_1").orderBy("id").all))
    })
  )
})

describe("places", () => {
  it.scopedLive("one shard, one key, all shards whatever is around", () =>
    Effect.gen(function* () {
      const { Orders, Users, router } = yield* make
      const counts = yield* Effect.forEach(["shard_1", "shard_2", "shard_3"], (shard) => Users.onShard(shard).count)
      expect(counts.every((count) => count > 0 && count < rows.length)).toBe(true)
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(rows.length)
      expect(yield* Users.onAllShards.count).toBe(rows.length)
      expect(yield* router.onShard(Users.onAllShards.count, "shard_1")).toBe(rows.length)
      expect(yield* router.onShard(Users.scatter().count, "shard_1")).toBe(counts[0])
      const locked = yield* Effect.flip(router.onShard(ShardContext.locked(Users.onAllShards.count), "shard_1"))
      expect(locked instanceof SqlError && (locked.cause as { _tag: string })._tag).toBe("ShardLocked")
      const unknown = yield* Effect.flip(Users.onShard("nowhere").count)
      expect(unknown instanceof SqlError && (unknown.cause as { _tag: string })._tag).toBe("UnknownShard")
      expect(idsOf(yield* Users.forKey(7n).all)).toEqual(["7"])
      expect(yield* Users.forKey(7n).where({ age: isNull }).count).toBe(1)
      yield* Orders.insertMany([
        Order.insert.make({ userId: 7n, no: 1, item: "tea", price: null }),
        Order.insert.make({ userId: 7n, no: 2, item: "pot", price: null }),
        Order.insert.make({ userId: 8n, no: 1, item: "tea", price: null })
      ])
      expect((yield* Orders.forKey(7n).orderBy("no").all).map(({ item }) => item)).toEqual(["tea", "pot"])
      expect(yield* Orders.where({ userId: 7n, item: "tea" }).count).toBe(1)
      const foreign = yield* Effect.flip(
        Orders.forKey(7n).where(router.client`exists (select from orders o where o.user_id = 8)`).all
      )
      expect(foreign instanceof SqlError && (foreign.cause as { _tag: string })._tag).toBe("KeyNotPinned")
    })
  )
})

describe("rows", () => {
  it.scopedLive("are stored, found, changed, moved and deleted", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { Notes, Orders, Seats, router, sql } = world
      // Ids from the topology, defaults from the server.
      const note = yield* Notes.insert({ body: "first" })
      expect([note instanceof Note, note.pinned, typeof note.id]).toEqual([true, false, "bigint"])
      const many = yield* Notes.insertMany(
        Array.from({ length: 1000 }, (_, index) =>
          index % 2 === 0 ? { body: `b${index}`, pinned: true } : { body: `b${index}` }
        )
      )
      expect(many.map(({ body }) => body)).toEqual(Array.from({ length: 1000 }, (_, index) => `b${index}`))
      expect(many.filter(({ pinned }) => pinned).length).toBe(500)
      expect(new Set(many.map(({ id }) => id)).size).toBe(1000)
      expect(yield* Notes.onAllShards.count).toBe(1001)
      expect(
        (yield* Effect.forEach(["shard_1", "shard_2", "shard_3"], (id) => Notes.onShard(id).count)).every(
          (count) => count > 200
        )
      ).toBe(true)
      expect(yield* Notes.insertMany([])).toEqual([])
      expect(yield* Notes.findById(note.id)).toEqual(Option.some(note))
      expect(yield* Notes.findById(-1n)).toEqual(Option.none())
      const changed = yield* Notes.update({ ...note, body: "changed" })
      expect([changed.id, changed.body]).toEqual([note.id, "changed"])
      const gone = yield* Effect.flip(Notes.update({ ...note, id: -1n }))
      expect(gone._tag).toBe("RowNotFound")
      expect((yield* Effect.flip(Notes.getById(-1n)))._tag).toBe("RowNotFound")
      expect([yield* Notes.delete(note.id), yield* Notes.delete(note.id)]).toEqual([true, false])

      // The key in another order than the table's, and of two types.
      const seat = yield* Seats.insert({ hall: 1, name: "a1", row_no: 5, taken: null })
      yield* Seats.insert({ hall: 2, name: "a1", row_no: 6, taken: true })
      expect(yield* Seats.findById({ hall: 1, name: "a1" })).toEqual(Option.some(seat))
      expect((yield* Seats.forKey({ name: "a1", hall: 2 }).all).map(({ row_no }) => row_no)).toEqual([6])
      expect(yield* Seats.where({ hall: 1 }).where({ name: "a1" }).count).toBe(1)
      expect(yield* Seats.where({ hall: 1, name: ShardedModel.in([]) }).all).toEqual([])

      // Another key: to another shard, and back.
      yield* Orders.insert(
        Order.insert.make({ userId: 1n, no: 1, item: "x", price: BigDecimal.unsafeFromString("1.50") })
      )
      for (const key of [2n, 3n, 4n, 5n, 1n]) {
        const [before] = yield* Orders.scatter().all
        const moved = yield* Orders.updateById({ userId: before!.userId, no: 1 }, { userId: key })
        expect([moved.userId, moved.item, BigDecimal.format(moved.price!)]).toEqual([key, "x", "1.5"])
        const shard = yield* router.locate(topology.tables.orders, key)
        expect(yield* Orders.onShard(shard).count).toBe(1)
        expect(yield* Orders.onAllShards.count).toBe(1)
        expect(yield* Orders.where({ userId: key, no: 1 }).count).toBe(1)
      }
      const ahead = yield* Orders.getById({ userId: 1n, no: 1 })
      yield* Effect.sleep("5 millis")
      const later = yield* Orders.updateById({ userId: 1n, no: 1 }, { item: "y" })
      expect(later.updated.epochMillis).toBeGreaterThan(ahead.updated.epochMillis)
      expect((yield* Effect.flip(Orders.updateById({ userId: 99n, no: 1 }, { item: "y" })))._tag).toBe("RowNotFound")

      // What the schema and the server find wrong.
      expect((yield* Effect.flip(Notes.insert({ body: 1 as never })))._tag).toBe("ParseError")
      const twice = yield* Effect.flip(Seats.insert({ hall: 1, name: "a1", row_no: 5, taken: null }))
      expect(twice instanceof SqlError && (twice.cause as { code: string }).code).toBe("23505")
      yield* Effect.flip(
        Seats.insertMany([
          { hall: 9, name: "z", row_no: 1, taken: null },
          { hall: 1, name: "a1", row_no: 5, taken: null }
        ])
      )
      expect(yield* Seats.findById({ hall: 9, name: "z" })).toEqual(Option.none())
      yield* Effect.ignore(
        sql.withTransaction(
          Effect.zipRight(Seats.insert({ hall: 3, name: "t", row_no: 1, taken: null }), Effect.fail("no"))
        )
      )
      expect(yield* Seats.findById({ hall: 3, name: "t" })).toEqual(Option.none())
      expect((yield* Effect.flip(Notes.where({ id: undefined as never }).count))._tag).toBe("ParseError")
    })
  )

  it.scopedLive("are changed and deleted by condition, all or none", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { Orders, Users, cluster, router, sql } = world
      const both = (text: string) => Effect.orDie(cluster.query("oracle", text))
      const countOf = (text: string) =>
        Effect.map(
          both(`with changed as (${text} returning 1) select count(*)::int n from changed`),
          (found) => (found as ReadonlyArray<{ readonly n: number }>)[0]!.n
        )
      const young = Users.where({ age: lt(5) }).scatter()
      expect(yield* young.updateAll({ active: true, nick: Option.none() })).toBe(
        yield* countOf("update users set active = true, nick = null where age < 5")
      )
      yield* compared(world)
      expect(yield* Users.where({ id: 7n }).updateAll({ name: "seven" })).toBe(
        yield* countOf("update users set name = 'seven' where id = 7")
      )
      expect(yield* Users.where({ id: ShardedModel.in([1n, 2n, 500n]) }).deleteAll).toBe(
        yield* countOf("delete from users where id in (1, 2, 500)")
      )
      expect(yield* Users.where({ age: gt(1000) }).scatter().deleteAll).toBe(0)
      expect(
        yield* Users.where({ age: gt(1000) })
          .scatter()
          .updateAll({ active: true })
      ).toBe(0)
      yield* compared(world)
      // Of one shard; of one key; nothing to change.
      const there = yield* Users.onShard("shard_2").all
      expect(yield* Users.onShard("shard_2").updateAll({ active: false })).toBe(there.length)
      yield* both(`update users set active = false where id in (${idsOf(there).join()})`)
      expect(yield* Users.forKey(9n).updateAll({ age: Option.some(99) })).toBe(
        yield* countOf("update users set age = 99 where id = 9")
      )
      expect(yield* young.updateAll({})).toBe(yield* young.count)
      yield* compared(world)
      // What every update sets.
      yield* Orders.insert(Order.insert.make({ userId: 1n, no: 1, item: "x", price: null }))
      const before = yield* Orders.getById({ userId: 1n, no: 1 })
      yield* Effect.sleep("5 millis")
      expect(yield* Orders.forKey(1n).updateAll({ item: "y" })).toBe(1)
      const after = yield* Orders.getById({ userId: 1n, no: 1 })
      expect([after.item, after.updated.epochMillis > before.updated.epochMillis]).toEqual(["y", true])
      expect(yield* Orders.onAllShards.deleteAll).toBe(1)
      // An error on one shard leaves the others as they were; so does what is around it.
      const failed = yield* Effect.flip(Users.scatter().updateAll({ id: 5n }))
      expect(failed._tag).toBe("SqlError")
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(Users.onAllShards.deleteAll, Effect.fail("no"))))
      yield* compared(world)
      expect((yield* Effect.flip(young.updateAll({ nope: 1 } as never)))._tag).toBe("ParseError")
      expect(() => (Users.scatter().limit(3) as never as { readonly deleteAll: unknown }).deleteAll).toThrow("limit")
      // A policy of the router is heard.
      const locked = yield* Effect.flip(router.onShard(ShardContext.locked(Users.onAllShards.deleteAll), "shard_1"))
      expect(locked instanceof SqlError && (locked.cause as { _tag: string })._tag).toBe("ShardLocked")
    })
  )

  it.scopedLive("a model that does not fit its table is told so", () =>
    Effect.gen(function* () {
      const { router } = yield* make
      const failure = <A>(effect: Effect.Effect<A, ShardedModel.ModelInvalid, ShardRouter>) =>
        Effect.map(Effect.flip(Effect.provideService(effect, ShardRouter, router)), ({ message }) => message)
      const { seats, users } = topology.tables
      expect(yield* failure(ShardedModel.make(User, { table: users, key: "big" }))).toContain(
        "its key is big, that of the table id"
      )
      expect(yield* failure(ShardedModel.make(Seat, { table: seats, key: "hall" }))).toContain(
        "its key is hall, that of the table hall, name"
      )
      expect(yield* failure(ShardedModel.make(User, { table: { ...users, id: "nobody" }, key: "id" }))).toContain(
        "no such table"
      )
      expect(yield* failure(ShardedModel.make(User, { table: { ...users, columns: ["big"] }, key: "id" }))).toContain(
        "another key"
      )
      expect(yield* failure(ShardedModel.make(User, { table: users, key: "nope" as never }))).toContain("no field nope")
    })
  )
})
