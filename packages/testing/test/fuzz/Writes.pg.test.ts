// Random writes on real servers: nothing is wrong in a few hundred; what is made wrong on purpose is seen, made small,
// written down, and right again where nothing is made wrong.
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Session from "../../src/internal/conformance/Session.js"
import * as Finding from "../../src/internal/fuzz/Finding.js"
import * as Write from "../../src/internal/fuzz/generate/Write.js"
import * as Random from "../../src/internal/fuzz/Random.js"
import * as Regression from "../../src/internal/fuzz/Regression.js"
import * as Report from "../../src/internal/fuzz/Report.js"
import * as Run from "../../src/internal/fuzz/Run.js"
import * as Schema from "../../src/internal/fuzz/Schema.js"
import * as Sides from "../../src/internal/fuzz/Sides.js"
import * as World from "../../src/internal/fuzz/World.js"
import * as WriteCheck from "../../src/internal/fuzz/WriteCheck.js"
import type { Part } from "../../src/internal/fuzz/WriteTree.js"
import { list, optional } from "../../src/internal/fuzz/WriteTree.js"
import * as PgCluster from "../../src/PgCluster.js"

const address = Effect.flatMap(PgCluster.make({ shards: 1, mode: "databases", shared: false }), (server) =>
  server.node("shard_1")
)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "shardlayer-fuzz-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

it.scopedLive(
  "finds nothing wrong in a few hundred writes of all kinds, and asks nothing else",
  () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const summary = yield* Run.run({
        address: yield* address,
        locale: "C",
        seed: 4,
        shards: [2],
        schemasMax: 2,
        statementsMax: 150,
        only: "writes",
        millisMax: Infinity,
        regressions: undefined,
        findsMax: 0,
        print: (text) => Effect.sync(() => void said.push(text))
      })
      const writes = summary.writes[2]
      expect(writes, said.join("\n")).toMatchObject({ asked: 300, wrong: 0, failed: 0, undetermined: 0 })
      expect(summary).toMatchObject({ schemas: 2, statements: 0 })
      expect(Report.isClean(summary)).toBe(true)
      expect(writes?.exact).toBeGreaterThan(200)
      for (const kind of Write.kinds) {
        const of = writes?.kinds[kind]
        expect(of?.exact, kind).toBeGreaterThan(0)
        expect((of?.exact ?? 0) + (of?.failedAlike ?? 0) + (of?.refused ?? 0), kind).toBe(of?.asked)
      }
      expect(Report.total("two schemas", summary)).toMatch(/writes @2: asked 300, exact \d+ .*\n\s+insert: +asked/)
    }),
  240_000
)

/** A world with a sharded table of many rows, and a write that changes all of them, with more around than a find needs. */
const planted = (server: Session.Address) =>
  Effect.gen(function* () {
    const schema = Schema.generate(Random.derive(20, 0))
    const table = schema.tables.find(({ placement, rows }) => placement._tag === "Sharded" && rows.length > 9)
    if (table === undefined) return yield* Effect.dieMessage("the schema has no table with rows")
    const sides = yield* Sides.make({ address: server, world: World.make(schema), shards: [2] })
    const tree: Part = [
      `update ${table.name} set `,
      list(["v_int4 = 7", "v_text = 'a'"], ", "),
      optional([" where ", list(["v_int4 is distinct from 1000", "v_text is distinct from 'none'"], " and ")]),
      optional(" returning v_int4")
    ]
    const write: Write.Write = { tree, tables: [table.name], isOrdered: false, form: "update" }
    return { schema, sides, table: table.name, write }
  })

const checked = (sides: Sides.Sides, write: Write.Write) =>
  WriteCheck.check(sides, { ...write, statement: Write.printed(write) })

/** Looks at a find, which is then the only one in its folder. */
const found = (sides: Sides.Sides, schema: Schema.Schema, write: Write.Write) =>
  Effect.gen(function* () {
    const path = yield* folder
    const finder = Finding.make({ locale: "C", regressions: path, findsMax: 1, print: () => Effect.void })
    yield* finder.lookAtWrite(sides, schema, { place: 0, write, checked: yield* checked(sides, write) })
    const regression = Regression.read(path, Regression.names(path)[0] ?? "")
    return regression._tag === "Written" ? regression : yield* Effect.dieMessage("no write was written down")
  })

const onShards = (server: Session.Address, sql: (shard: string) => string) =>
  Effect.forEach(
    World.shardIds(2),
    (shard) =>
      Effect.scoped(Effect.flatMap(Session.open(server, `fuzz_2_${shard}`), (session) => session.run(sql(shard)))),
    { discard: true }
  )

