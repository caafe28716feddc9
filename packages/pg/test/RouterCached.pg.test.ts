/** Answers that the router keeps, against real servers: what drops them, and what a transaction sees. */
import * as Reactivity from "@effect/experimental/Reactivity"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as TableChanges from "@shardlayer/core/TableChanges"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    orders: Table.sharded({ key: "user_id", keyspace: "user" }),
    "app.notes": Table.sharded({ key: "user_id", keyspace: "user" }),
    countries: Table.reference(),
    settings: Table.single("shard_2")
  }
})

const schema = `
create schema app;
create table countries (code text primary key, name text);
create table users (id int8 primary key, country text references countries, joined timestamptz default '2026-01-01', bytes bytea, doc jsonb);
create table orders (user_id int8 references users on delete cascade, id int8, total numeric, primary key (user_id, id));
create table app.notes (user_id int8, note text);
create table settings (name text primary key, value text);
create view totals as select u.country, o.total from users u join orders o on o.user_id = u.id;
create function log_in(int8) returns void language sql as $$ update users set country = 'at' where id = $1 $$;
insert into countries values ('de', 'Germany'), ('at', 'Austria')`

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const context = yield* Layer.build(
    PgRouter.layer({
      topology,
      shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
    })
  )
  const router = Context.get(context, ShardRouter.ShardRouter)
  const sql = router.client
  for (let id = 1; id <= 20; id++) {
    yield* sql`insert into users values (${id}, ${id % 2 === 0 ? "de" : "at"}, '2026-01-01', '\\x01', '{"n": [1]}')`
    yield* sql`insert into orders values (${id}, 1, ${id})`
  }
  const hour = { timeToLive: "1 hour" } as const
  const cached = (text: string, params: ReadonlyArray<unknown> = []) =>
    Effect.suspend(() => router.cached<any>(sql.unsafe(text, params), hour))
  /** What no client of ours sees: the answer stays as it was. */
  const behind = (text: string) => Effect.forEach(cluster.nodes, ({ id }) => cluster.query(id, text), { discard: true })
  /** Was the answer dropped by this deed? */
  const drops = (text: string, deed: Effect.Effect<unknown, unknown>) =>
    Effect.gen(function* () {
      yield* cached(text)
      const { misses } = router.cacheStats()
      yield* Effect.exit(deed)
      yield* cached(text)
      return router.cacheStats().misses > misses
    })
  return { behind, cached, cluster, context, drops, router, sql }
})

const total =
  "select country, sum(total) as total, count(*) as n from users join orders on user_id = users.id group by country order by country"

