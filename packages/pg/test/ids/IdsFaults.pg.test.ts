/**
 * Leases and sequences on a real meta database, and what becomes of ids when processes, clocks and that database fail:
 * none is made twice, nothing waits for longer than is said, and a statement without its ids writes nothing.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import * as IdStore from "@shardlayer/core/IdStore"
import * as Id from "@shardlayer/core/topology/Id"
import * as IdLayout from "@shardlayer/core/topology/IdLayout"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgIdStore from "@shardlayer/pg/PgIdStore"
import * as PgInstall from "@shardlayer/pg/PgInstall"
import * as PgShard from "@shardlayer/pg/PgShard"
import { idStoreContract } from "@shardlayer/testing/contracts/IdStoreContract"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgProxy from "@shardlayer/testing/PgProxy"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { cluster, codeOf, failureOf, routerOf, topology } from "./world.js"

interface Row {
  readonly id: string
}

const partsOf = (id: string | undefined) => IdLayout.parse(IdLayout.snowflake, id ?? "0")

describe("PgIdStore.layer keeps the contract", () => {
  for (const { check, name } of idStoreContract) {
    it.scopedLive(name, () =>
      Effect.gen(function* () {
        const { shards } = yield* PgCluster.make({ shards: 1, mode: "databases" })
        const context = yield* Layer.build(PgShard.layer({ url: shards[0]!.url, maxConnections: 20 }))
        const client = Context.get(context, SqlClient)
        yield* PgInstall.install(client)
        yield* Effect.provideService(check, IdStore.IdStore, PgIdStore.make(client))
      })
    )
  }
})

describe("a meta database with settings of its own", () => {
  it.scopedLive("gives out nothing that is not on disk, nor fails for its isolation level", () =>
    Effect.gen(function* () {
      const { query, shards } = yield* PgCluster.make({ shards: 1, mode: "databases" })
      const [shard] = shards
      for (const setting of ["synchronous_commit = off", "default_transaction_isolation = 'repeatable read'"]) {
        yield* query("shard_1", `alter database "${shard!.database}" set ${setting}`)
      }
      const context = yield* Layer.build(PgShard.layer({ url: shard!.url, maxConnections: 20 }))
      const client = Context.get(context, SqlClient)
      yield* PgInstall.install(client)
      const store = PgIdStore.make(client)
      expect(yield* client`show synchronous_commit`).toEqual([{ synchronous_commit: "off" }])
      const isFlushed = (give: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function* () {
          const [before] = yield* client<{ lsn: string }>`select pg_current_wal_insert_lsn()::text as lsn`
          yield* give
          const [after] = yield* client<{
            done: boolean
          }>`select pg_current_wal_flush_lsn() > ${before!.lsn}::pg_lsn as done`
          return after!.done
        })
      const request = { family: "snowflake", nodes: 64, node: undefined, leaseMillis: 60_000 } as const
      for (let index = 0; index < 20; index++) {
        expect(yield* isFlushed(store.allocate("s", 1, 1))).toBe(true)
        expect(yield* isFlushed(store.lease({ ...request, holder: `h${index}` }))).toBe(true)
      }
      const firsts = yield* Effect.forEach(Array.from({ length: 40 }), () => store.allocate("t", 1, 5), {
        concurrency: "unbounded"
      })
      expect(new Set(firsts).size).toBe(40)
      // Said for the one statement, and for no other.
      expect(yield* client`show synchronous_commit`).toEqual([{ synchronous_commit: "off" }])
    })
  )
})

describe("ids of several processes", () => {
  it.scopedLive("are never the same, whichever router makes them, at the same time", () =>
    Effect.gen(function* () {
      const servers = yield* cluster
      const routers = [yield* routerOf(servers), yield* routerOf(servers), yield* routerOf(servers)]
      yield* Effect.forEach(
        routers.flatMap((router) => Array.from({ length: 8 }, () => router)),
        ({ sql }) =>
          Effect.repeatN(
            Effect.zipRight(
              sql`insert into users (name) values ('a'), ('b'), ('c'), ('d'), ('e')`,
              sql`insert into counted (name) values ('a'), ('b'), ('c')`
            ),
            9
          ),
        { concurrency: "unbounded" }
      )
      const [first] = routers
      expect(yield* first!.sql`select count(*)::int as n, count(distinct id)::int as ids from users`).toEqual([
        { n: 1_200, ids: 1_200 }
      ])
      const [counted] = yield* first!.sql<{
        n: number
        most: number
      }>`select count(distinct id)::int as n, max(id)::int as most from counted`
      expect(counted?.n).toBe(720)
      // Gaps are what is left of a block: with three routers, two blocks each.
      expect(counted!.most).toBeLessThan(100 + 720 + 3 * 2 * 5)
      const ids = yield* first!.sql<Row>`select id from users`
      expect(new Set(ids.map(({ id }) => partsOf(id).node)).size).toBe(3)
      expect(yield* servers.query("meta", "select count(*)::int as n from shardlayer.id_node")).toEqual([{ n: 3 }])
    })
  )

  it.scopedLive("stay apart when a lease is over and somebody else has the node", () =>
    Effect.gen(function* () {
      const servers = yield* cluster
      const one = yield* routerOf(servers, { ids: { leaseMillis: 400 } })
      const other = yield* routerOf(servers, { ids: { leaseMillis: 400 } })
      const before = yield* one.router.nextIds("users", 1_000)
      yield* Effect.sleep("900 millis")
      const theirs = yield* other.router.nextIds("users", 1_000)
      expect(partsOf(theirs[0]).node).toBe(partsOf(before[0]).node)
      expect(partsOf(theirs[0]).tick).toBeGreaterThan(partsOf(before.at(-1)).tick)
      const after = yield* one.router.nextIds("users", 1_000)
      expect(partsOf(after[0]).node).not.toBe(partsOf(theirs[0]).node)
      expect(new Set([...before, ...theirs, ...after]).size).toBe(3_000)
      expect(BigInt(after[0]!) > BigInt(before.at(-1)!)).toBe(true)
    })
  )

  it.scopedLive("give a node back when the router ends", () =>
    Effect.gen(function* () {
      const servers = yield* cluster
      const scope = yield* Scope.make()
      const one = yield* Scope.extend(routerOf(servers), scope)
      const before = yield* one.router.nextIds("users", 10)
      yield* Scope.close(scope, Exit.void)
      yield* Effect.sleep("50 millis")
      const other = yield* routerOf(servers)
      const after = yield* other.router.nextIds("users", 10)
      expect(partsOf(after[0]).node).toBe(partsOf(before[0]).node)
      expect(partsOf(after[0]).tick).toBeGreaterThan(partsOf(before.at(-1)).tick)
    })
  )

  it.scopedLive("begin behind those of before where the meta database's clock has gone back, or fail", () =>
    Effect.gen(function* () {
      const servers = yield* cluster
      const { router, sql } = yield* routerOf(servers)
      // As holders would have left it whose ids are ahead of the clock.
      const leave = (aheadMillis: number) =>
        servers.query(
          "meta",
          `insert into shardlayer.id_node (family, node, holder, expires_at, until_millis)
           select 'snowflake', node, 'gone', clock_timestamp() - interval '1 second',
             (extract(epoch from clock_timestamp()) * 1000)::bigint + ${aheadMillis}
           from generate_series(0, 1023) as node
           on conflict (family, node) do update set until_millis = excluded.until_millis, expires_at = excluded.expires_at`
        )
      yield* leave(3_600_000)
      const failure = failureOf(yield* Effect.flip(sql`insert into users (name) values ('a'), ('b'), ('c')`))
      expect(failure).toMatchObject({ _tag: "IdsUnavailable", kind: "ClockBehind", isRetryable: true })
      expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 0 }])
      yield* leave(20_000)
      const now = Date.now()
      const [id] = yield* router.nextIds("users", 1)
      expect(IdLayout.millisOf(IdLayout.snowflake, partsOf(id).tick)).toBeGreaterThan(now + 15_000)
    })
  )
})

describe("a meta database that does not answer", () => {
  it.scopedLive(
    "is waited for as long as is said; nothing is written meanwhile, and what is leased goes on",
    () =>
      Effect.gen(function* () {
        const servers = yield* cluster
        const meta = yield* servers.node("meta")
        const proxy = yield* PgProxy.make(meta)
        const { router, sql } = yield* routerOf(servers, {
          meta: PgShard.layer({
            url: proxy.node.url,
            maxConnections: 2,
            acquireTimeout: "700 millis",
            connectTimeout: "700 millis"
          }),
          ids: { waitMillis: 1_000 }
        })
        const counts = Effect.all([
          sql<{ n: number }>`select count(*)::int as n from users`,
          sql<{ n: number }>`select count(*)::int as n from counted`,
          sql<{ n: number }>`select count(*)::int as n from countries`
        ]).pipe(Effect.map((rows) => rows.map(([row]) => row?.n)))
        yield* sql`insert into plain (id, name) values (1, 'x')`
        for (const network of ["stalled", "mute", "closed"] as const) {
          yield* proxy.set(network)
          const [elapsed, codes] = yield* Effect.timed(
            Effect.all(
              [
                codeOf(sql`insert into users (name) values ('a'), ('b'), ('c'), ('d')`),
                codeOf(sql`insert into counted (name) values ('a')`),
                codeOf(sql`insert into countries (name) values ('a')`),
                codeOf(sql`insert into counted (name) select name from plain`),
                codeOf(router.copyFrom("users", ["name"], Stream.make(["a"], ["b"]))),
                codeOf(router.nextId("users"))
              ],
              { concurrency: "unbounded" }
            )
          )
          expect([network, codes]).toEqual([network, Array.from({ length: 6 }, () => "IdsUnavailable")])
          expect(Duration.toMillis(elapsed)).toBeLessThan(2_500)
          expect(yield* counts).toEqual([0, 0, 0])
          // UUIDs need nobody.
          yield* sql`insert into docs (title) values (${network})`
        }
        // In a transaction the statement fails alone.
        const kept = sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`insert into plain (id, name) values (2, 'y'), (3, 'z'), (4, 'z'), (5, 'z')`
            const codes = [
              yield* codeOf(sql`insert into users (name) values ('lost')`),
              yield* codeOf(sql`insert into counted (name) select name from plain`)
            ]
            return codes
          })
        )
        expect(yield* kept).toEqual(["IdsUnavailable", "IdsUnavailable"])
        expect(yield* sql`select count(*)::int as n from plain`).toEqual([{ n: 5 }])
        yield* proxy.set("open")
        yield* Effect.eventually(sql`insert into users (name) values ('a')`)
        yield* Effect.eventually(sql`insert into counted (name) values ('a')`)
        yield* proxy.set("stalled")
        yield* sql`insert into users (name) values ('b'), ('c'), ('d'), ('e')`
        yield* sql`insert into counted (name) values ('b'), ('c')`
        expect(yield* counts).toEqual([5, 3, 0])
      }),
    60_000
  )

  it.scopedLive("says that our tables are missing", () =>
    Effect.gen(function* () {
      const { sql } = yield* routerOf(yield* cluster, { install: false })
      expect(yield* codeOf(sql`insert into users (name) values ('a')`)).toBe("NotInstalled")
      expect(yield* codeOf(sql`insert into counted (name) values ('a')`)).toBe("NotInstalled")
    })
  )
})

describe("generators and schemas", () => {
  it.scopedLive("draw on a topology of one shard, too, where all else passes as it is", () =>
    Effect.gen(function* () {
      const servers = yield* cluster
      const alone = Topology.make({
        shards: ["shard_1"],
        keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
        tables: {
          users: Table.sharded({ key: "id", keyspace: "k", generate: { id: Id.snowflake() } }),
          orders: Table.sharded({ key: "user_id", keyspace: "k", generate: { id: Id.sequence({ start: 500 }) } })
        }
      })
      const { sql } = yield* routerOf(servers, { topology: alone })
      const [user] = yield* sql<Row>`insert into users (name) values ('a') returning id`
      expect(partsOf(user?.id).tick).toBeGreaterThan(0)
      expect(yield* sql`insert into orders (user_id) values (1), (2) returning id`).toEqual([{ id: 500 }, { id: 501 }])
      expect(yield* sql`insert into orders (user_id) select 3 returning id`).toEqual([{ id: 502 }])
      expect(yield* codeOf(sql.unsafe("select 1; insert into orders (user_id) values (3)"))).toBe("SL3005")
      expect(yield* codeOf(sql`insert into named (name) values ('x')`)).toBe("SL2003")
      const reserved = Effect.scoped(
        Effect.flatMap(sql.reserve, (connection) =>
          connection.execute("insert into orders (user_id) values ($1) returning id", [4], undefined)
        )
      )
      expect(yield* reserved).toEqual([{ id: 503 }])
      yield* sql.unsafe("create table other (id serial, name text)")
      expect(yield* sql`insert into other (name) values ('x') returning id`).toEqual([{ id: 1 }])
    })
  )

  it.scopedLive("are compared: a column must be there, hold every value, and take it", () =>
    Effect.gen(function* () {
      const servers = yield* cluster
      for (const { id } of servers.shards) {
        yield* servers.query(
          id,
          `create table wrong (id int8 primary key, small int, always int8 generated always as identity,
             mine int8 generated by default as identity, words varchar(10))`
        )
      }
      const wrong = (generate: Id.Generators) =>
        Effect.gen(function* () {
          const { router } = yield* routerOf(servers, {
            topology: Topology.make({
              shards: ["shard_1", "shard_2", "shard_3"],
              keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
              tables: { wrong: Table.sharded({ key: "id", keyspace: "k", acknowledge: ["always"], generate }) }
            })
          })
          const checked = yield* Effect.either(router.check)
          const inserted = yield* Effect.either(router.query(router.client`insert into wrong (id) values (1)`))
          return [checked, inserted].map((outcome) => (outcome._tag === "Left" ? outcome.left.message : "fine"))
        })
      for (const [generate, text] of [
        [{ small: Id.snowflake() }, "does not hold every value"],
        [{ words: Id.uuidv7() }, "does not hold every value"],
        [{ always: Id.snowflake() }, "GENERATED ALWAYS"],
        [{ missing: Id.snowflake() }, "has no column missing"]
      ] as const) {
        for (const message of yield* wrong(generate)) expect(message).toContain(text)
      }
      expect(yield* wrong({ mine: Id.snowflake(), small: Id.sequence() })).toEqual(["fine", "fine"])
      const invalid = Topology.validate({
        shards: ["shard_1"],
        tables: { t: Table.reference({ generate: { a: Id.sequence({ block: 0 }), b: Id.sequence({ start: 0.5 }) } }) }
      })
      expect(invalid._tag === "Left" && invalid.left.problems.map(({ _tag, path }) => [_tag, path])).toEqual([
        ["InvalidGenerator", "tables.t.generate.a"],
        ["InvalidGenerator", "tables.t.generate.b"]
      ])
      const decoded = Topology.decodeJson(Topology.encodeJson(topology))
      expect(decoded._tag === "Right" && decoded.right).toEqual(topology)
    })
  )
})
