/** Random conditions on keys, on shards and on one PostgreSQL. `SEED` and `COUNT` make another run, or a longer one. */
import { describe, expect, it } from "@effect/vitest"
import * as Bind from "@shardlayer/core/plan/Bind"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Cluster from "./cluster.js"
import * as Generator from "./generator.js"
import * as Predicates from "./predicates.js"

const topology: Topology.Topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  keyspaces: {
    range: Keyspace.range({
      key: ["int8"],
      bounds: [
        { to: 3, shard: "shard_1" },
        { from: 3, to: 10, shard: "shard_2" },
        { from: 10, to: 20, shard: "shard_3" },
        { from: 30, shard: "shard_1" }
      ],
      pins: [{ key: 15, shard: "shard_4" }]
    }),
    hash: Keyspace.hash({ key: ["int8"], pins: [{ key: 3, shard: "shard_4" }] }),
    list: Keyspace.list({
      key: ["int8"],
      entries: [
        { keys: [-3, 0, 1, 2], shard: "shard_1" },
        { keys: [3, 4, 11, 30], shard: "shard_2" }
      ],
      otherwise: "shard_3"
    }),
    amount: Keyspace.range({
      key: ["numeric"],
      bounds: [
        { to: "1", shard: "shard_1" },
        { from: "1", to: "2.5", shard: "shard_2" },
        { from: "2.5", to: "7", shard: "shard_3" },
        { from: "7", shard: "shard_4" }
      ]
    }),
    flag: Keyspace.hash({ key: ["bool"] }),
    day: Keyspace.range({
      key: ["date"],
      bounds: [
        { to: "2020-01-01", shard: "shard_1" },
        { from: "2020-01-01", to: "2020-02-01", shard: "shard_2" },
        { from: "2020-02-01", shard: "shard_3" }
      ]
    }),
    word: Keyspace.range({
      key: ["text"],
      bounds: [
        { to: "a", shard: "shard_1" },
        { from: "a", to: "m", shard: "shard_2" },
        { from: "m", to: "z", shard: "shard_3" },
        { from: "z", shard: "shard_4" }
      ]
    }),
    pair: Keyspace.hash({ key: ["int4", "text"] })
  },
  tables: {
    ...Object.fromEntries(
      Object.entries(Predicates.keyspaces).flatMap(([keyspace, tables]) =>
        tables.map(({ name }) => [name, Table.sharded({ key: "k", keyspace })])
      )
    ),
    p0: Table.sharded({ key: ["a", "b"], keyspace: "pair" }),
    p1: Table.sharded({ key: ["a", "b"], keyspace: "pair" })
  }
} as never)

const seed = Number(process.env["SEED"] ?? 1)
const count = Number(process.env["COUNT"] ?? 200)

const sharded = (name: string): Table.Sharded => {
  const table = topology.tables[name]
  if (table?._tag !== "Sharded") throw new Error(`${name} is not sharded`)
  return table
}

const load = (world: Cluster.World, r: Generator.Random) =>
  Effect.promise(async () => {
    const insert = async (name: string, columns: ReadonlyArray<string>, values: ReadonlyArray<string | null>) => {
      const table = sharded(name)
      const key = table.columns.map((column) => values[columns.indexOf(column)])
      const places = values.map((_, index) => `$${index + 1}`).join(", ")
      const sql = `insert into ${name} (${columns.join(", ")}) values (${places})`
      for (const side of [world.oracle, world.shard(Cluster.ownerOf(topology, table, key))]) {
        const answer = await side.run(sql, values)
        if (answer._tag === "Failed") throw new Error(`${sql}: ${answer.message}`)
      }
    }
    for (const [keyspace, tables] of Object.entries(Predicates.keyspaces)) {
      for (const table of tables) {
        for (let i = 0; i < 40; i++) {
          await insert(table.name, Object.keys(table.columns), Predicates.row(r, keyspace, table))
        }
      }
    }
    for (const name of ["p0", "p1"]) {
      for (let i = 0; i < 40; i++) await insert(name, ["a", "b", "x"], Predicates.pairRow(r))
    }
  })

interface Seen {
  ran: number
  narrow: number
  one: number
  refused: number
  failed: number
}

