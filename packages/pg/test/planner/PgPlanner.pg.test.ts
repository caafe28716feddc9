import { describe, expect, it } from "@effect/vitest"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import { type ShardError, ShardUnavailable } from "@shardlayer/core/ShardError"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgPlanner from "@shardlayer/pg/PgPlanner"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import { openShard } from "../shard.js"

const topology: Topology.Topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }), name: Keyspace.hash({ key: ["text"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    orders: Table.sharded({ key: "user_id", keyspace: "user" }),
    countries: Table.reference(),
    settings: Table.single("shard_2")
  }
})

const schema = `
create domain user_id as int8;
create table users (id int8 primary key, name text);
create table orders (user_id user_id, id int8, primary key (user_id, id));
create table countries (code text primary key);
create table settings (name text primary key);
`

interface Counters {
  inspected: number
  described: number
}

/** A planner over two databases, whose questions are counted; `broken` shards do not answer. */
const makePlanner = (setup: string = schema, of: () => Topology.Topology = () => topology) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
    const everywhere = (sql: string) =>
      Effect.forEach(["shard_1", "shard_2"], (id) => cluster.query(id, sql), { discard: true })
    yield* everywhere(setup)
    const counters: Counters = { inspected: 0, described: 0 }
    const broken = new Set<string>()
    const drivers = yield* Effect.forEach(topology.shards, (id) =>
      Effect.map(
        Effect.flatMap(Effect.succeed(cluster.shards.find((node) => node.id === id)), (node) =>
          node === undefined ? Effect.dieMessage("no node") : openShard(node)
        ),
        ({ driver }) => {
          const counted: ShardDriver = {
            ...driver,
            inspect: (sql, params) =>
              Effect.zipRight(
                Effect.sync(() => counters.inspected++),
                driver.inspect(sql, params)
              ),
            describe: (sql) =>
              Effect.zipRight(
                Effect.sync(() => counters.described++),
                driver.describe(sql)
              )
          }
          const open: Effect.Effect<ShardDriver, ShardError> = Effect.suspend(() =>
            broken.has(id)
              ? Effect.fail(new ShardUnavailable({ shard: id, reason: "it is down", sent: false }))
              : Effect.succeed(counted)
          )
          return { id, driver: open }
        }
      )
    )
    const planner = yield* PgPlanner.make({ topology: of, shards: () => drivers, reloadMillis: 0 })
    return { planner, counters, broken, everywhere, on: (id: string, sql: string) => cluster.query(id, sql) }
  })

