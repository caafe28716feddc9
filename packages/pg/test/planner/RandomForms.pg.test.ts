/**
 * Random statements over the same rows in other forms: derived tables as views (in views), plain tables as partitioned
 * ones. `SEED` and `COUNT` make another run, or a longer one.
 */
import { expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Cluster from "./cluster.js"
import * as Generator from "./generator.js"
import { viewed } from "./viewed.js"

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
const count = Number(process.env["COUNT"] ?? 150)

const columns = "(k int8, x int4, y int8, f float8, n numeric, s text)"

/** By range, by list with a default, by hash of the key, and by an expression. */
const partitioned = Generator.schema
  .replace(
    `create table t0 ${columns};`,
    `create table t0 ${columns} partition by range (x);
     create table t0_low partition of t0 for values from (minvalue) to (2);
     create table t0_high partition of t0 for values from (2) to (maxvalue);
     create table t0_rest partition of t0 default;`
  )
  .replace(
    `create table t1 ${columns};`,
    `create table t1 ${columns} partition by hash (k);
     create table t1_0 partition of t1 for values with (modulus 2, remainder 0);
     create table t1_1 partition of t1 for values with (modulus 2, remainder 1) partition by list (s);
     create table t1_1_0 partition of t1_1 for values in ('0', null);
     create table t1_1_rest partition of t1_1 default;`
  )
  .replace(
    `create table r0 ${columns};`,
    `create table r0 ${columns} partition by list ((coalesce(y, 0) % 2));
     create table r0_even partition of r0 for values in (0);
     create table r0_odd partition of r0 for values in (1);`
  )

const literal = (value: number | string | null) =>
  value === null ? "null" : typeof value === "number" ? String(value) : `'${value}'`

/** The same rows on both sides, each on the shard of its key. */
const load = (world: Cluster.World, r: Generator.Random) =>
  Effect.promise(async () => {
    const insert = async (name: string, names: string, row: Generator.Row, key: Generator.Row) => {
      const sql = `insert into ${name} (${names}) values (${row.map(literal).join(", ")})`
      const table = topology.tables[name]
      const isSharded = table?._tag === "Sharded"
      const homes = isSharded ? [world.shard(Cluster.ownerOf(topology, table, key))] : world.shards
      for (const side of [world.oracle, ...homes]) {
        const answer = await side.run(sql)
        if (answer._tag === "Failed") throw new Error(`${answer.message}: ${sql}`)
      }
    }
    for (const name of [...Generator.sharded, ...Generator.references]) {
      for (let i = 0; i < 12; i++) {
        const row = Generator.row(r, name !== "t3")
        await insert(name, Generator.columns.join(", "), row, row.slice(0, 1))
      }
    }
    for (const name of ["p0", "p1"]) {
      for (let i = 0; i < 15; i++) {
        const row = Generator.pairRow(r)
        await insert(name, "a, b, v", row, row.slice(0, 2))
      }
    }
  })

const contents = (sides: ReadonlyArray<Cluster.Side>) =>
  Effect.promise(async () => {
    const found: Record<string, ReadonlyArray<string>> = {}
    for (const name of Generator.sharded) {
      const rows: Array<string> = []
      for (const side of sides) rows.push(...Cluster.multiset(await side.run(`select * from ${name}`)))
      found[name] = rows.sort()
    }
    return found
  })

const everywhere = (world: Cluster.World, sql: string) =>
  Effect.promise(() => Promise.all([world.oracle, ...world.shards].map((side) => side.run(sql))))

it.scopedLive(
  `${count} reads through views over partitioned tables answer as one PostgreSQL does`,
  () =>
    Effect.gen(function* () {
      const world = yield* Cluster.make(topology, partitioned)
      yield* load(world, Generator.random(seed))
      // All views come first: a planner that finds a name unknown reads the catalog again.
      const statements: Array<{ readonly sql: string; readonly written: string; readonly params: Cluster.Params }> = []
      const definitions: Array<string> = []
      for (let i = 0; i < count; i++) {
        const { params, sql } = Generator.select(Generator.random(seed * 1_000_019 + i))
        const made = yield* Effect.promise(() =>
          viewed(sql, `v${i}`, async (definition) => (await world.oracle.run(definition))._tag === "Rows")
        )
        definitions.push(...made.definitions)
        statements.push({ sql, written: made.sql, params })
      }
      for (const definition of definitions) {
        for (const shard of world.shards)
          expect(yield* Effect.promise(() => shard.run(definition))).toMatchObject({ _tag: "Rows" })
      }
      const seen = { views: definitions.length, ran: 0, many: 0, refused: 0, failed: 0 }
      for (const { params, sql, written } of statements) {
        const expected = yield* Effect.promise(() => world.oracle.run(sql, params))
        if (expected._tag === "Failed") {
          seen.failed++
          continue
        }
        const outcome = yield* Cluster.run(world, written, params)
        if (outcome._tag === "Refused") {
          if (outcome.error._tag !== "UnsupportedQuery" && outcome.error._tag !== "OperationRefused")
            throw new Error(`${outcome.error.message}\n${written}`)
          seen.refused++
          continue
        }
        seen.ran++
        if (outcome.shards > 1) seen.many++
        const label = `${sql}\n${written}\n-- ${JSON.stringify(params)}`
        expect(Cluster.multiset(outcome.answer), label).toEqual(Cluster.multiset(expected))
      }
      if (process.env["COUNT"] !== undefined) process.stderr.write(`${JSON.stringify(seen)}\n`)
      expect(seen.views).toBeGreaterThan(count / 4)
      expect(seen.ran).toBeGreaterThan(count / 4)
      expect(seen.many).toBeGreaterThan(count / 20)
    }),
  600_000
)

it.scopedLive(
  `${count} writes to partitioned tables do what one PostgreSQL does`,
  () =>
    Effect.gen(function* () {
      const world = yield* Cluster.make(topology, partitioned)
      yield* load(world, Generator.random(seed))
      const seen = { ran: 0, refused: 0, failed: 0 }
      for (let i = 0; i < count; i++) {
        const { params, sql } = Generator.write(Generator.random(seed * 1_000_039 + i))
        yield* everywhere(world, "begin")
        const expected = yield* Effect.promise(() => world.oracle.run(sql, params))
        const outcome = expected._tag === "Failed" ? undefined : yield* Cluster.run(world, sql, params)
        if (outcome === undefined) seen.failed++
        else if (outcome._tag === "Refused") {
          if (outcome.error._tag !== "UnsupportedQuery" && outcome.error._tag !== "OperationRefused")
            throw new Error(`${outcome.error.message}\n${sql}`)
          seen.refused++
        } else {
          seen.ran++
          const label = `${sql}\n-- ${JSON.stringify(params)}`
          expect(Cluster.multiset(outcome.answer), label).toEqual(Cluster.multiset(expected))
          expect(yield* contents(world.shards), label).toEqual(yield* contents([world.oracle]))
        }
        yield* everywhere(world, "rollback")
      }
      if (process.env["COUNT"] !== undefined) process.stderr.write(`${JSON.stringify(seen)}\n`)
      expect(seen.ran).toBeGreaterThan(count / 20)
    }),
  600_000
)
