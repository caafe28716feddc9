/** Every statement of the corpus that is planned runs on shards and on one PostgreSQL, with several parameters. */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Cluster from "./cluster.js"
import * as Corpus from "./corpus.js"
import { fileUrl, schemaSql, topology, topologyUnlisted } from "./world.js"

const data = readFileSync(fileUrl("data.sql"), "utf8")

const quoted = (name: string) =>
  name
    .split(".")
    .map((part) => `"${part}"`)
    .join(".")

/** Everything everywhere, then away with what belongs elsewhere. */
const load = (world: Cluster.World) =>
  Effect.promise(async () => {
    for (const side of [world.oracle, ...world.shards]) {
      const answer = await side.run(data)
      if (answer._tag === "Failed") throw new Error(answer.message)
    }
    for (const shard of world.shards) {
      await shard.run("set session_replication_role = replica")
      for (const table of Object.values(world.topology.tables)) {
        if (table._tag === "Single" && table.shard !== shard.id) await shard.run(`delete from ${quoted(table.id)}`)
        if (table._tag !== "Sharded") continue
        const columns = table.columns.map((column) => `"${column}"::text`).join(", ")
        // A place is unique in one partition.
        const place = "tableoid::text || ctid::text"
        const rows = await shard.run(`select ${place}, ${columns} from ${quoted(table.id)}`)
        const foreign =
          rows._tag === "Failed"
            ? []
            : rows.rows.filter(([, ...key]) => Cluster.ownerOf(world.topology, table, key) !== shard.id)
        await shard.run(`delete from ${quoted(table.id)} where ${place} = any($1)`, [foreign.map(([at]) => at)])
      }
      await shard.run("set session_replication_role = origin")
    }
    const unlisted = world.topology.unlisted
    for (const shard of world.shards) if (shard.id !== unlisted) await shard.run("delete from audit_log")
  })

/** Contents of all tables: of a sharded one over all shards, of another on the shard it lives on. */
const contents = (world: Cluster.World, sides: ReadonlyArray<Cluster.Side>) =>
  Effect.promise(async () => {
    const found: Record<string, ReadonlyArray<string>> = {}
    for (const table of Object.values(world.topology.tables)) {
      const homes =
        sides.length === 1 || table._tag === "Sharded"
          ? sides
          : sides.filter((side) => side.id === (table._tag === "Single" ? table.shard : world.topology.shards[0]))
      const rows: Array<string> = []
      for (const side of homes) rows.push(...Cluster.multiset(await side.run(`select * from ${quoted(table.id)}`)))
      found[table.id] = rows.map(withoutClock).sort()
    }
    return found
  })

/** Defaults of now() differ by the time between both sides. The data is of 2020. */
const withoutClock = (row: string) => row.replaceAll(/"20(2[1-9]|[3-9]\d)-\d\d-\d\d [^"]*"/g, '"now"')

const rowsOf = (answer: Cluster.Answer) => Cluster.multiset(answer).map(withoutClock)

/** One value for all parameters; those whose type it does not fit are passed over. */
const values: ReadonlyArray<unknown> = [1, 4, 99, null, "x", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", [1, 4], ["x"]]

const paramsOf = (sql: string): ReadonlyArray<ReadonlyArray<unknown>> => {
  const count = Math.max(0, ...[...sql.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)))
  return count === 0 ? [[]] : values.map((value) => Array.from({ length: count }, () => value))
}

/** Answers that SQL leaves open, or that name what differs from server to server. */
const isOpen = (sql: string) =>
  /random|now\(\)|current_|localtime|gen_random_uuid|regclass|pg_class|information_schema|xmin|ctid|any_value/.test(
    sql
  ) ||
  /limit 1\) |limit 3\) o|over \(\)|desc limit 3|nulls last limit 2|order by 2 limit 5 offset 1/.test(sql) ||
  (/\b(limit|offset|fetch)\b/.test(sql) && !/order by/.test(sql))

const compare = (world: Cluster.World, sql: string, params: Cluster.Params) =>
  Effect.gen(function* () {
    const everywhere = (text: string) =>
      Effect.promise(() => Promise.all([world.oracle, ...world.shards].map((side) => side.run(text))))
    yield* everywhere("begin")
    const expected = yield* Effect.promise(() => world.oracle.run(sql, params))
    const outcome = expected._tag === "Failed" ? undefined : yield* Cluster.run(world, sql, params)
    const label = `${sql}\n-- ${JSON.stringify(params)}`
    if (outcome?._tag === "Ran") {
      if (!isOpen(sql)) expect(rowsOf(outcome.answer), label).toEqual(rowsOf(expected))
      else expect(outcome.answer, label).toMatchObject({ _tag: "Rows" })
      if (!/^(-- .*\n)*\s*(select|table|values)\b/.test(sql))
        expect(yield* contents(world, world.shards), label).toEqual(yield* contents(world, [world.oracle]))
    }
    yield* everywhere("rollback")
    return outcome?._tag === "Ran" ? 1 : 0
  })

const runAll = (of: Topology, isUnlisted: boolean) =>
  Effect.gen(function* () {
    const world = yield* Cluster.make(of, schemaSql)
    yield* load(world)
    let ran = 0
    for (const folder of ["plans", "refusals"]) {
      for (const file of Corpus.files(folder).filter((name) => name !== "statements.refusal")) {
        for (const { sql } of Corpus.read(folder, file).filter(
          (each) => each.sql.startsWith("-- unlisted") === isUnlisted
        )) {
          for (const params of paramsOf(sql)) ran += yield* compare(world, sql, params)
        }
      }
    }
    return ran
  })

describe("the corpus on real shards", () => {
  it.scopedLive(
    "answers as one PostgreSQL does",
    () => Effect.map(runAll(topology, false), (ran) => expect(ran).toBeGreaterThan(250)),
    300_000
  )

  it.scopedLive(
    "with a home for unlisted tables too",
    () => Effect.map(runAll(topologyUnlisted, true), (ran) => expect(ran).toBeGreaterThan(8)),
    120_000
  )
})
