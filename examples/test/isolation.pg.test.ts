/**
 * Two ways to a clean database for each test: a copy of a template, and a transaction that is rolled back. Each test here finds one
 * user and adds another; did anything of it stay, the next one would find two.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Keyspace, Table, Topology } from "@shardlayer/core"
import { Isolation, PgCluster, VirtualShards } from "@shardlayer/testing"
import { describe, expect, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})
const schema = "create table users (id int8 primary key, name text not null)"

const seed = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`insert into users values (1, 'Ada')`
})

const addsOne = (id: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    expect(yield* sql`select id, name from users order by id`).toEqual([{ id: "1", name: "Ada" }])
    yield* sql.withTransaction(sql`insert into users values (${id}, 'Grace')`)
    expect(yield* sql`select count(*) as users from users`).toEqual([{ users: "2" }])
  })

describe("a copy of a template for each test", () => {
  const prepared = Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
    yield* seed.pipe(
      Effect.provide(PgCluster.routed({ topology, schema })),
      Effect.provideService(PgCluster.PgCluster, cluster)
    )
    return yield* PgCluster.template(cluster)
  })

  it.scopedLive("each starts from what the template holds, side by side too", () =>
    Effect.gen(function* () {
      const template = yield* prepared
      const fresh = (id: number) =>
        addsOne(id).pipe(Effect.provide(PgCluster.routed({ topology })), Effect.provide(PgCluster.layerFresh(template)))
      yield* Effect.all([fresh(2), fresh(2), fresh(3)], { concurrency: "unbounded" })
    })
  )
})

layer(VirtualShards.layer({ topology, schema }), { excludeTestServices: true, timeout: "60 seconds" })(
  "a transaction that is rolled back",
  (test) => {
    for (const [nth, id] of [2, 2, 3].entries()) {
      test.effect(`test ${nth + 1} finds what every test finds`, () =>
        Isolation.rolledBack(Effect.zipRight(seed, addsOne(id)))
      )
    }

    test.effect("nothing is left of a test that fails, either", () =>
      Effect.gen(function* () {
        yield* Effect.flip(Isolation.rolledBack(Effect.zipRight(seed, Effect.fail("broken"))))
        const sql = yield* SqlClient.SqlClient
        expect(yield* sql`select count(*) as users from users`).toEqual([{ users: "0" }])
      })
    )
  }
)
