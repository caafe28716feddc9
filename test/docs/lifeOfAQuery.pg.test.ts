/** What docs/life-of-a-query.md shows of one statement is what the router makes of it. */
import { SqlClient } from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import type { Plan } from "@shardlayer/core/plan/Plan"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgPlanner from "@shardlayer/pg/PgPlanner"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import { ddl, topology } from "../../examples/src/schema.js"
import { page } from "./page.js"

const life = page("docs/life-of-a-query.md")
const compiled = life.text("1-a-statement-and-nothing-else text")
const planned = life.text("4-on-a-miss-parse-analyze-plan json")
const answers = life.text("7-merge text")
const explained = life.text("see-it text")
const [sql = "", params = ""] = compiled.split(/ {2,}\[/)
const values = JSON.parse(`[${params}`) as ReadonlyArray<unknown>

const rows = [
  "insert into countries values ('DE', 'Germany', 'EU', 'Berlin'), ('FR', 'France', 'EU', 'Paris'), ('KE', 'Kenya', 'AF', 'Nairobi')",
  `insert into places (city_id, name, country, feature, admin, population, longitude, latitude) values
    (2950159, 'Berlin', 'DE', '', '', 3426354, 0, 0), (2988507, 'Paris', 'FR', '', '', 2138551, 0, 0),
    (184745, 'Nairobi', 'KE', '', '', 2750547, 0, 0)`
]
const over = Effect.provide(
  PgCluster.layer({
    mode: "databases",
    topology,
    schema: Effect.flatMap(SqlClient, (client) => Effect.forEach([...ddl, ...rows], (text) => client.unsafe(text)))
  })
)
const statement = Effect.map(SqlClient, (client) => client.unsafe(sql, values))

life.runs<{ program: Effect.Effect<unknown, unknown, PgRouter.Provided> }>("the-life-of-a-query ts", ({ program }) =>
  Effect.gen(function* () {
    expect(yield* program).toEqual([
      { name: "Berlin", country: "Germany" },
      { name: "Nairobi", country: "Kenya" }
    ])
  }).pipe(over)
)

it.scopedLive("what the template compiles to, and what explain says of it", () =>
  Effect.gen(function* () {
    const router = yield* ShardRouter.ShardRouter
    expect(`${yield* router.explain(yield* statement, { format: "text" })}\n`).toBe(explained)
  }).pipe(over)
)

it.scopedLive("the plan, and the rows of the shards that it names", () =>
  Effect.gen(function* () {
    const manager = yield* ShardManager.ShardManager
    const planner = yield* PgPlanner.make({
      topology: manager.topology,
      shards: () => manager.topology().shards.map((id) => ({ id, driver: manager.driver(id) }))
    })
    const plan: Plan = yield* planner.plan(sql)
    expect(JSON.parse(JSON.stringify(plan))).toEqual(JSON.parse(planned))

    const part = (JSON.parse(planned) as { scatter: { merge: { statement: { sql: string } } } }).scatter.merge.statement
    const cluster = yield* PgCluster.PgCluster
    const given = yield* Effect.forEach(["shard_1", "shard_3"], (id) =>
      Effect.map(
        cluster.query(id, part.sql, values),
        (found) => [id, found.map((row) => Object.values(row).map(String))] as const
      )
    )
    const table = given.flatMap(([id, found]) => found.map((row, index) => [index === 0 ? id : "", ...row]))
    const shown = answers
      .trimEnd()
      .split("\n")
      .map((line) => [/^shard_\d|/.exec(line)![0], ...line.slice(10).split(/ {2,}/)])
    expect(table).toEqual(shown)
  }).pipe(over)
)

life.ends()