describe("router.cached", () => {
  it.scopedLive(
    "keeps what several shards have answered, until a write of the router",
    () =>
      Effect.gen(function* () {
        const { behind, cached, router, sql } = yield* make
        const before = yield* router.query(sql.unsafe(total))
        expect(before).toEqual([
          { country: "at", total: "100", n: "10" },
          { country: "de", total: "110", n: "10" }
        ])
        expect(yield* cached(total)).toEqual(before)
        yield* behind("update orders set total = total + 1000")
        expect(yield* cached(total)).toEqual(before)
        yield* sql`update orders set total = 0 where user_id = ${2} and id = ${1}`
        const after = yield* cached(total)
        expect(after).toEqual(yield* router.query(sql.unsafe(total)))
        expect(after).not.toEqual(before)
        expect(yield* cached(total)).toEqual(after)
        expect(router.cacheStats()).toMatchObject({ entries: 1, hits: 2, misses: 2, invalidations: 1 })
        // Values as the driver gives them, and the caller's own.
        const row = "select id, joined, bytes, doc from users where id = $1"
        const [first] = yield* cached(row, [1])
        expect(first).toEqual({ id: "1", joined: new Date("2026-01-01"), bytes: Buffer.from([1]), doc: { n: [1] } })
        first.doc.n.push(2)
        first.bytes[0] = 9
        first.joined.setTime(0)
        expect((yield* cached(row, [1]))[0]).toEqual({
          id: "1",
          joined: new Date("2026-01-01"),
          bytes: Buffer.from([1]),
          doc: { n: [1] }
        })
        expect((yield* cached(row, ["2"]))[0]).toMatchObject({ id: "2" })
        expect((yield* cached(row, [2]))[0]).toMatchObject({ id: "2" })
        const { misses } = router.cacheStats()
        yield* Effect.all(
          Array.from({ length: 50 }, () => cached(`${total} limit 1`)),
          { concurrency: "unbounded" }
        )
        expect(router.cacheStats().misses).toBe(misses + 1)
      }),
    60_000
  )

  it.scopedLive(
    "drops what depends on the tables that were written",
    () =>
      Effect.gen(function* () {
        const { context, drops, router, sql } = yield* make
        const onOne = <A, E>(effect: Effect.Effect<A, E>) => router.onShard(effect, "shard_1")
        const write = (text: string) => Effect.suspend(() => sql.unsafe(text))
        const view = "select country, sum(total) from totals group by country"
        expect(yield* drops(view, write("update orders set total = 5 where user_id = 1"))).toBe(true)
        expect(yield* drops(view, write("update users set doc = null where id = 1"))).toBe(true)
        expect(yield* drops(view, write("insert into app.notes values (1, 'x')"))).toBe(false)
        expect(yield* drops(view, write("update orders set total = 5/0 where user_id = 1"))).toBe(true)
        expect(yield* drops("select note from app.notes", write("insert into app.notes values (1, 'x')"))).toBe(true)
        expect(yield* drops("select count(*) from orders", write("insert into app.notes values (2, 'x')"))).toBe(false)
        // A cascade of a foreign key.
        expect(yield* drops("select count(*) from orders", write("delete from users where id = 3"))).toBe(true)
        expect(yield* drops("select count(*) from users", write("delete from orders where user_id = 4"))).toBe(false)
        const countries = "select * from countries"
        const renamed = sql`update countries set name = 'Deutschland' where code = 'de'`
        expect(yield* drops(countries, renamed)).toBe(true)
        expect(yield* drops(countries, router.onAllShards(ShardRouter.unchecked(renamed)))).toBe(true)
        const settings = "select * from settings"
        expect(yield* drops(settings, write("insert into settings values ('a', 'b')"))).toBe(true)
        expect(yield* drops(settings, write("update settings set value = 'c'"))).toBe(true)
        expect(yield* drops(settings, write("update orders set total = 7 where user_id = 1"))).toBe(false)
        // Pinned: where the text says which tables, those.
        expect(yield* drops(settings, onOne(sql`delete from orders where id = 99`))).toBe(false)
        expect(yield* drops("select count(*) from orders", onOne(sql`delete from orders where id = 99`))).toBe(true)
        expect(yield* drops("select count(*) from orders", onOne(sql`truncate orders`))).toBe(true)
        expect(yield* drops(settings, onOne(sql`truncate orders`))).toBe(false)
        for (const text of ["create table extra (id int8)", "select log_in(1)", "do $$ begin perform 1; end $$"]) {
          expect(yield* drops(settings, onOne(sql.unsafe(text))), text).toBe(true)
        }
        const reserved = onOne(
          Effect.scoped(
            Effect.flatMap(sql.reserve, (one) => one.executeRaw("update users set doc = null where id = 0", []))
          )
        )
        expect(yield* drops("select count(*) from users", reserved)).toBe(true)
        const { invalidate } = Context.get(context, Reactivity.Reactivity)
        expect(yield* drops(settings, invalidate([TableChanges.key("settings")]))).toBe(true)
        expect(yield* drops(settings, invalidate([TableChanges.key("orders")]))).toBe(false)
        expect(yield* drops(settings, router.refresh)).toBe(true)
      }),
    60_000
  )

  it.scopedLive(
    "in a transaction reads what it has written; others see it after COMMIT, and nothing of a ROLLBACK",
    () =>
      Effect.gen(function* () {
        const { cached, drops, router, sql } = yield* make
        const text = "select total from orders where user_id = 1"
        const set = (value: number) => sql`update orders set total = ${value} where user_id = ${1}`
        const totals = Effect.map(cached(text), (rows) => rows.map((row) => row.total))
        expect(yield* totals).toEqual(["1"])
        const other = yield* Effect.forkScoped(Effect.forever(Effect.zipRight(totals, Effect.sleep("1 millis"))))
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* set(2)
            expect(yield* totals).toEqual(["2"])
            yield* Effect.sleep("20 millis")
            expect(yield* totals).toEqual(["2"])
          })
        )
        expect(yield* totals).toEqual(["2"])
        yield* Fiber.interrupt(other)
        const undone = sql.withTransaction(
          Effect.zipRight(
            Effect.zipRight(
              set(3),
              Effect.map(totals, (seen) => expect(seen).toEqual(["3"]))
            ),
            Effect.fail("no")
          )
        )
        expect(yield* drops(text, undone)).toBe(false)
        expect(yield* totals).toEqual(["2"])
        const failed = sql.withTransaction(
          Effect.zipRight(set(4), Effect.ignore(sql`select total / 0 from orders where user_id = ${1}`))
        )
        expect(yield* Effect.flip(failed)).toMatchObject({ cause: { _tag: "TransactionRolledBack" } })
        expect(yield* totals).toEqual(["2"])
        expect(yield* drops(text, sql.withTransaction(sql.withTransaction(set(5))))).toBe(true)
        expect(yield* totals).toEqual(["5"])
        expect(router.cacheStats().entries).toBe(1)
      }),
    60_000
  )

  it.scopedLive(
    "under writes all the time gives nothing older than the last write that was acknowledged",
    () =>
      Effect.gen(function* () {
        const { cached, sql } = yield* make
        const text = "select min(total) as low, max(total) as high from orders where user_id = 1"
        yield* sql`update orders set total = 0 where user_id = ${1}`
        let acknowledged = 0
        const writer = Effect.forEach(
          Array.from({ length: 200 }, (_, index) => index + 1),
          (value) => {
            const write = sql`update orders set total = ${value} where user_id = ${1}`
            const done = Effect.sync(() => void (acknowledged = value))
            return Effect.zipRight(value % 3 === 0 ? sql.withTransaction(write) : write, done)
          },
          { discard: true }
        )
        const reader = Effect.gen(function* () {
          const least = acknowledged
          const [row] = yield* cached(text)
          expect(Number(row.low)).toBeGreaterThanOrEqual(least)
        })
        const readers = Effect.all(
          Array.from({ length: 4 }, () => Effect.forever(Effect.zipRight(reader, Effect.sleep("1 millis")))),
          {
            concurrency: "unbounded"
          }
        )
        yield* Effect.raceFirst(writer, readers)
        expect(acknowledged).toBe(200)
      }),
    60_000
  )

  it.scopedLive(
    "refuses what is not the same for long, and what writes",
    () =>
      Effect.gen(function* () {
        const { cached, router, sql } = yield* make
        const reason = (text: string) =>
          Effect.map(Effect.flip(cached(text)), (error) =>
            error._tag === "OperationRefused" ? error.reason : error._tag
          )
        for (const text of ["select random()", "select id, gen_random_uuid() from users", "select clock_timestamp()"]) {
          expect(yield* reason(text), text).toMatch(/\(\) gives another value at each call/)
        }
        for (const text of [
          "insert into users values (50, 'de')",
          "update users set doc = null where id = 1",
          "delete from users where id = 1 returning *",
          "with gone as (delete from orders where user_id = 1 returning *) select * from gone",
          "select * from users where id = 1 for update"
        ]) {
          expect(yield* reason(text), text).toMatch(/^it may write, lock rows/)
        }
        expect(yield* reason("select nextval('s')")).toBe("UnsupportedQuery")
        const onOne = <A, E>(effect: Effect.Effect<A, E>) => router.onShard(effect, "shard_1")
        expect(yield* onOne(reason("set statement_timeout = 0"))).toMatch(/^it may write/)
        expect(yield* onOne(reason("select pg_advisory_lock(1)"))).toMatch(/^it may write/)
        expect(yield* onOne(reason("select nextval('s')"))).toMatch(/^it runs on this shard alone, but which tables/)
        expect(yield* onOne(reason("select random()"))).toMatch(/^random\(\)/)
        const counts = yield* router.onAllShards(
          Effect.map(cached("select count(*) from users"), ([row]) => Number(row.count))
        )
        const counted = [...counts.values()]
        expect(counted[0]! + counted[1]!).toBe(20)
        expect(counted[0]).not.toBe(20)
        expect(
          yield* router.onAllShards(Effect.map(cached("select count(*) from users"), ([row]) => Number(row.count)))
        ).toEqual(counts)
        expect(yield* cached("select now() as now")).toEqual(yield* cached("select now() as now"))
        expect(yield* Stream.runCollect(sql`select 1 as one`.stream)).toHaveLength(1)
      }),
    60_000
  )
})

