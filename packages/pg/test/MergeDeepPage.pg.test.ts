/** Pages far down, compared with one PostgreSQL; what each shard gives is counted. */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as QueryLog from "@shardlayer/testing/QueryLog"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const rows = 40_000

/** Points are spread by chance, days are not: the third shard has none. */
const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    k: Keyspace.hash({ key: ["int8"] }),
    day: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 3_000, shard: "shard_1" },
        { from: 3_000, to: 20_000, shard: "shard_2" },
        { from: 20_000, shard: "shard_3" }
      ]
    })
  },
  tables: {
    points: Table.sharded({ key: "id", keyspace: "k" }),
    days: Table.sharded({ key: "day", keyspace: "day" })
  }
})

const schema = `
create table points (id int8 primary key, score int4, name text not null);
create table days (day int8 primary key, kind int4 not null)`

/** Ties and NULLs. */
const fill = `insert into points select i, case when i % 7 = 0 then null else (i * 7919) % 5000 end, 'p' || i from generate_series(1, ${rows}) i`

const fillDays = (where: string) => `insert into days select i, i % 3 from generate_series(0, 9999) i where ${where}`

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const layer = PgRouter.layer({
    topology,
    install: true,
    shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 6 })]))
  })
  const context = yield* Layer.build(layer)
  const sql = Context.get(context, SqlClient)
  const router = Context.get(context, ShardRouter.ShardRouter)
  yield* cluster.query("oracle", fill)
  yield* cluster.query("oracle", fillDays("true"))
  for (const [index, node] of cluster.shards.entries()) {
    yield* cluster.query(node.id, fill)
    // Each row on one shard is all that a statement over all shards asks for.
    yield* cluster.query(
      node.id,
      `create table parents (id int8) partition by hash (id);
       delete from points where not satisfies_hash_partition('parents'::regclass, 3, ${index}, id)`
    )
    yield* cluster.query(node.id, fillDays(["i < 3000", "i >= 3000", "false"][index] ?? "false"))
  }
  const oracle = (text: string) => cluster.query<object>("oracle", text)
  return { cluster, oracle, router, sql }
})

/** What the shards were asked for the answer, and how many rows they gave. */
const asked = (log: QueryLog.Log) => {
  const calls = log.calls.filter(({ isInternal, sql }) => !isInternal && /select/i.test(sql))
  return {
    statements: calls.length,
    rows: calls.reduce((sum, call) => sum + (call.rows ?? 0), 0)
  }
}