it.scopedLive(
  "is right where nothing is made wrong; a row that a shard lost is a find of one row",
  () =>
    Effect.gen(function* () {
      const server = yield* address
      const { schema, sides, table, write } = yield* planted(server)
      const before = yield* checked(sides, write)
      expect(before.outcomes.map(({ verdict }) => verdict)).toEqual([{ _tag: "Exact" }])

      const lose = onShards(server, () => `delete from ${table} where ctid = (select min(ctid) from ${table})`)
      const lossy: Sides.Sides = { ...sides, refill: (tables) => Effect.zipRight(sides.refill(tables), lose) }
      yield* lose
      const regression = yield* found(lossy, schema, write)
      expect(regression.reason).toMatch(/^Wrong: answer: \d rows instead of \d/)
      expect(regression.question.statement.sql).toMatch(new RegExp(`^update ${table} set v_\\w+ = \\S+$`))
      expect(regression.world.tables.map(({ name, rows }) => [name, rows.length])).toEqual([[table, 1]])
      expect(regression.expected.answer).toMatchObject({ count: 1 })
      expect(regression.actual.answer).toMatchObject({ count: 0 })
      expect(yield* Regression.replay(server, regression, "again")).toEqual([])
    }),
  240_000
)

/** A router whose writes say that one row less was changed. */
const miscounting = (router: ShardRouterService): ShardRouterService => {
  const less = (raw: unknown): unknown =>
    typeof raw === "object" && raw !== null && "command" in raw && raw.command === "UPDATE" && "rowCount" in raw
      ? { ...raw, rowCount: Number(raw.rowCount) - 1 }
      : raw
  const client = new Proxy(router.client, {
    get: (target, key) => {
      if (key !== "unsafe") return Reflect.get(target, key)
      return (sql: string, params?: ReadonlyArray<unknown>) =>
        new Proxy(target.unsafe(sql, params), {
          get: (statement, of) => (of === "raw" ? Effect.map(statement.raw, less) : Reflect.get(statement, of))
        })
    }
  })
  return { ...router, client }
}

it.scopedLive(
  "sees one row too few in the number of those that were changed, whatever the tables hold",
  () =>
    Effect.gen(function* () {
      const server = yield* address
      const { schema, sides, table, write } = yield* planted(server)
      const routers = new Map([...sides.routers].map(([shards, router]) => [shards, miscounting(router)]))
      const regression = yield* found({ ...sides, routers }, schema, write)
      expect(regression.reason).toMatch(/^Wrong: answer: -?\d rows instead of \d/)
      expect(regression.question.statement.sql).toMatch(new RegExp(`^update ${table} set v_\\w+ = \\S+$`))
      expect(yield* Regression.replay(server, regression, "again")).toEqual([])
    }),
  240_000
)

it.scopedLive(
  "sees a row that is not there afterwards, though the answer is right",
  () =>
    Effect.gen(function* () {
      const server = yield* address
      const { schema, sides, table, write } = yield* planted(server)
      const tree: Part = [`update ${table} set `, list(["v_text = 'a'", "v_int4 = 7"], ", "), " where v_text = 'none'"]
      const lose = onShards(server, () => `delete from ${table} where ctid = (select min(ctid) from ${table})`)
      const lossy: Sides.Sides = { ...sides, refill: (tables) => Effect.zipRight(sides.refill(tables), lose) }
      yield* lose
      const regression = yield* found(lossy, schema, { ...write, tree })
      expect(regression.reason).toMatch(new RegExp(`^Wrong: ${table} afterwards: \\d rows instead of \\d`))
      expect(regression.question.statement.sql).toBe(`update ${table} set v_int4 = 7 where v_text = 'none'`)
      expect(regression.world.tables.map(({ name, rows }) => [name, rows.length])).toEqual([[table, 1]])
      expect(yield* Regression.replay(server, regression, "again")).toEqual([])
    }),
  240_000
)

it.scopedLive(
  "sees rows on a shard that are not its own, and copies of a reference table that differ",
  () =>
    Effect.gen(function* () {
      const server = yield* address
      const { schema, sides, table, write } = yield* planted(server)
      const reference = schema.tables.find(({ placement, rows }) => placement._tag === "Reference" && rows.length > 1)
      if (reference === undefined) return yield* Effect.dieMessage("the schema has no reference table with rows")
      // All of them on one shard: together the shards have every row once.
      const rows = sides.world.tables.filter(({ name }) => name === table)
      const every = rows.flatMap((one) => World.fill(one))
      yield* onShards(server, (shard) =>
        [`truncate ${table}`, ...(shard === "shard_1" ? every : []), ...lastRowGone(shard, reference.name)].join(";")
      )
      const [strayed] = (yield* checked(sides, write)).outcomes
      expect(strayed?.verdict).toMatchObject({ _tag: "Wrong" })
      expect(strayed?.actual.misplaced).toMatch(new RegExp(`^${table} on shard_1: rows of other shards: \\d+$`))
      expect(strayed?.verdict).toMatchObject({ reason: strayed?.actual.misplaced })

      const copied: Write.Write = {
        tree: `update ${reference.name} set v_int4 = 1 where false`,
        tables: [reference.name],
        isOrdered: false,
        form: "update"
      }
      const [differing] = (yield* checked(sides, copied)).outcomes
      expect(differing?.verdict).toMatchObject({ _tag: "Wrong" })
      expect(differing?.actual.misplaced).toMatch(/on shard_2: its copy is another one: \d rows instead of \d/)
    }),
  240_000
)

const lastRowGone = (shard: string, table: string): ReadonlyArray<string> =>
  shard === "shard_2" ? [`delete from ${table} where ctid = (select min(ctid) from ${table})`] : []
