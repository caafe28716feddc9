// A short run of the fuzzer on real servers; and that it sees what is wrong, makes it small, and writes it down.
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Session from "../../src/internal/conformance/Session.js"
import * as Check from "../../src/internal/fuzz/Check.js"
import * as Clause from "../../src/internal/fuzz/Clause.js"
import * as Finding from "../../src/internal/fuzz/Finding.js"
import * as Random from "../../src/internal/fuzz/Random.js"
import * as Regression from "../../src/internal/fuzz/Regression.js"
import * as Report from "../../src/internal/fuzz/Report.js"
import * as Run from "../../src/internal/fuzz/Run.js"
import * as Schema from "../../src/internal/fuzz/Schema.js"
import * as Sides from "../../src/internal/fuzz/Sides.js"
import * as Tree from "../../src/internal/fuzz/Tree.js"
import * as World from "../../src/internal/fuzz/World.js"
import * as PgCluster from "../../src/PgCluster.js"

const address = Effect.flatMap(PgCluster.make({ shards: 1, mode: "databases", shared: false }), (server) =>
  server.node("shard_1")
)

it.scopedLive(
  "finds nothing wrong in a few hundred statements, which bring every clause",
  () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const summary = yield* Run.run({
        address: yield* address,
        locale: "C",
        seed: 1,
        shards: [2],
        schemasMax: 2,
        statementsMax: 200,
        millisMax: Infinity,
        regressions: undefined,
        findsMax: 0,
        print: (text) => Effect.sync(() => void said.push(text))
      })
      expect(summary).toMatchObject({ schemas: 2, selfChecks: { wrong: 0, failed: 0 } })
      // Some are asked again with other values for their parameters.
      expect(summary.statements).toBeGreaterThan(400)
      expect(summary.shards[2], said.join("\n")).toMatchObject({ wrong: 0, failed: 0, undetermined: 0 })
      expect(Report.isClean(summary)).toBe(true)
      expect(summary.shards[2]?.answered).toBeGreaterThan(150)
      expect(Clause.all.filter((clause) => summary.clauses[clause] === 0)).toEqual([])
      expect(summary.selfChecks.held).toBeGreaterThan(15)
      expect(Report.total("two schemas", summary)).toContain("statements over 2 schemas")
    }),
  240_000
)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "shardlayer-fuzz-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** `select id, id + 1 … from t order by id`, with more around than a find needs. */
const statement = (table: string): Tree.Query => {
  const id = Tree.column("int4", "t0", "id")
  const sum = Tree.form("int4", ["(", " + ", ")"], [id, Tree.literal("int4", "1")])
  const targets = [id, sum].map((expression, index): Tree.Target => ({ _tag: "Target", expression, name: `c${index}` }))
  const from: Tree.From = { _tag: "Relation", name: table, alias: "t0", clauses: [] }
  const where = [Tree.form("bool", ["(", " is not null)"], [id])]
  return Tree.query(Tree.select({ targets, from: [from], where }), { orderBy: [Tree.sort(id)] })
}

it.scopedLive(
  "makes a lost row a find of one row, which is right again where nothing is lost",
  () =>
    Effect.gen(function* () {
      const server = yield* address
      const path = yield* folder
      const schema = Schema.generate(Random.derive(20, 0))
      const table = schema.tables.find(({ placement, rows }) => placement._tag === "Sharded" && rows.length > 9)
      if (table === undefined) return yield* Effect.dieMessage("the schema has no table with rows")
      const sides = yield* Sides.make({ address: server, world: World.make(schema), shards: [2] })
      // Whatever is put in, one row of one shard is gone again.
      const lossy: Sides.Sides = {
        ...sides,
        refill: (tables) => Effect.zipRight(sides.refill(tables), lose(server, table.name))
      }
      yield* lose(server, table.name)
      const query = statement(table.name)
      const checked = yield* Check.check(lossy, Check.questionOf(query), { ways: false })
      expect(checked.outcomes.map(({ verdict }) => verdict._tag)).toEqual(["Wrong"])

      const finder = Finding.make({ locale: "C", regressions: path, findsMax: 1, print: () => Effect.void })
      yield* finder.look(lossy, schema, { place: 0, query, checked })
      const [name] = Regression.names(path)
      const found = Regression.read(path, name ?? "")
      if (found._tag !== "Compared") return yield* Effect.dieMessage("it compared nothing")
      expect(found.statement.sql).toMatch(new RegExp(`^select .* from ${table.name} t0$`))
      expect(found.world.tables.map(({ name, rows }) => [name, rows.length])).toEqual([[table.name, 1]])
      expect(found.expected).toMatchObject({ count: 1 })
      expect(found.actual).toMatchObject({ count: 0 })
      expect(yield* Regression.replay(server, found, "again")).toEqual([])
    }),
  240_000
)

const lose = (server: Session.Address, table: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      for (const shard of World.shardIds(2)) {
        const session = yield* Session.open(server, `fuzz_2_${shard}`)
        const gone = yield* session.run(
          `delete from ${table} where ctid = (select min(ctid) from ${table}) returning 1`
        )
        if (gone.length > 0) return
      }
    })
  )