describe("pages far down", () => {
  it.scopedLive(
    "give the rows of one PostgreSQL, the first time and whenever they are asked for again",
    () =>
      Effect.gen(function* () {
        const { oracle, router, sql } = yield* make
        const texts = [
          "select id, score, name from points order by score desc nulls last, id limit 20 offset 30000",
          "select id from points order by id limit 5 offset 20000",
          "select name from points order by score nulls first, id desc limit 10 offset 39995",
          "select name from points order by id limit 10 offset 41000",
          "select id from points where score > 2500 order by -score, id offset 17000",
          "select id, score from points order by score, id fetch first 3 rows with ties offset 12345",
          "select score from points order by score nulls first fetch first 3 rows with ties offset 1000",
          "select score from points order by score fetch first 11 rows with ties offset 33000",
          "select distinct score, id from points order by score desc, id limit 7 offset 600",
          "select id from points where score = 17 order by id limit 3 offset 700",
          "select day from days order by day limit 30 offset 2990",
          "select day, kind from days order by kind desc, day limit 30 offset 6000",
          "select day from days order by day desc limit 5 offset 9997",
          "select day from days order by day desc limit 5 offset 10000",
          "select day from days where day < 2000 order by day limit 5 offset 1500",
          "select p.id from points p where exists (select from points q where q.id = p.id and q.score > 9) order by p.id offset 30000"
        ]
        for (const text of texts) {
          const expected = yield* oracle(text)
          for (const time of ["first", "second", "third"])
            expect(yield* sql.unsafe(text), `${text}: ${time}`).toEqual(expected)
          expect(yield* router.query(sql.unsafe(text), { reads: "perShard" }), text).toEqual(expected)
          expect(Array.from(yield* Stream.runCollect(sql.unsafe(text).stream)), text).toEqual(expected)
          const inside = sql.withTransaction(Effect.all([sql.unsafe(text), sql.unsafe(text)]))
          expect(yield* inside, text).toEqual([expected, expected])
        }
        // Ties that the page cuts: which rows is open, their keys are not.
        const tied = "select score from points order by score limit 50 offset 30001"
        for (const time of ["first", "second"]) expect(yield* sql.unsafe(tied), time).toEqual(yield* oracle(tied))
      }),
    120_000
  )

  it.scopedLive(
    "page after page they are all rows, and of each page a shard gives little more than its own",
    () =>
      Effect.gen(function* () {
        const { oracle, sql } = yield* make
        const all = yield* oracle("select id, score from points order by score desc, id")
        const limit = 500
        let most = { statements: 0, rows: 0 }
        for (let offset = 2_000; offset < rows + limit; offset += limit) {
          const page = sql.unsafe("select id, score from points order by score desc, id limit $1 offset $2", [
            limit,
            String(offset)
          ])
          const [given, log] = yield* QueryLog.collect(page)
          expect(given, String(offset)).toEqual(all.slice(offset, offset + limit))
          const { rows: shipped, statements } = asked(log)
          most = { statements: Math.max(most.statements, statements), rows: Math.max(most.rows, shipped) }
        }
        // One statement a shard; where the rows come to an end, samples as well.
        expect(most.statements).toBeLessThanOrEqual(9)
        expect(most.rows).toBeLessThan(limit + 700)
        const again = sql.unsafe("select id from points order by id limit 10 offset 25000")
        yield* again
        const [given, log] = yield* QueryLog.collect(again)
        expect(given).toEqual(yield* oracle("select id from points order by id limit 10 offset 25000"))
        expect(asked(log)).toEqual({ statements: 3, rows: expect.toSatisfy((shipped: number) => shipped < 30) })
      }),
    120_000
  )

  it.scopedLive(
    "rows that are not spread by chance cost samples, and then no more",
    () =>
      Effect.gen(function* () {
        const { oracle, sql } = yield* make
        const text = "select day, kind from days order by day limit 10 offset 4000"
        const expected = yield* oracle(text)
        const counts: Array<number> = []
        for (let time = 0; time < 3; time++) {
          const [given, log] = yield* QueryLog.collect(sql.unsafe(text))
          expect(given).toEqual(expected)
          counts.push(asked(log).statements)
        }
        // The guess, samples once or more often, the page; then what was learned of it.
        expect(counts[0]).toBeGreaterThanOrEqual(9)
        expect(counts.slice(1)).toEqual([3, 3])
        // Of two values that nothing was known of they were elsewhere than guessed: of a third one nothing is guessed.
        const begins = (kind: number, offset: number) =>
          Effect.gen(function* () {
            const page = (from: unknown, to: unknown) =>
              `select kind, day from days where kind >= ${from} order by day limit 10 offset ${to}`
            const [given, log] = yield* QueryLog.collect(sql.unsafe(page("$1", "$2"), [kind, offset]))
            expect(given).toEqual(yield* oracle(page(kind, offset)))
            const [first] = log.calls.filter(({ sql: text }) => text.includes("days"))
            return first?.sql.includes("row_number") === true ? "with samples" : "with a guess"
          })
        expect(yield* begins(0, 4_000)).toBe("with a guess")
        expect(yield* begins(1, 3_000)).toBe("with a guess")
        expect(yield* begins(2, 2_500)).toBe("with samples")
        expect(yield* begins(2, 2_600)).toBe("with a guess")
      }),
    120_000
  )

  it.scopedLive(
    "hold while rows come and go between them",
    () =>
      Effect.gen(function* () {
        const { cluster, oracle, sql } = yield* make
        const pages = [
          "select id, score from points order by id desc limit 20 offset 3000",
          "select id, score from points order by score nulls first, id limit 20 offset 6000",
          "select day from days order by kind, day limit 20 offset 5000"
        ]
        const changes = [
          "delete from points where id % 11 = 3",
          "delete from points where id > 38000 and id % 5 > 0",
          "update points set score = score + 3 where id % 4 = 0",
          "delete from days where day < 2900",
          "delete from days where day % 3 > 0",
          "delete from points where id > 20000",
          "delete from points"
        ]
        const look = (when: string) =>
          Effect.forEach(pages, (text) =>
            Effect.gen(function* () {
              const expected = yield* oracle(text)
              for (const time of ["first", "second"])
                expect(yield* sql.unsafe(text), `${text} after ${when}: ${time}`).toEqual(expected)
            })
          )
        yield* look("nothing")
        for (const change of changes) {
          yield* Effect.forEach(cluster.nodes, ({ id }) => cluster.query(id, change))
          yield* look(change)
        }
      }),
    120_000
  )

  it.scopedLive(
    "show each commit over several shards whole or not at all, also where they were guessed",
    () =>
      Effect.gen(function* () {
        const { router, sql } = yield* make
        // Two points a commit, on shards that chance chooses, in front of all others and next to each other.
        const writes = Effect.forEach(
          Array.from({ length: 80 }, (_, n) => n),
          (n) => {
            const id = 100_000 + n * 2
            return sql.withTransaction(
              sql`insert into points (id, score, name) values (${id}, ${id}, 'new'), (${id + 1}, ${id}, 'new')`
            )
          },
          { concurrency: 2, discard: true }
        )
        const page = router.query(
          sql<{ id: string; score: number }>`select id, score from points where score is not null
            order by score desc, id limit 100 offset 500`
        )
        yield* sql`insert into points (id, score, name)
          select 50000 + i, 50000 + i / 2, 'old' from generate_series(0, 1999) i`
        const counts = { pages: 0, torn: 0 }
        const reader = yield* Effect.fork(
          Effect.forever(
            Effect.map(Effect.orDie(page), (found) => {
              counts.pages++
              if (found.length !== 100 || found.some(({ score }, index) => score !== found[index ^ 1]?.score))
                counts.torn++
            })
          )
        )
        yield* writes
        yield* Fiber.interrupt(reader)
        expect(counts.torn).toBe(0)
        expect(counts.pages).toBeGreaterThan(5)
      }),
    120_000
  )
})
