/**
 * Routers that are wrong on purpose: each mistake is found by the tools that users get. The same statements on the router
 * as it is find nothing, so that it is the mistake that is found.
 */
import "@shardlayer/testing/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, it, layer } from "@effect/vitest"
import type * as Aggregates from "@shardlayer/core/merge/Aggregates"
import type * as Prune from "@shardlayer/core/plan/Prune"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Expect from "@shardlayer/testing/Expect"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as QueryLog from "@shardlayer/testing/QueryLog"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { afterEach, vi } from "vitest"
import * as World from "./world.js"

const broken = vi.hoisted(() => ({ sums: false, lists: false, commits: false }))

vi.mock("@shardlayer/core/merge/Aggregates", async (original) => {
  const real = await original<typeof Aggregates>()
  return {
    ...real,
    // What the second shard gives for a group replaces what the first gave.
    make: (...[aggregate, ...rest]: Parameters<typeof Aggregates.make>) =>
      real.make(broken.sums && aggregate._tag === "Sum" ? { ...aggregate, _tag: "Max" } : aggregate, ...rest)
  }
})

vi.mock("@shardlayer/core/plan/Prune", async (original) => {
  const real = await original<typeof Prune>()
  return {
    ...real,
    keysOf: (...args: Parameters<typeof Prune.keysOf>) =>
      Either.map(real.keysOf(...args), (found) =>
        broken.lists && found._tag === "Keys" && found.keys.length > 1 ? { ...found, keys: found.keys.slice(1) } : found
      )
  }
})

afterEach(() => {
  broken.sums = false
  broken.lists = false
  broken.commits = false
})

const setup: Oracle.Setup = { topology: World.topology, schema: World.schema, seed: World.seed }

const statements = [
  "select country, sum(total) as total from users join orders on user_id = users.id group by country order by country",
  { sql: "select name from users where id in ($1, $2) order by name", params: [1, 201] }
]

it.live("nothing is found where nothing is wrong", () =>
  Effect.gen(function* () {
    expect(yield* Oracle.differential({ ...setup, statements })).toEqual({ compared: 2, refused: [], undetermined: [] })
  })
)

it.live("a merge rule that is broken", () =>
  Effect.gen(function* () {
    broken.sums = true
    const { difference } = yield* Effect.flip(Oracle.differential({ ...setup, statements })).pipe(
      Effect.filterOrDie(
        (error) => error._tag === "OracleDiffers",
        (error) => error
      )
    )
    expect(difference).toMatchObject({
      place: 1,
      strategy: "ScatterMerge",
      onlyOnOne: ['["de","60"]'],
      onlyOnShards: ['["de","30"]']
    })
  })
)

it.live("a key of an IN-list that is lost, by its rows", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const sides = yield* Oracle.make(setup)
      broken.lists = true
      const { difference } = yield* Effect.flip(sides.statements(statements))
      expect(difference).toMatchObject({ place: 2, params: [1, 201], onlyOnOne: ['["Ada"]'], onlyOnShards: [] })
    })
  )
)

layer(World.layer(), { timeout: "60 seconds", excludeTestServices: true })("by its shards", (test) => {
  test.effect("a key of an IN-list that is lost", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statement = sql`select name from users where ${sql.in("id", [1, 201])}`
      expect(yield* Expect.plan(statement)).toTouchShards(["shard_1", "shard_3"])
      broken.lists = true
      expect(yield* Expect.plan(statement)).not.toTouchShards(["shard_1", "shard_3"])
      expect(yield* Expect.run(statement)).not.toTouchShards(["shard_1", "shard_3"])
    })
  )
})

/** It says that it has committed what is prepared. */
const commitLog: typeof PgCommitLog.make = {
  ...PgCommitLog.make,
  finish: (...args) => (broken.commits ? Effect.succeed("done") : PgCommitLog.make.finish(...args))
}

const transfer = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(
    Effect.zipRight(
      sql`update orders set total = total - 5 where user_id = ${1} and id = ${1}`,
      sql`update orders set total = total + 5 where user_id = ${201} and id = ${4}`
    )
  )
})

it.live("a COMMIT PREPARED that is skipped, by the rows and by the log", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const honest = yield* Oracle.make(setup)
      const [, whole] = yield* QueryLog.collect(honest.program(transfer))
      expect(ends(whole)).toEqual(["PREPARE TRANSACTION shard_1", "COMMIT PREPARED shard_1"])

      const skipping = yield* Oracle.make({ ...setup, config: { commitLog } })
      broken.commits = true
      const [error, log] = yield* QueryLog.collect(Effect.flip(skipping.program(transfer)))
      expect(error.difference.reason).toContain("table orders holds")
      expect(ends(log)).toEqual(["PREPARE TRANSACTION shard_1"])
      // A database with a prepared transaction cannot be dropped.
      broken.commits = false
      yield* skipping.router.recover({ grace: "0 seconds" })
      expect(yield* skipping.router.inDoubt).toEqual([])
    })
  )
)

const ends = (log: QueryLog.Log) =>
  log.calls.flatMap(({ shard, sql }) => {
    const [found] = /^(PREPARE TRANSACTION|COMMIT PREPARED)/.exec(sql) ?? []
    return found === undefined ? [] : [`${found} ${shard}`]
  })
