/** `SEED` and `COUNT` make another run, or a longer one; what a find teaches goes into the corpus. */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Cluster from "./cluster.js"
import * as Generator from "./generator.js"

const topology: Topology.Topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }), p: Keyspace.hash({ key: ["int4", "text"] }) },
  tables: {
    t0: Table.sharded({ key: "k", keyspace: "k" }),
    t1: Table.sharded({ key: "k", keyspace: "k" }),
    t2: Table.sharded({ key: "k", keyspace: "k" }),
    t3: Table.sharded({ key: "k", keyspace: "k" }),
    p0: Table.sharded({ key: ["a", "b"], keyspace: "p" }),
    p1: Table.sharded({ key: ["a", "b"], keyspace: "p" }),
    r0: Table.reference(),
    r1: Table.reference()
  }
})

const seed = Number(process.env["SEED"] ?? 1)
const count = Number(process.env["COUNT"] ?? 1_000)

const literal = (value: number | string | null) =>
  value === null ? "null" : typeof value === "number" ? String(value) : `'${value}'`

/** The same rows on both sides, each on the shard of its key. */
const load = (world: Cluster.World, r: Generator.Random) =>
  Effect.promise(async () => {
    for (const name of [...Generator.sharded, ...Generator.references]) {
      for (let i = 0; i < 12; i++) {
        const row = Generator.row(r, name !== "t3")
        const sql = `insert into ${name} values (${row.map(literal).join(", ")})`
        await world.oracle.run(sql)
        const table = topology.tables[name]
        const homes =
          table?._tag === "Sharded" ? [world.shard(Cluster.ownerOf(topology, table, [row[0]]))] : world.shards
        for (const home of homes) await home.run(sql)
      }
    }
    for (const name of ["p0", "p1"]) {
      for (let i = 0; i < 15; i++) {
        const [a = null, b = null, v = null] = Generator.pairRow(r)
        const table = topology.tables[name]
        if (table?._tag !== "Sharded") throw new Error("pairs are sharded")
        const sql = `insert into ${name} (a, b, v) values (${[a, b, v].map(literal).join(", ")})`
        await world.oracle.run(sql)
        await world.shard(Cluster.ownerOf(topology, table, [a, b])).run(sql)
      }
    }
  })

const tables = (sides: ReadonlyArray<Cluster.Side>) =>
  Effect.promise(async () => {
    const found: Record<string, ReadonlyArray<string>> = {}
    for (const name of Generator.sharded) {
      const rows: Array<string> = []
      for (const side of sides) rows.push(...Cluster.multiset(await side.run(`select * from ${name}`)))
      found[name] = rows.sort()
    }
    return found
  })

/** Every row is where the router would look for it. */
const misplaced = (world: Cluster.World) =>
  Effect.promise(async () => {
    const wrong: Array<string> = []
    for (const name of Generator.sharded) {
      const table = topology.tables[name]
      if (table?._tag !== "Sharded") continue
      for (const shard of world.shards) {
        const answer = await shard.run(`select k from ${name}`)
        for (const [k] of answer._tag === "Rows" ? answer.rows : []) {
          if (Cluster.ownerOf(topology, table, [k]) !== shard.id) wrong.push(`${name} ${k ?? "NULL"} on ${shard.id}`)
        }
      }
    }
    return wrong
  })

/** Longer runs tell what they saw. */
const report = (...words: ReadonlyArray<unknown>) => process.stderr.write(`${words.join(" ")}\n`)

const counted = (answer: Cluster.Answer) => ({
  rows: Cluster.multiset(answer),
  count: answer._tag === "Rows" ? answer.count : undefined
})

const everywhere = (world: Cluster.World, sql: string) =>
  Effect.promise(() => Promise.all([world.oracle, ...world.shards].map((side) => side.run(sql))))

describe("random statements", () => {
  it.scopedLive(
    `${count} reads answer as one PostgreSQL does`,
    () =>
      Effect.gen(function* () {
        const world = yield* Cluster.make(topology, Generator.schema)
        yield* load(world, Generator.random(seed))
        const seen = { ran: 0, many: 0, refused: 0, failed: 0 }
        for (let i = 0; i < count; i++) {
          const { params, sql } = Generator.select(Generator.random(seed * 1_000_003 + i))
          const expected = yield* Effect.promise(() => world.oracle.run(sql, params))
          if (expected._tag === "Failed") {
            if (process.env["FAILURES"] !== undefined) report(expected.message, sql)
            seen.failed++
            continue
          }
          const outcome = yield* Cluster.run(world, sql, params)
          if (outcome._tag === "Refused") {
            if (outcome.error._tag !== "UnsupportedQuery" && outcome.error._tag !== "OperationRefused")
              throw new Error(`${outcome.error.message}\n${sql}`)
            seen.refused++
            continue
          }
          seen.ran++
          if (outcome.shards > 1) seen.many++
          expect(
            Cluster.multiset(outcome.answer),
            `${sql}\n-- ${JSON.stringify(params)}\n${JSON.stringify(outcome.plan, undefined, 1)}`
          ).toEqual(Cluster.multiset(expected))
        }
        if (process.env["COUNT"] !== undefined) report(JSON.stringify(seen))
        expect(seen.ran).toBeGreaterThan(count / 4)
        expect(seen.many).toBeGreaterThan(count / 20)
        expect(seen.failed).toBeLessThan(count / 4)
      }),
    600_000
  )

  it.scopedLive(
    `${Math.ceil(count / 3)} writes do what one PostgreSQL does, and put each row where it belongs`,
    () =>
      Effect.gen(function* () {
        const world = yield* Cluster.make(topology, Generator.schema)
        yield* load(world, Generator.random(seed))
        const seen = { ran: 0, refused: 0, failed: 0 }
        for (let i = 0; i < count / 3; i++) {
          const r = Generator.random(seed * 1_000_033 + i)
          const { params, sql } = Generator.write(r)
          yield* everywhere(world, "begin")
          const expected = yield* Effect.promise(() => world.oracle.run(sql, params))
          const outcome = expected._tag === "Failed" ? undefined : yield* Cluster.run(world, sql, params)
          if (outcome === undefined) {
            if (process.env["FAILURES"] !== undefined) report(expected._tag === "Failed" && expected.message, sql)
            seen.failed++
          } else if (outcome._tag === "Refused") {
            if (outcome.error._tag !== "UnsupportedQuery" && outcome.error._tag !== "OperationRefused")
              throw new Error(`${outcome.error.message}\n${sql}`)
            seen.refused++
          } else {
            seen.ran++
            const label = `${sql}\n-- ${JSON.stringify(params)}\n${JSON.stringify(outcome.plan, undefined, 1)}`
            expect(counted(outcome.answer), label).toEqual(counted(expected))
            expect(yield* tables(world.shards), label).toEqual(yield* tables([world.oracle]))
            expect(yield* misplaced(world), label).toEqual([])
          }
          yield* everywhere(world, "rollback")
        }
        if (process.env["COUNT"] !== undefined) report(JSON.stringify(seen))
        expect(seen.ran).toBeGreaterThan(count / 20)
      }),
    600_000
  )
})
