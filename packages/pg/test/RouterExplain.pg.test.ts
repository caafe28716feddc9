/**
 * Explanations of real plans, and what real servers tell of them when they are analyzed.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import * as ShardError from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect } from "vitest"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: {
    user: Keyspace.hash({
      key: ["int8"],
      pins: [
        { key: 1, shard: "shard_1" },
        { key: 2, shard: "shard_2" }
      ]
    }),
    day: Keyspace.range({
      key: ["int4"],
      bounds: [
        { to: 100, shard: "shard_1" },
        { from: 100, shard: "shard_2" }
      ]
    })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    orders: Table.sharded({ key: "user_id", keyspace: "user" }),
    visits: Table.sharded({ key: "day", keyspace: "day" }),
    countries: Table.reference()
  }
})

const schema = [
  'create table users (id int8 primary key, name text collate "C" not null, title text collate "unicode")',
  "create table orders (user_id int8, id int8, amount numeric not null, primary key (user_id, id))",
  "create table visits (day int4 primary key)",
  "create table countries (code text primary key)"
]

const opened = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
  const shards = Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
  const context = yield* Layer.build(PgRouter.layer({ topology, shards }))
  const router = Context.get(context, ShardRouter.ShardRouter)
  const sql = Context.get(context, SqlClient)
  for (const statement of schema) yield* router.onAllShards(sql.unsafe(statement))
  for (let id = 1; id <= 20; id++) {
    yield* sql`insert into users (id, name) values (${id}, ${`user ${id}`})`
    yield* sql`insert into orders (user_id, id, amount) values (${id}, 1, ${id}), (${id}, 2, 7)`
  }
  return { router, sql }
})

describe("explain", () => {
  it.scopedLive("says of every strategy why it is none that is cheaper, and what runs", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* opened
      const explained = (text: string, params: ReadonlyArray<unknown> = []) =>
        router.explain(sql.unsafe(text, params), { format: "text" })
      expect(yield* explained("select name from users where id = $1", [1])).toMatchInlineSnapshot(`
        "strategy: SingleShard
        shards:   shard_1 (1 of 2)
        tables:   users
        key:      users: id = $1
        pruned:   users: key 1 on shard_1"
      `)
      expect(yield* explained("select code from countries")).toMatchInlineSnapshot(`
        "strategy: AnyShard
        shards:   any one of 2, in turn
        tables:   countries"
      `)
      expect(
        yield* explained("select u.name from users u join orders o on o.user_id = u.id where u.id in ($1, $2)", [1, 2])
      ).toMatchInlineSnapshot(`
        "strategy: CoLocatedScatter
        shards:   shard_1, shard_2 (2 of 2)
        tables:   orders, users
        key:      users u: (id = $1 or id = $2)
        key:      orders o: (user_id = $1 or user_id = $2)
        pruned:   users u: keys 1, 2 on shard_1, shard_2
        pruned:   orders o: keys 1, 2 on shard_1, shard_2
        note:     not SingleShard: the keys of users u are on 2 shards; the keys of orders o are on 2 shards
        each:     the statement as it is
        then:     rows one after another"
      `)
      expect(yield* explained("select day from visits where day between 50 and $1", [200])).toMatchInlineSnapshot(`
        "strategy: CoLocatedScatter
        shards:   shard_1, shard_2 (2 of 2)
        tables:   visits
        key:      visits: day >= '50' and day <= $1
        pruned:   visits: keys from 50 to 200 on shard_1, shard_2
        note:     not SingleShard: the keys of visits are on 2 shards
        each:     the statement as it is
        then:     rows one after another"
      `)
      expect(yield* explained("select id, name from users order by name limit $1 offset 2", [3]))
        .toMatchInlineSnapshot(`
          "strategy: ScatterMerge
          shards:   shard_1, shard_2 (2 of 2)
          tables:   users
          key:      users: any key
          note:     not SingleShard: users is not limited by its key (id)
          note:     not CoLocatedScatter: LIMIT needs the rows of all shards
          each:     SELECT id, name FROM users ORDER BY name LIMIT CAST(:depth AS bigint)
          then:     merge by column 2 nulls last
          then:     skip 2
          then:     take $1"
        `)
      expect(yield* explained("select name, count(*) from users group by name")).toMatchInlineSnapshot(`
        "strategy: ScatterMerge
        shards:   shard_1, shard_2 (2 of 2)
        tables:   users
        key:      users: any key
        note:     not SingleShard: users is not limited by its key (id)
        note:     not CoLocatedScatter: count needs the rows of all shards
        each:     SELECT name AS k0, pg_catalog.count(*) AS a0 FROM users GROUP BY 1
        then:     group by column 1
        then:     count of column 2"
      `)
      expect(yield* router.onShard(explained("select count(*) from users"), "shard_2")).toMatchInlineSnapshot(`
        "strategy: Pinned
        shards:   shard_2 (1 of 2)"
      `)
    })
  )

  it.scopedLive("says why a PostgreSQL finishes", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* opened
      const reasons = (text: string) =>
        Effect.map(router.explain(sql.unsafe(text)), ({ notes, strategy }) => [
          strategy,
          ...notes.filter((note) => !note.startsWith("not SingleShard"))
        ])
      expect(yield* reasons("select id from users order by title")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: ORDER BY needs the rows of all shards",
          "not ScatterMerge: the order of an expression of ORDER BY is PostgreSQL's own, by its type or collation",
        ]
      `)
      expect(yield* reasons("select distinct title from users")).toMatchInlineSnapshot(`
        [
          "ScatterMerge",
          "not CoLocatedScatter: DISTINCT needs the rows of all shards",
        ]
      `)
      expect(yield* reasons("select id from users order by name limit 1 + 1")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: LIMIT needs the rows of all shards",
          "not ScatterMerge: LIMIT or OFFSET is computed",
        ]
      `)
      expect(yield* reasons("select name from users group by name having count(*) > 1")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: count needs the rows of all shards",
          "not ScatterMerge: HAVING is a PostgreSQL's to decide",
        ]
      `)
      expect(yield* reasons("select count(*) + 1 from users")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: count needs the rows of all shards",
          "not ScatterMerge: column 1 is more than a key or an aggregate that is added up here",
        ]
      `)
      expect(yield* reasons("select name, count(*) from users group by rollup (name)")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: count needs the rows of all shards",
          "not ScatterMerge: there are several grouping sets",
        ]
      `)
      expect(yield* reasons("select string_agg(name, ',' order by name) from users")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: string_agg needs the rows of all shards",
          "not ScatterMerge: an aggregate needs all rows of its group",
        ]
      `)
      expect(yield* reasons("select rank() over (order by name) from users")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: window functions need the rows of all shards",
          "not ScatterMerge: the partitions of a window span shards",
        ]
      `)
      expect(yield* reasons("select id from users except select id from orders")).toMatchInlineSnapshot(`
        [
          "ScatterCombine",
          "not CoLocatedScatter: EXCEPT needs the rows of all shards",
          "not ScatterMerge: a PostgreSQL puts the parts of the statement together",
        ]
      `)
      expect(yield* reasons("select u.id from users u join orders o on o.id = u.id")).toMatchInlineSnapshot(`
        [
          "Gather",
          "not CoLocatedScatter: o is not joined on the shard key with u",
          "not ScatterMerge: a PostgreSQL joins the rows of orders, users",
        ]
      `)
    })
  )
})

describe("analyze", () => {
  it.scopedLive("rows of the shards add up, and each shows its own plan", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* opened
      const analyzed = (text: string, params: ReadonlyArray<unknown> = []) =>
        Effect.map(router.explain(sql.unsafe(text, params), { analyze: true }), (explanation) => {
          const { analysis } = explanation
          if (analysis === undefined) throw new Error("it was not analyzed")
          for (const { millis, plan } of analysis.statements) {
            expect(millis).toBeGreaterThan(0)
            expect(millis).toBeLessThanOrEqual(analysis.millis)
            expect(plan).toMatch(/actual time=.*\n(.*\n)*Execution Time: /)
          }
          return { ...analysis, strategy: explanation.strategy }
        })
      const each = (analysis: {
        readonly statements: ReadonlyArray<{ readonly step: string; readonly rows: number }>
      }) => analysis.statements.filter(({ step }) => step === "each")
      const sum = (statements: ReadonlyArray<{ readonly rows: number }>) =>
        statements.reduce((total, { rows }) => total + rows, 0)

      const all = yield* analyzed("select * from users")
      expect([all.strategy, all.rows, sum(each(all))]).toEqual(["CoLocatedScatter", 20, 20])
      expect(all.statements.map(({ shard }) => shard)).toEqual(["shard_1", "shard_2"])
      for (const { plan } of all.statements) expect(plan).toMatch(/^Seq Scan on users/)

      const page = yield* analyzed("select id from users order by id limit $1 offset 2", [3])
      expect([page.strategy, page.rows, sum(each(page))]).toEqual(["ScatterMerge", 3, 10])
      for (const { plan } of page.statements) expect(plan).toMatch(/Limit(.*\n)*.*Index/)

      const groups = yield* analyzed("select sum(amount), avg(amount) from orders where amount > $1 and now() > $2", [
        7,
        new Date(0)
      ])
      expect([groups.strategy, groups.rows, sum(each(groups))]).toEqual(["ScatterMerge", 1, 2])
      for (const { plan } of groups.statements) expect(plan).toMatch(/Aggregate(.*\n)*.*Scan on orders/)

      const windowed = yield* analyzed("select rank() over (order by name) from users where id > $1", [10])
      expect([windowed.strategy, windowed.rows, sum(each(windowed))]).toEqual(["ScatterCombine", 10, 10])
      expect(windowed.statements.map(({ step }) => step)).toEqual(["each", "each", "then"])
      expect(windowed.statements[2]?.plan).toMatch(/WindowAgg(.*\n)*.*Function Scan/)

      const point = yield* analyzed("select name from users where id = $1", [2])
      expect(point).toMatchObject({ strategy: "SingleShard", rows: 1, statements: [{ shard: "shard_2", rows: 1 }] })
      const empty = yield* analyzed("select name from users where id = null")
      expect(empty).toMatchObject({ strategy: "AnyShard", rows: 0 })
      const pinned = yield* router.onShard(analyzed("select count(*) from users"), "shard_1")
      expect(pinned).toMatchObject({ strategy: "Pinned", rows: 1, statements: [{ shard: "shard_1", step: "each" }] })
    })
  )

  it.scopedLive("as JSON", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* opened
      const json = yield* router.explain(sql`select distinct name from users order by name desc limit 5`, {
        analyze: true,
        format: "json"
      })
      const parsed: unknown = JSON.parse(json)
      expect(parsed).toMatchObject({
        strategy: "ScatterMerge",
        shards: ["shard_1", "shard_2"],
        analysis: {
          rows: 5,
          statements: ["shard_1", "shard_2"].map((shard) => ({
            shard,
            step: "each",
            rows: 5,
            plan: [{ Plan: { "Node Type": expect.any(String), "Actual Rows": expect.any(Number) } }]
          }))
        }
      })
    })
  )

  it.scopedLive("does not write", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* opened
      for (const text of [
        "update users set name = 'x' where id = 1",
        "insert into users (id, name) values (77, 'x')",
        "with gone as (delete from users where id = 1 returning id) select * from gone",
        "select id from users where id = 1 for update"
      ]) {
        const refused = yield* Effect.flip(router.explain(sql.unsafe(text), { analyze: true }))
        expect(refused).toBeInstanceOf(ShardError.OperationRefused)
        const pinned = router.onShard(router.explain(sql.unsafe(text), { analyze: true }), "shard_1")
        expect(yield* Effect.flip(pinned)).toMatchObject({
          _tag: text.startsWith("insert")
            ? expect.stringMatching(/OperationRefused|RowBelongsElsewhere/)
            : "OperationRefused"
        })
        expect(yield* router.explain(sql.unsafe(text))).toMatchObject({ strategy: "SingleShard", analysis: undefined })
      }
      expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 20 }])
    })
  )
})