describe("a topology of one shard", () => {
  it.scopedLive(
    "caches, and looks at its texts from then on",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
        const [shard] = cluster.shards
        const context = yield* Layer.build(
          PgRouter.layer({
            topology: Topology.make({
              shards: ["shard_1"],
              keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
              tables: { users: Table.sharded({ key: "id", keyspace: "user" }), logs: Table.single("shard_1") }
            }),
            shards: { shard_1: PgShard.layer({ url: shard!.url }) }
          })
        )
        const router = Context.get(context, ShardRouter.ShardRouter)
        const sql = router.client
        yield* sql.unsafe("create table users (id int8 primary key); create table logs (line text)")
        expect(router.stats().parses).toBe(0)
        const count = Effect.map(
          router.cached(sql<{ n: string }>`select count(*) as n from users`, { timeToLive: Infinity }),
          ([row]) => Number(row?.n)
        )
        expect(yield* count).toBe(0)
        yield* sql`insert into users values (1), (2)`
        expect(yield* count).toBe(2)
        const { misses } = router.cacheStats()
        yield* sql`insert into logs values ('x')`
        expect(yield* count).toBe(2)
        expect(router.cacheStats().misses).toBe(misses)
        yield* sql.unsafe("insert into users values (3); delete from users where id = 1")
        expect(yield* count).toBe(2)
        expect(router.cacheStats().misses).toBe(misses + 1)
        const connection = (...texts: ReadonlyArray<string>) =>
          Effect.scoped(
            Effect.flatMap(sql.reserve, (one) =>
              Effect.forEach(texts, (text) => one.executeRaw(text, []), { discard: true })
            )
          )
        yield* connection("begin", "delete from users", "commit")
        expect(yield* count).toBe(0)
        yield* sql.withTransaction(sql`insert into users values (9)`)
        expect(yield* count).toBe(1)
        yield* sql.unsafe("alter table users rename to members; create table users (id int8 primary key)")
        expect(yield* count).toBe(0)
      }),
    60_000
  )
})
