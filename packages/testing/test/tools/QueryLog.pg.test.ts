import * as SqlClient from "@effect/sql/SqlClient"
import { expect, layer } from "@effect/vitest"
import { ShardRouter } from "@shardlayer/core/ShardRouter"
import * as QueryLog from "@shardlayer/testing/QueryLog"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as World from "./world.js"

/** Without what depends on the run. */
const callsOf = (calls: ReadonlyArray<QueryLog.Call>) =>
  calls.map(({ outcome, role, rows, shard }) => [shard, role, outcome === "success" ? rows : outcome])

layer(World.layer(), { timeout: "60 seconds", excludeTestServices: true })("QueryLog", (test) => {
  test.effect("says where one statement ran, with what and to what end", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [rows, log] = yield* QueryLog.collect(sql`select name from users where id = ${101}`)
      expect(rows).toEqual([{ name: "Cleo" }])
      const [entry, ...others] = log.entries
      expect(others).toEqual([])
      expect(entry).toMatchObject({
        id: 1,
        operation: "execute",
        sql: "select name from users where id = $1",
        params: [101],
        strategy: "SingleShard",
        shards: ["shard_2"],
        outcome: "success",
        rows: 1,
        transaction: undefined
      })
      expect(entry?.millis).toBeGreaterThan(0)
      expect(callsOf(entry?.calls.filter(({ role }) => role !== "planning") ?? [])).toEqual([
        ["shard_2", "statement", 1]
      ])
    })
  )

  test.effect("tells parts of a merge, each with its rows, and their view's commands as internal", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [rows, log] = yield* QueryLog.collect(sql`select count(*) as n from orders`)
      expect(rows).toEqual([{ n: "5" }])
      const [entry] = log.entries
      expect([entry?.strategy, entry?.shards, entry?.rows]).toEqual([
        "ScatterMerge",
        ["shard_1", "shard_2", "shard_3"],
        1
      ])
      const parts = entry?.calls.filter(({ isInternal }) => !isInternal) ?? []
      expect(callsOf(parts).toSorted()).toEqual(["shard_1", "shard_2", "shard_3"].map((shard) => [shard, "part", 1]))
      const view =
        entry?.calls.filter(({ role, sql: text }) => role === "protocol" && text.includes("LOCK TABLE")) ?? []
      expect(view.map(({ isInternal, shard }) => [shard, isInternal]).toSorted()).toEqual(
        ["shard_1", "shard_2", "shard_3"].map((shard) => [shard, true])
      )
    })
  )

  test.effect("shows a commit over several shards, command by command", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [, log] = yield* QueryLog.collect(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update users set name = 'Ada L.' where id = ${1}`
            yield* sql`update users set name = 'Eva' where id = ${201}`
          })
        )
      )
      expect(log.transactions).toMatchObject([{ id: 1, kind: "program", outcome: "committed" }])
      expect(log.entries.map(({ rows, shards, transaction }) => [rows, shards, transaction?.id])).toEqual([
        [0, ["shard_1"], 1],
        [0, ["shard_3"], 1]
      ])
      const ends = log.calls.filter(({ role, sql: text }) => role === "protocol" && /PREPARE/.test(text))
      expect(ends.map(({ sql: text }) => text.split(" ").slice(0, 2).join(" "))).toEqual([
        "PREPARE TRANSACTION",
        "COMMIT PREPARED"
      ])
      const decision = log.calls.find(({ sql: text }) => text.includes("INSERT INTO shardlayer.decision"))
      expect([decision?.shard, decision?.isInternal]).toEqual(["shard_3", true])
      expect(ends.map(({ shard, transaction }) => [shard, transaction?.id])).toEqual([
        ["shard_1", 1],
        ["shard_1", 1]
      ])
      expect(log.calls.filter(({ role }) => role === "begin").map(({ shard }) => shard)).toEqual(["shard_1", "shard_3"])
    })
  )

  test.effect("names the transaction that the router opens for a write of several shards", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [, log] = yield* QueryLog.collect(sql`update orders set total = total + 1 where id > ${3}`)
      expect(log.transactions).toMatchObject([{ kind: "statement", outcome: "committed" }])
      expect(log.entries).toMatchObject([{ strategy: "Write", transaction: undefined }])
      expect(log.entries[0]?.calls.find(({ role }) => role === "part" || role === "statement")?.transaction?.id).toBe(1)
    })
  )

  test.effect("keeps what failed and what was refused", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [refused, log] = yield* QueryLog.collectExit(sql`select * from users for update`)
      expect(Exit.isFailure(refused)).toBe(true)
      expect(log.entries).toMatchObject([{ shards: [], outcome: "failure", error: { _tag: "UnsupportedQuery" } }])
      const [failed, second] = yield* QueryLog.collectExit(
        sql.withTransaction(sql`insert into users values (1, 'again', null)`)
      )
      expect(Exit.isFailure(failed)).toBe(true)
      expect(second.entries).toMatchObject([
        { shards: ["shard_1"], outcome: "failure", error: { _tag: "StatementFailed", code: "23505" } }
      ])
      expect(second.transactions).toMatchObject([{ outcome: "rolledBack" }])
    })
  )

  test.effect("counts the rows of a stream, and ends it when nobody wants more", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [, whole] = yield* QueryLog.collect(Stream.runCollect(sql`select id from users`.stream))
      expect(whole.entries).toMatchObject([{ operation: "executeStream", rows: 5, outcome: "success" }])
      expect(whole.entries[0]?.shards).toEqual(["shard_1", "shard_2", "shard_3"])
      const [, part] = yield* QueryLog.collect(Stream.runCollect(Stream.take(sql`select id from users`.stream, 1)))
      expect(part.entries).toMatchObject([{ outcome: "success" }])
      expect(part.calls.every(({ outcome }) => outcome !== "open")).toBe(true)
    })
  )

  test.effect("collects what forked fibers do, and nothing of others", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const one = (id: number) => QueryLog.collect(Effect.all([sql`select ${id}::int4 as id`], { concurrency: 2 }))
      const logs = yield* Effect.forEach([1, 2, 3, 4], one, { concurrency: 4 })
      expect(logs.map(([, log]) => log.entries.map(({ params }) => params))).toEqual([[[1]], [[2]], [[3]], [[4]]])
      const [[, inner], outer] = yield* QueryLog.collect(QueryLog.collect(sql`select 1`))
      expect([inner.entries.length, outer.entries.length]).toEqual([1, 1])
      const router = yield* ShardRouter
      const [, pinned] = yield* QueryLog.collect(router.onShard(sql`select 1`, "shard_3"))
      expect(pinned.entries).toMatchObject([{ strategy: "Pinned", shards: ["shard_3"] }])
    })
  )

  test.effect("prints a table and a diagram", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [, log] = yield* QueryLog.collect(
        Effect.all([
          sql`select name from users where id = ${102}`,
          sql`select country, count(*) from users group by country order by country`
        ])
      )
      const table = QueryLog.table(log).replace(/\d+\.\d/g, "n.n")
      expect(table.split("\n").map((line) => line.replace(/ +/g, " ").trim())).toEqual([
        "# strategy shard rows ms transaction sql",
        "1 SingleShard shard_2 1 n.n select name from users where id = $1 [102]",
        "statement shard_2 1 n.n select name from users where id = $1 [102]",
        ...table
          .split("\n")
          .slice(3)
          .map((line) => line.replace(/ +/g, " ").trim())
      ])
      expect(table).toContain("select country, count(*) from users group by country")
      const diagram = QueryLog.mermaid(log)
      expect(diagram.split("\n").slice(0, 9)).toEqual([
        "sequenceDiagram",
        "  participant program",
        "  participant router",
        "  participant shard_1",
        "  participant shard_2",
        "  participant shard_3",
        "  program->>router: select name from users where id = $1  [102]",
        "  Note over router: SingleShard",
        "  router->>shard_2: select name from users where id = $1  [102]"
      ])
      expect(diagram.split("\n").at(-1)).toBe("  router-->>program: 3 rows")
    })
  )
})

layer(Layer.provideMerge(World.layer(), QueryLog.layer), { timeout: "60 seconds", excludeTestServices: true })(
  "QueryLog.layer",
  (test) => {
    test.effect("watches everything that it is provided to, until it is cleared", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { clear, entries } = yield* QueryLog.QueryLog
        expect((yield* entries).filter(({ sql: text }) => text.startsWith("create table")).length).toBe(3)
        yield* clear
        yield* sql`select 1`
        expect(yield* entries).toMatchObject([{ id: 1, sql: "select 1", strategy: "AnyShard" }])
      })
    )
  }
)
