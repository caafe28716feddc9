/** Reads over several shards inside a transaction: what it has written shows, its failures count, its settings hold. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    k: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 100, shard: "shard_1" },
        { from: 100, to: 200, shard: "shard_2" },
        { from: 200, shard: "shard_3" }
      ]
    })
  },
  tables: { accounts: Table.sharded({ key: "id", keyspace: "k" }), notes: Table.sharded({ key: "id", keyspace: "k" }) }
})

const schema = `
create table accounts (id int8 primary key, balance numeric, owner text, opened_at timestamptz default now());
create table notes (id int8 primary key, account_id int8, body text)`

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const context = yield* Layer.build(
    PgRouter.layer({
      topology,
      shards: Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 3 })]))
    })
  )
  const router = Context.get(context, ShardRouter.ShardRouter)
  const { url } = yield* cluster.node("oracle")
  const one = Context.get(yield* Layer.build(PgClient.layer({ url })), SqlClient)
  for (const [id, balance] of [
    [1, 10],
    [2, 20],
    [101, 30],
    [102, 40],
    [201, 50],
    [202, 60]
  ]) {
    for (const sql of [one, router.client]) {
      yield* sql`insert into accounts (id, balance, owner) values (${id}, ${balance}, ${`o${Number(id) % 3}`})`
      yield* sql`insert into notes values (${id}, ${(Number(id) + 100) % 300}, 'n')`
    }
  }
  return { cluster, one, router, sql: router.client }
})

const codeOf = (cause: unknown): unknown =>
  cause instanceof SqlError && typeof cause.cause === "object" && cause.cause !== null && "code" in cause.cause
    ? cause.cause.code
    : cause

const reads = [
  "select id, balance from accounts order by id desc",
  "select count(*), sum(balance), avg(balance) from accounts",
  "select owner, sum(balance) from accounts group by owner having sum(balance) > 5 order by owner",
  "select a.id, n.id as note from accounts a join notes n on n.account_id = a.id order by 1, 2",
  "select distinct owner from accounts order by 1",
  "select balance from accounts where id in (1, 201) order by id",
  "select balance from accounts where id = 101",
  "select id from accounts order by id offset 2 limit 3",
  "select count(*) from accounts where opened_at <= now()"
]

describe("reads inside a transaction", () => {
  it.scopedLive(
    "see what it has written and what others have committed, in every form",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make
        const inside = (client: SqlClient) =>
          client.withTransaction(
            Effect.gen(function* () {
              const answers: Array<unknown> = []
              yield* client`update accounts set balance = balance + 1000 where id = 1`
              yield* client`insert into accounts (id, balance, owner) values (3, 7, 'new')`
              for (const text of reads) {
                const statement = client.unsafe(text)
                answers.push(yield* statement, yield* statement.values)
                answers.push(Array.from(yield* Stream.runCollect(statement.stream)))
              }
              // A savepoint that is taken back takes its writes with it.
              yield* Effect.either(
                client.withTransaction(
                  Effect.gen(function* () {
                    yield* client`delete from accounts where id = 2`
                    answers.push(yield* client.unsafe("select count(*) from accounts"))
                    return yield* Effect.fail("back" as const)
                  })
                )
              )
              answers.push(yield* client.unsafe("select count(*) from accounts"))
              return answers
            })
          )
        expect(yield* inside(sql)).toEqual(yield* inside(one))
        const all = "select id, balance from accounts order by id"
        expect(yield* sql.unsafe(all)).toEqual(yield* one.unsafe(all))
      }),
    60_000
  )

  it.scopedLive(
    "decide nothing before it has written, and leave it free to write anywhere",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make
        const inside = (client: SqlClient) =>
          client.withTransaction(
            Effect.gen(function* () {
              const [before] = yield* client.unsafe<{ total: string }>("select sum(balance) as total from accounts")
              yield* client`update accounts set balance = 0 where id = 201`
              const [after] = yield* client.unsafe<{ total: string }>("select sum(balance) as total from accounts")
              return [before, after]
            })
          )
        expect(yield* inside(sql)).toEqual(yield* inside(one))
      }),
    60_000
  )

  it.scopedLive(
    "that fail leave it as PostgreSQL does: nothing more runs, nothing is kept, a savepoint saves it",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make
        // Only a row of shard_2 fails.
        const failing = "select sum(1 / (id - 101)) from accounts"
        for (const write of [true, false]) {
          const inside = (client: SqlClient) =>
            Effect.either(
              client.withTransaction(
                Effect.gen(function* () {
                  if (write) yield* client`update accounts set balance = -1 where id = 1`
                  const first = yield* Effect.either(client.unsafe(failing))
                  const second = yield* Effect.either(client.unsafe("select balance from accounts where id = 1"))
                  const third = yield* Effect.either(client.unsafe("select count(*) from accounts"))
                  return [first, second, third].map((answer) => (Either.isLeft(answer) ? codeOf(answer.left) : "rows"))
                })
              )
            )
          // PostgreSQL answers COMMIT with ROLLBACK, which the plain client takes for success.
          expect(Either.getOrThrow(yield* inside(one))).toEqual(["22012", "25P02", "25P02"])
          const ours = yield* inside(sql)
          expect(Either.isLeft(ours) && ours.left instanceof SqlError && ours.left.cause).toMatchObject({
            _tag: "TransactionRolledBack"
          })
          const saved = (client: SqlClient) =>
            client.withTransaction(
              Effect.gen(function* () {
                if (write) yield* client`update accounts set balance = balance + 1 where id = 1`
                const first = yield* Effect.either(client.withTransaction(client.unsafe(failing)))
                const second = yield* client.unsafe("select sum(balance) from accounts")
                return [Either.isLeft(first) ? codeOf(first.left) : "rows", second]
              })
            )
          expect(yield* saved(sql)).toEqual(yield* saved(one))
        }
        const all = "select id, balance from accounts order by id"
        expect(yield* sql.unsafe(all)).toEqual(yield* one.unsafe(all))
      }),
    60_000
  )

  it.scopedLive(
    "that any shard could answer fail it, too, as rows or as a stream",
    () =>
      Effect.gen(function* () {
        const { one, sql } = yield* make
        const inside = (client: SqlClient, streamed: boolean) =>
          Effect.gen(function* () {
            const failing = client.unsafe("select 1 / 0 as none")
            const run: Effect.Effect<unknown, SqlError> = streamed ? Stream.runDrain(failing.stream) : failing
            const first = yield* Effect.either(run)
            const second = yield* Effect.either(client.unsafe("select 1 as one"))
            const code = (answer: Either.Either<unknown, SqlError>) =>
              Either.isLeft(answer) ? codeOf(answer.left) : "rows"
            return [code(first), code(second)]
          })
        for (const streamed of [false, true]) {
          const seen = { one: [] as ReadonlyArray<unknown>, ours: [] as ReadonlyArray<unknown> }
          yield* one.withTransaction(Effect.map(inside(one, streamed), (codes) => void (seen.one = codes)))
          const ended = yield* Effect.either(
            sql.withTransaction(Effect.map(inside(sql, streamed), (codes) => void (seen.ours = codes)))
          )
          expect(seen.ours).toEqual(seen.one)
          expect(Either.isLeft(ended) && ended.left instanceof SqlError && ended.left.cause).toMatchObject({
            _tag: "TransactionRolledBack"
          })
        }
      }),
    60_000
  )

  it.scopedLive(
    "are refused where they would not be those of one database: time, settings of the session; locks, where nothing is installed",
    () =>
      Effect.gen(function* () {
        const { router, sql } = yield* make
        const refused = (text: string) =>
          Effect.map(Effect.exit(router.query(sql.unsafe(text))), (exit) =>
            exit._tag === "Failure" ? [...Cause.failures(exit.cause)].map(({ _tag }) => _tag) : "rows"
          )
        const crossing = ["CrossShardTransaction"]
        yield* sql.withTransaction(
          Effect.gen(function* () {
            // The transaction's own time is that of its first statement on its shard.
            expect(yield* refused("select count(*) from accounts where opened_at < now()")).toEqual(crossing)
            yield* sql`update accounts set balance = 1 where id = 1`
            expect(yield* refused("select now() from accounts where id = 101")).toEqual(crossing)
            expect(yield* refused("select balance from accounts where id = 101 for update")).toEqual(["NotInstalled"])
            expect(yield* refused("update accounts set balance = 1 where id = 101")).toEqual(["NotInstalled"])
            expect(yield* refused("select balance from accounts where id = 101")).toBe("rows")
            yield* router.onShard(sql`set local timezone = 'Asia/Tokyo'`, "shard_1")
            expect(yield* refused("select opened_at from accounts order by 1")).toEqual(crossing)
            expect(yield* refused("select balance from accounts where id = 1")).toBe("rows")
          })
        )
      }),
    60_000
  )
})
