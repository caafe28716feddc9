import "@shardlayer/testing/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, layer } from "@effect/vitest"
import { ShardRouter } from "@shardlayer/core/ShardRouter"
import * as Expect from "@shardlayer/testing/Expect"
import * as QueryLog from "@shardlayer/testing/QueryLog"
import * as Effect from "effect/Effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as World from "./world.js"

/** The message that a matcher fails with. */
const failing = (assertion: () => void): string => {
  try {
    assertion()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  throw new Error("the assertion held")
}

layer(World.layer(), { timeout: "60 seconds", excludeTestServices: true })("expectations", (it) => {
  it.effect("of plans: which shards, and how", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const one = yield* Expect.plan(sql`select * from users where id = ${101}`)
      expect(one).toRouteTo("shard_2")
      expect(one).toBeSingleShard()
      expect(one).toTouchShards(["shard_2"])
      expect(one).not.toRouteTo("shard_1")
      expect(one).not.toScatter()
      const two = yield* Expect.plan(sql`select * from users where id in (1, 201) order by id`)
      expect(two).toTouchShards(["shard_3", "shard_1"])
      expect(two).not.toTouchShards(["shard_1"])
      expect(two).not.toTouchShards(["shard_1", "shard_2", "shard_3"])
      expect(two).toScatter()
      expect(two).toScatter("ScatterMerge")
      expect(two).not.toScatter("Gather")
      expect(two).not.toBeSingleShard()
      const anywhere = yield* Expect.plan(sql`select * from countries`)
      expect(anywhere).toBeSingleShard()
      expect(anywhere).not.toRouteTo("shard_1")
      expect(anywhere).not.toTouchShards(["shard_1", "shard_2", "shard_3"])
    })
  )

  it.effect("of refusals, which run nothing", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [planned, log] = yield* QueryLog.collect(Expect.plan(sql`select * from users for update`))
      expect(planned).toBeRefusedWith("SL4010")
      expect(planned).not.toBeSingleShard()
      expect(planned).not.toScatter()
      expect(log.entries).toEqual([])
      const router = yield* ShardRouter
      const ran = yield* Expect.run(router.query(sql`select * from users`, { scatter: "refuse" }))
      expect(ran).toBeRefusedWith("ScatterRefused")
      expect(ran).not.toBeRefusedWith("SL4010")
      const message = failing(() => expect(planned).toBeRefusedWith("SL0000"))
      expect(message).toContain("expected to be refused with SL0000\nstatement: select * from users for update")
      expect(message).toContain("refused:   SL4010")
    })
  )

  it.effect("of what ran, all statements together", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const ran = yield* Expect.run(
        Effect.all([sql`select name from users where id = 1`, sql`select name from users where id = 2`])
      )
      expect(ran).toRouteTo("shard_1")
      expect(ran).toBeSingleShard()
      expect(ran.log).toTouchShards(["shard_1"])
      const [, log] = yield* QueryLog.collect(
        Effect.all([sql`select name from users where id = 1`, sql`select name from users where id = 101`])
      )
      expect(log).toTouchShards(["shard_1", "shard_2"])
      expect(log).toBeSingleShard()
      expect(log).not.toScatter()
      expect(failing(() => expect(log).toRouteTo("shard_2"))).toMatch(
        /^expected to route to shard_2\nwhat ran:\n {2}# +strategy .*\n {2}1 +SingleShard +shard_1 +1 /
      )
      const none = yield* Expect.run(Effect.void)
      expect(failing(() => expect(none).toBeSingleShard())).toContain("no statement ran")
      expect(() => expect("something else").toRouteTo("shard_1")).toThrow(TypeError)
    })
  )

  it.effect("of rows, as often as they come", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const ran = yield* Expect.run(sql`select user_id, total from orders where user_id = ${1}`)
      const rows = [
        { user_id: "1", total: "20" },
        { user_id: "1", total: "10" }
      ]
      expect(ran).toHaveSameRowsAs(rows)
      expect(ran).not.toHaveSameRowsAs(rows, { ordered: true })
      expect([1, 1, 2]).not.toHaveSameRowsAs([1, 2, 2])
      expect([{ n: 1 }]).not.toHaveSameRowsAs([{ n: "1" }])
      expect([{ n: 1n, at: new Date(0) }]).toHaveSameRowsAs([{ n: 1n, at: new Date(0) }])
      const [first] = rows
      expect(failing(() => expect(ran).toHaveSameRowsAs([first, { user_id: "1", total: "11" }]))).toBe(
        [
          "expected to have the same 2 rows",
          "it has 2 rows",
          "only here (1):",
          '  {user_id: "1", total: "10"}',
          "missing (1):",
          '  {user_id: "1", total: "11"}'
        ].join("\n")
      )
    })
  )

  it.scoped("of plans in files: written once, compared from then on", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "plans-"))),
        (made) => Effect.sync(() => rmSync(made, { recursive: true }))
      )
      const file = join(folder, "deep", "count.plan")
      const count = yield* Expect.plan(sql`select count(*) from users`)
      yield* Expect.matchesPlan(count, file, { accept: true })
      expect(readFileSync(file, "utf8")).toMatch(/^select count\(\*\) from users\n\nstrategy: ScatterMerge\n/)
      expect(count).toMatchPlan(file)
      const other = yield* Expect.plan(sql`select max(id) from users`)
      const message = failing(() => expect(other).toMatchPlan(file))
      expect(message).toContain("- select count(*) from users\n+ select max(id) from users")
      expect(message).toContain("ACCEPT_PLANS=1")
      yield* Expect.matchesPlan(other, file, { accept: true })
      expect(other).toMatchPlan(file)
    })
  )

  it.effect("as effects, for other runners", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const one = yield* Expect.plan(sql`select * from users where id = ${101}`)
      yield* Expect.routesTo(one, "shard_2")
      yield* Expect.touchesShards(one, ["shard_2"])
      yield* Expect.isSingleShard(one)
      yield* Expect.hasSameRowsAs([1, 2], [2, 1])
      const failure = yield* Effect.flip(Expect.routesTo(one, "shard_1"))
      expect(failure).toBeInstanceOf(Expect.ExpectationFailed)
      expect(failure.message.split("\n").slice(0, 4)).toEqual([
        "expected to route to shard_1",
        "statement: select * from users where id = $1",
        "params:    101",
        "strategy: SingleShard"
      ])
      expect((yield* Effect.flip(Expect.scatters(one))).expected).toBe("to scatter over several shards")
      expect((yield* Effect.flip(Expect.isRefusedWith(one, "SL4010"))).expected).toBe("to be refused with SL4010")
    })
  )
})