describe("PgPlanner", () => {
  it.scopedLive(
    "reads the catalog once for all who wait, and asks for types only where the text leaves them open",
    () =>
      Effect.gen(function* () {
        const { counters, planner } = yield* makePlanner()
        const sql = "select * from users u join orders o on o.user_id = u.id where u.id = $1 and o.user_id = $1"
        const plans = yield* Effect.all(
          Array.from({ length: 20 }, () => planner.plan(sql)),
          { concurrency: "unbounded" }
        )
        expect(new Set(plans.map((plan) => JSON.stringify(plan))).size).toBe(1)
        expect(counters).toEqual({ inspected: 2, described: 0 })
        expect(planner.parses()).toBe(20)
        yield* planner.plan("select * from users where id = any($1)")
        yield* planner.plan("insert into users values ($1, $2), ($3, $4)")
        yield* planner.plan("delete from users where (id, name) = ($1::int8, 'x')")
        expect(counters.described).toBe(0)
        yield* planner.plan("select * from users where id = $1 and name = $1::text")
        expect(counters).toEqual({ inspected: 2, described: 1 })
      })
  )

  it.scopedLive("believes the server about a parameter's type", () =>
    Effect.gen(function* () {
      const { planner } = yield* makePlanner()
      const constraintOf = (sql: string) =>
        Effect.map(planner.plan(sql), (plan) =>
          plan._tag === "Routed" ? plan.references[0]?.constraint._tag : plan._tag
        )
      expect(yield* constraintOf("select * from users where name = $1 and id = $2")).toBe("Equals")
      expect(yield* constraintOf("select $1::float8, * from users where id = $1")).toBe("Unknown")
      expect(yield* constraintOf("select $1::int4, * from users where id = $1")).toBe("Equals")
      expect(yield* constraintOf("select $1::user_id, * from users where id = $1")).toBe("Equals")
      expect(yield* constraintOf("select * from users where id in ($1, 2.5)")).toBe("Equals")
    })
  )

  it.scopedLive("passes on what the server says about a statement it cannot describe", () =>
    Effect.gen(function* () {
      const { planner } = yield* makePlanner()
      const error = yield* Effect.flip(planner.plan("select * from users where id = $1 and name = $1"))
      expect(error).toMatchObject({ _tag: "StatementFailed", code: "42883" })
    })
  )

  it.scopedLive("looks for an unknown name once more in a newer catalog", () =>
    Effect.gen(function* () {
      const { everywhere, planner } = yield* makePlanner()
      expect(yield* Effect.flip(planner.plan("select nick from users where id = 1"))).toMatchObject({ code: "SL2010" })
      const version = planner.version()
      yield* everywhere("alter table users add column nick text")
      expect(yield* planner.plan("select nick from users where id = 1")).toMatchObject({ _tag: "Routed" })
      expect(planner.version()).toBeGreaterThan(version)
    })
  )

  it.scopedLive("reads anew after invalidate, and counts its version", () =>
    Effect.gen(function* () {
      const { counters, everywhere, planner } = yield* makePlanner()
      const sql = "insert into orders (user_id, id) values (1, 2)"
      yield* planner.plan(sql)
      yield* everywhere("alter table orders add unique (id)")
      expect(yield* planner.plan(sql)).toMatchObject({ _tag: "Routed" })
      const version = planner.version()
      yield* planner.invalidate
      expect(planner.version()).toBeGreaterThan(version)
      expect(yield* Effect.flip(planner.plan(sql))).toMatchObject({ code: "SL6006" })
      expect(counters.inspected).toBe(4)
    })
  )

  it.scopedLive("a new slot map leaves plans as they are, new tables do not", () =>
    Effect.gen(function* () {
      let now = topology
      const { planner } = yield* makePlanner(schema, () => now)
      yield* planner.plan("select * from users")
      const version = planner.version()
      const [shard] = topology.shards
      if (shard === undefined) throw new Error("no shard")
      now = { ...topology, epoch: 2, slotMap: SlotMap.move(topology.slotMap, [0], shard) }
      expect(planner.version()).toBe(version)
      now = {
        ...now,
        tables: { ...now.tables, users: { _tag: "Reference", id: "users", schema: "public", name: "users" } }
      }
      expect(planner.version()).toBeGreaterThan(version)
      expect(yield* planner.plan("select * from users")).toMatchObject({ _tag: "AnyShard" })
    })
  )

  it.scopedLive("names the shard and the object where schemas differ, and only statements about it fail", () =>
    Effect.gen(function* () {
      const { on, planner } = yield* makePlanner()
      yield* on("shard_2", "alter table users add column extra int; create index on orders (id)")
      const error = yield* Effect.flip(planner.plan("select * from users where id = 1"))
      expect(error).toMatchObject({
        _tag: "SchemaMismatch",
        problems: ["shard shard_1 lacks column extra of table users"]
      })
      expect(yield* planner.plan("select * from orders where user_id = 1")).toMatchObject({ _tag: "Routed" })
      expect(yield* Effect.flip(planner.check)).toMatchObject({ _tag: "SchemaMismatch" })
      yield* on("shard_1", "alter table users add column extra int")
      expect(yield* planner.plan("select extra from users where id = 1")).toMatchObject({ _tag: "Routed" })
      yield* planner.check
    })
  )

  const keys: ReadonlyArray<readonly [string, string, string]> = [
    [
      "another type",
      "name text primary key, id text",
      "key column id of table users has type text, the topology says int8"
    ],
    [
      "char(n)",
      "id char(8)",
      "key column id of table users has type character(8), whose hash the router does not compute (int8 is expected)"
    ],
    ["no column", "name text", "table users has no column id, its shard key"]
  ]
  for (const [title, columns, problem] of keys) {
    it.scopedLive(`a key column of the wrong kind is named: ${title}`, () =>
      Effect.gen(function* () {
        const { planner } = yield* makePlanner(schema.replace("id int8 primary key, name text", columns))
        expect(yield* Effect.flip(planner.check)).toMatchObject({ problems: [problem] })
      })
    )
  }

  it.scopedLive("keys that are rounded, or compared by a nondeterministic collation, are named", () =>
    Effect.gen(function* () {
      const of = Topology.make({
        shards: ["shard_1", "shard_2"],
        keyspaces: { name: Keyspace.hash({ key: ["text"] }), amount: Keyspace.hash({ key: ["numeric"] }) },
        tables: {
          people: Table.sharded({ key: "name", keyspace: "name" }),
          prices: Table.sharded({ key: "price", keyspace: "amount" }),
          missing: Table.sharded({ key: "name", keyspace: "name" })
        }
      })
      const { planner } = yield* makePlanner(
        `create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table people (name text collate loose); create table prices (price numeric(10, 2));`,
        () => of
      )
      const error = yield* Effect.flip(planner.check)
      expect(error).toMatchObject({
        problems: [
          "key column name of table people has collation loose, which is not deterministic: it calls texts equal that hash apart",
          "key column price of table prices has type numeric(10,2), which rounds values as it stores them",
          "shard shard_1 has no table missing",
          "shard shard_2 has no table missing"
        ]
      })
    })
  )

  it.scopedLive("plans with the shards that answer, and knows what lives on the others", () =>
    Effect.gen(function* () {
      const { broken, planner } = yield* makePlanner()
      broken.add("shard_2")
      expect(yield* planner.plan("select * from users where id = $1::int8")).toMatchObject({ _tag: "Routed" })
      expect(yield* planner.plan("select * from countries")).toMatchObject({ _tag: "AnyShard" })
      expect(yield* Effect.flip(planner.plan("select * from settings"))).toMatchObject({
        _tag: "ShardUnavailable",
        shard: "shard_2"
      })
      expect(yield* Effect.flip(planner.check)).toMatchObject({ _tag: "ShardUnavailable" })
      broken.clear()
      expect(yield* planner.plan("select * from settings")).toMatchObject({ _tag: "Fixed", shard: "shard_2" })
    })
  )

  it.scopedLive("fails as the shards do where none answers, and recovers", () =>
    Effect.gen(function* () {
      const { broken, planner } = yield* makePlanner()
      broken.add("shard_1").add("shard_2")
      expect(yield* Effect.flip(planner.plan("select 1"))).toMatchObject({ _tag: "ShardUnavailable" })
      broken.clear()
      expect(yield* planner.plan("select 1")).toMatchObject({ _tag: "AnyShard" })
    })
  )

  it.scopedLive("a text that is no statement fails with PostgreSQL's words and place", () =>
    Effect.gen(function* () {
      const { planner } = yield* makePlanner()
      expect(yield* Effect.flip(planner.plan("select '😀' x y"))).toMatchObject({
        _tag: "StatementInvalid",
        reason: 'syntax error at or near "y"',
        offset: 14
      })
      expect(yield* Effect.flip(planner.plan("select '😀' from nowhere"))).toMatchObject({ code: "SL2002", offset: 17 })
    })
  )
})
