/** The code of docs/migrating.md runs as it stands there. */
import * as FileSystem from "@effect/platform/FileSystem"
import { SqlClient } from "@effect/sql/SqlClient"
import { expect } from "@effect/vitest"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type * as Topology from "@shardlayer/core/topology/Topology"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { addressed, page } from "./page.js"

const migrating = page("docs/migrating.md")

type Database = Layer.Layer<PgRouter.Provided, unknown>
const ask = (text: string) => Effect.flatMap(SqlClient, (sql) => sql.unsafe(text))

const schema = `create table countries (code text primary key, name text);
  create table users (id int8 primary key, name text, country text references countries);
  create table orders (user_id int8 references users, no int4, cents int4, primary key (user_id, no))`

const files: Record<string, string> = {
  "countries.csv": "code,name\nnl,Netherlands\n",
  "users.csv": `id,name,country\n${[1, 2, 3, 4, 5, 6].map((id) => `${id},"user, ${id}",nl`).join("\n")}\n`,
  "orders.csv": "user_id,no,cents\n1,1,250\n6,1,750\n"
}
const disk = FileSystem.layerNoop({ stream: (name) => Stream.make(new TextEncoder().encode(files[name])) })

/** The topology of four, which the page shows before it loads. */
let four: Topology.Topology

migrating.runs<{ four: Topology.Topology; Database: Database }>("from-one-postgresql ts", (the) =>
  Effect.gen(function* () {
    four = the.four
    const cluster = yield* addressed({ shards: 1 })
    yield* cluster.query("shard_1", schema)
    // Nothing is refused on one shard, whatever its keys.
    const anything = ask(
      "create temp table t as select random() as r from users for update; select count(*) from users"
    )
    yield* Effect.provide(anything, the.Database)
  })
)

migrating.runs<{ load: Effect.Effect<void, unknown, PgRouter.Provided | FileSystem.FileSystem> }>(
  "from-one-postgresql ts 2",
  ({ load }) =>
    Effect.gen(function* () {
      yield* load
      expect(
        yield* ask(
          "select count(*)::int as n, sum(cents)::int as cents from users u left join orders o on o.user_id = u.id"
        )
      ).toEqual([{ n: 6, cents: 1000 }])
      const copies = yield* ShardRouter.onAllShards(ask("select name from countries"))
      expect([...copies.values()]).toEqual(four.shards.map(() => [{ name: "Netherlands" }]))
    }).pipe(Effect.provide(disk), (test) =>
      Effect.suspend(() => Effect.provide(test, PgCluster.layer({ mode: "databases", topology: four, schema })))
    )
)

const people = "create table users (id int8 primary key)"
let byHand: { topology: Topology.Topology; Database: Database }

migrating.runs<typeof byHand>("from-sharding-by-hand ts", (the) =>
  Effect.gen(function* () {
    byHand = the
    const cluster = yield* addressed({ shards: 2 })
    yield* cluster.query("shard_1", `${people}; insert into users values (2), (4)`)
    yield* cluster.query("shard_2", `${people}; insert into users values (1), (3)`)
    const found = Effect.all([
      ask("select id from users where id = 3"),
      ask("insert into users values (5) returning id")
    ])
    expect(yield* Effect.provide(found, the.Database)).toEqual([[{ id: "3" }], [{ id: "5" }]])
    expect(yield* cluster.query("shard_2", "select id from users order by id")).toHaveLength(3)
  })
)

migrating.runs<{ misplaced: (users: unknown) => Effect.Effect<unknown, unknown, PgRouter.Provided> }>(
  "from-sharding-by-hand ts 2",
  ({ misplaced }) =>
    Effect.gen(function* () {
      const cluster = yield* addressed({ shards: 2 })
      yield* cluster.query("shard_1", `${people}; insert into users values (2), (7)`)
      yield* cluster.query("shard_2", `${people}; insert into users values (1), (3)`)
      expect(yield* Effect.provide(misplaced(byHand.topology.tables["users"]), byHand.Database)).toEqual(["7"])
    })
)

migrating.runs<{ topology: Topology.Topology }>("from-postgresqls-own-partitions ts", ({ topology }) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.PgCluster
    const router = yield* ShardRouter.ShardRouter
    yield* cluster.query("shard_1", "create table parted (id int8) partition by hash (id)")
    for (const remainder of [0, 1, 2, 3]) {
      const values = `for values with (modulus 4, remainder ${remainder})`
      yield* cluster.query("shard_1", `create table parted_${remainder + 1} partition of parted ${values}`)
    }
    const rows = yield* cluster.query<{ id: string; place: string }>(
      "shard_1",
      "insert into parted select n * 7919 - 100000 from generate_series(1, 200) n returning id, tableoid::regclass::text as place"
    )
    for (const { id, place } of rows) {
      expect(yield* router.locate(topology.tables["users"] as never, id as never)).toBe(
        place.replace("parted", "shard")
      )
    }
    expect(new Set(rows.map(({ place }) => place)).size).toBe(4)
  }).pipe(Effect.provide(PgCluster.layer({ mode: "databases", topology, schema: people })))
)

migrating.ends()