const compare = (world: Cluster.World, { params, sql }: Predicates.Statement, seen: Seen) =>
  Effect.gen(function* () {
    const expected = yield* Effect.promise(() => world.oracle.run(sql, params))
    if (expected._tag === "Failed") {
      if (process.env["FAILURES"] !== undefined) process.stderr.write(`${expected.message}: ${sql}\n`)
      seen.failed++
      return
    }
    const outcome = yield* Cluster.run(world, sql, params)
    const label = `${sql}\n-- ${JSON.stringify(params)}`
    if (outcome._tag === "Refused") {
      // A key that is named and that nobody owns is an error, not an empty answer.
      if (outcome.error._tag !== "UnsupportedQuery" && outcome.error._tag !== "KeyUnassigned") {
        throw new Error(`${outcome.error.message}\n${label}`)
      }
      seen.refused++
      return
    }
    // Texts of several collations: an error of the server, which it sees sooner where columns are written anew.
    if (outcome.answer._tag === "Failed" && ["42P21", "42P22"].includes(outcome.answer.code)) {
      seen.refused++
      return
    }
    seen.ran++
    if (outcome.shards < topology.shards.length) seen.narrow++
    if (outcome.shards === 1) seen.one++
    expect(Cluster.multiset(outcome.answer), `${label}\n${JSON.stringify(outcome.plan, undefined, 1)}`).toEqual(
      Cluster.multiset(expected)
    )
  })

const statement = (r: Generator.Random, keyspace: string): Predicates.Statement =>
  keyspace === "pair"
    ? Predicates.pair(r)
    : r.chance(0.4)
      ? Predicates.joined(r, keyspace)
      : Predicates.select(r, keyspace)

const none = (): Seen => ({ ran: 0, narrow: 0, one: 0, refused: 0, failed: 0 })

describe("random conditions on keys", () => {
  it.scopedLive(
    `${count} a keyspace answer as one PostgreSQL does`,
    () =>
      Effect.gen(function* () {
        const world = yield* Cluster.make(topology, Predicates.schema)
        yield* load(world, Generator.random(seed))
        for (const keyspace of [...Object.keys(Predicates.keyspaces), "pair"]) {
          const seen = none()
          for (let i = 0; i < count; i++) {
            const r = Generator.random(seed * 1_000_003 + i)
            yield* compare(world, statement(r, keyspace), seen)
          }
          if (process.env["COUNT"] !== undefined) process.stderr.write(`${keyspace} ${JSON.stringify(seen)}\n`)
          expect(seen.ran, keyspace).toBeGreaterThan(count / 2)
          expect(seen.narrow, keyspace).toBeGreaterThan(count / 6)
        }
      }),
    600_000
  )

  it.scopedLive(
    `${count} writes do what one PostgreSQL does, where one shard is enough`,
    () =>
      Effect.gen(function* () {
        const world = yield* Cluster.make(topology, Predicates.schema)
        yield* load(world, Generator.random(seed))
        const everywhere = (sql: string) =>
          Effect.promise(() => Promise.all([world.oracle, ...world.shards].map((side) => side.run(sql))))
        const seen = none()
        for (let i = 0; i < count; i++) {
          const r = Generator.random(seed * 1_000_033 + i)
          yield* everywhere("begin")
          yield* compare(world, Predicates.write(r, r.pick(Object.keys(Predicates.keyspaces))), seen)
          yield* everywhere("rollback")
        }
        if (process.env["COUNT"] !== undefined) process.stderr.write(`writes ${JSON.stringify(seen)}\n`)
        expect(seen.ran).toBeGreaterThan(count / 6)
      }),
    300_000
  )

  it.scopedLive("a parameter that turns out NULL is stored where NULL lives", () =>
    Effect.gen(function* () {
      const world = yield* Cluster.make(topology, Predicates.schema)
      const home = Cluster.ownerOf(topology, sharded("h0"), [null])
      for (const sql of [
        "insert into h0 (k) select v.k from (values ($1::int8)) v(k)",
        "insert into h0 (k) select q.k from (select $1::int8 as k) q",
        "insert into h0 (k) select $1::int8"
      ]) {
        const plan = yield* world.planner.plan(sql)
        const bound = Either.getOrThrow(Bind.bind(plan, [null], topology, () => undefined))
        expect(bound, sql).toMatchObject({ _tag: "OneShard", shard: home })
      }
    })
  )
})
