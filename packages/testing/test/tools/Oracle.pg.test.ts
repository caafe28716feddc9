import * as SqlClient from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { schema, seed, topology } from "./world.js"

const setup = { topology, schema, seed }

it.live("reads, writes and failures that are alike, and what is refused", () =>
  Effect.gen(function* () {
    const report = yield* Oracle.differential({
      ...setup,
      statements: [
        "select country, count(*), sum(id) from users group by country order by country",
        { sql: "select name from users where id in ($1, $2) order by name desc", params: [1, 201] },
        "select * from users u join orders o on o.user_id = u.id order by o.id limit 3",
        "update orders set total = total * 2 where id > 1 returning id",
        "insert into users values (1, 'again', null)",
        "insert into users values (103, 'Fay', 'pt'), (202, 'Gil', null)",
        "select sum(total) from orders",
        "select * from users for update",
        "select 1 / 0",
        "select id from users limit 1"
      ]
    })
    expect(report.refused.map(({ code, sql }) => [sql, code])).toEqual([["select * from users for update", "SL4010"]])
    // One that any PostgreSQL may answer otherwise, and the shards perhaps did.
    expect(report.compared + report.undetermined.length).toBe(9)
  })
)

it.live("a program of the user's, its transactions too", () =>
  Effect.gen(function* () {
    const program = Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update orders set total = total - 5 where user_id = ${1} and id = ${1}`
          yield* sql`update orders set total = total + 5 where user_id = ${201} and id = ${4}`
        })
      )
      const twice = yield* Effect.flip(sql`insert into users ${sql.insert({ id: 1, name: "again" })}`)
      return [twice._tag, yield* sql`select user_id, sum(total) as total from orders group by user_id order by user_id`]
    })
    expect(yield* Oracle.differential({ ...setup, program })).toEqual({ compared: 1, refused: [], undetermined: [] })
  })
)

it.live("rows that one side alone has, readably", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const sides = yield* Oracle.make(setup)
      // Behind the back of both.
      yield* sides.router.onShard(sides.router.client`update users set name = 'Eva' where id = 201`, "shard_3")
      const failure = yield* Effect.flip(sides.statements(["select 1", "select id, name from users where id > 100"]))
      expect(failure.message).toBe(
        [
          "shards and one PostgreSQL differ in statement 2: 1 rows are missing, 1 should not be there",
          "  select id, name from users where id > 100",
          "  strategy: CoLocatedScatter",
          "rows only on one PostgreSQL (1):",
          '  ["201","Eve"]',
          "rows only on shards (1):",
          '  ["201","Eva"]'
        ].join("\n")
      )
      const program = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.zipRight(sql`select 1 as one`, Effect.asVoid(sql`select name from users where id = ${201}`))
      )
      const differing = yield* Effect.flip(sides.program(program))
      expect(differing.difference).toMatchObject({
        place: 2,
        sql: "select name from users where id = $1",
        params: [201],
        onlyOnOne: ['{name: "Eve"}'],
        onlyOnShards: ['{name: "Eva"}']
      })
    })
  )
)

it.scopedLive(
  "over databases that are there: what they hold, what they answer, and which of them cannot be reached",
  () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.make({ shards: topology.shards.length, oracle: true, mode: "databases" })
      const { url: one } = yield* cluster.node("oracle")
      const shards = Object.fromEntries(cluster.shards.map(({ id, url }) => [id, url]))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        for (const statement of [...schema, ...seed]) yield* sql.unsafe(statement)
      }).pipe(Effect.provide(PgCluster.routed({ topology })), Effect.provideService(PgCluster.PgCluster, cluster))
      for (const statement of [...schema, ...seed]) yield* cluster.query("oracle", statement)

      const users = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select id, name from users order by id`)
      const sides = yield* Oracle.over({ topology, one, shards })
      expect(yield* sides.program(users)).toEqual({ compared: 1, refused: [], undetermined: [] })
      expect(yield* sides.statements(["select count(*) from orders"])).toMatchObject({ compared: 1 })

      // A row that was not moved, of a table that nothing asks for.
      yield* cluster.query("oracle", "insert into orders values (1, 77, 5)")
      const failure = yield* Effect.flip(sides.program(users))
      expect(failure.message).toMatch(/table orders holds .* they are not the same rows/)

      const nowhere = Redacted.make("postgres://nobody@127.0.0.1:1/none")
      expect(yield* Effect.flip(Oracle.over({ topology, one: nowhere, shards }))).toMatchObject({
        _tag: "OracleSetupFailed",
        side: "one"
      })
      expect(yield* Effect.flip(Oracle.over({ topology, one, shards: { ...shards, shard_1: nowhere } }))).toMatchObject(
        {
          _tag: "OracleSetupFailed",
          side: "shards"
        }
      )
    })
)

it.live("floats that the shards add in another order are undetermined, and nothing else is excused with them", () =>
  Effect.gen(function* () {
    const sums = Array.from({ length: 40 }, (_, at) => `select sum(total / ${at + 3}::float8) as s from orders`)
    const report = yield* Oracle.differential({
      ...setup,
      seed: [...seed, "insert into orders select 1 + 7 * i, 100 + i, i from generate_series(1, 80) i"],
      statements: sums
    })
    expect(report.compared + report.undetermined.length).toBe(40)
    expect(report.undetermined.map(({ reason }) => reason)).toContain("floats were added in another order")
    const sides = yield* Effect.scoped(
      Effect.gen(function* () {
        const made = yield* Oracle.make(setup)
        yield* made.router.onShard(made.router.client`update orders set total = total + 1`, "shard_1")
        return yield* Effect.exit(made.statements(["select sum(total::float8) from orders"]))
      })
    )
    expect(sides._tag).toBe("Failure")
  })
)
