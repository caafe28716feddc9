/**
 * The walk of a statement, with a planner that knows a few texts by heart and shards that write down what reaches them.
 * What real SQL does is the routing suite's business, in `packages/pg/test/routing`.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { it } from "@effect/vitest"
import * as Dialect from "@shardlayer/core/Dialect"
import * as Directory from "@shardlayer/core/Directory"
import * as KeyResolver from "@shardlayer/core/KeyResolver"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { PinnedPlan, Plan } from "@shardlayer/core/plan/Plan"
import { QueryPlanner, type QueryPlannerService } from "@shardlayer/core/QueryPlanner"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import * as ShardError from "@shardlayer/core/ShardError"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import {
  reading,
  recordingDriver,
  refusal,
  routed,
  shard1,
  shard2,
  shard3,
  shardLayer,
  topology,
  userOn
} from "./support.js"

const param = (index: number) => Constraint.equals([{ _tag: "Param", index }])

const plans: Record<string, Plan> = {
  "by id $1": routed([{ keyspace: "user", constraint: param(1) }]),
  "all users": routed([{ keyspace: "user", constraint: Constraint.unknown }], { scatter: { _tag: "Concatenate" } }),
  "any of $1": routed([{ keyspace: "user", constraint: Constraint.anyOf(1) }], { scatter: { _tag: "Concatenate" } }),
  "write all": routed([{ keyspace: "user", constraint: Constraint.unknown }], { access: "write" }),
  "by tenant $1": routed([{ keyspace: "tenant", constraint: param(1) }]),
  countries: { _tag: "AnyShard", tables: ["countries"], footprint: reading("countries") },
  settings: { _tag: "Fixed", shard: shard2, access: "read", tables: ["settings"], footprint: reading("settings") }
}

const pinnedPlan = (verdict: PinnedPlan["verdict"], changes: Partial<PinnedPlan> = {}): PinnedPlan => ({
  changesSchema: false,
  changesSession: false,
  changesSettings: false,
  access: "write",
  writes: ["public.users"],
  verdict,
  ...changes
})

const pinnedPlans: Record<string, PinnedPlan> = {
  "by id $1": pinnedPlan({ _tag: "Pass" }),
  "all users": pinnedPlan({ _tag: "Pass" }),
  "insert $1": pinnedPlan({
    _tag: "Keys",
    writes: [
      { table: "users", keyspace: "user", columns: ["id"], rows: [Constraint.stored([{ _tag: "Param", index: 1 }])] }
    ]
  }),
  "write countries": pinnedPlan({ _tag: "Refuse", refusal }),
  "create table": pinnedPlan({ _tag: "Pass" }, { changesSchema: true }),
  "set x": pinnedPlan({ _tag: "Pass" }, { changesSession: true }),
  "insert select": pinnedPlan({
    _tag: "Check",
    table: "users",
    keyspace: "user",
    check: "checked insert select",
    command: "INSERT",
    keyColumns: 1
  })
}

type Drivers = { readonly [shard: string]: ShardDriver }

/** A router over three shards whose logs say what reached them. */
const make = (
  options: {
    readonly topology?: Topology.Topology
    readonly drivers?: Drivers
    readonly dialect?: Partial<Dialect.DialectService>
    readonly router?: ShardRouter.Options
  } = {}
) =>
  Effect.gen(function* () {
    const log: Record<string, Array<readonly [string, ReadonlyArray<unknown>]>> = {
      shard_1: [],
      shard_2: [],
      shard_3: []
    }
    const asked = { plans: 0, classifications: 0, invalidations: 0 }
    const known = options.topology ?? topology
    const manager = yield* ShardManager.make({
      topology: known,
      shards: Object.fromEntries(
        known.shards.map((id) => [id, shardLayer({ ...recordingDriver(log[id]!), ...options.drivers?.[id] })])
      ),
      adapt: () => {
        throw new Error("not adapted")
      },
      tablesWithRows: () => Effect.succeed([])
    })
    const directory = yield* Directory.makeMemory
    const resolver = yield* KeyResolver.make({ directory, shards: manager.registered })
    const planner: QueryPlannerService = {
      version: () => asked.invalidations,
      plan: (sql) =>
        Effect.suspend((): Effect.Effect<Plan, ShardError.ShardError> => {
          asked.plans++
          const plan = plans[sql]
          return plan === undefined ? Effect.fail(refusal) : Effect.succeed(plan)
        }),
      generate: () => Effect.succeed(undefined),
      copyFrom: () => Effect.dieMessage("no COPY here"),
      copyTo: () => Effect.dieMessage("no COPY here"),
      classify: (sql) =>
        Effect.suspend((): Effect.Effect<PinnedPlan, ShardError.ShardError> => {
          asked.classifications++
          const plan = pinnedPlans[sql]
          return plan === undefined ? Effect.fail(refusal) : Effect.succeed(plan)
        }),
      invalidate: Effect.sync(() => void asked.invalidations++),
      inside: () => Effect.dieMessage("no schema is changed in these tests"),
      check: Effect.void,
      parses: () => asked.plans + asked.classifications
    }
    const router = yield* ShardRouter.make(options.router).pipe(
      Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make),
      Effect.provideService(ShardManager.ShardManager, manager),
      Effect.provideService(QueryPlanner, planner),
      Effect.provideService(KeyResolver.KeyResolver, resolver),
      Effect.provideService(Dialect.Dialect, {
        compiler: compiler(undefined),
        transformRows: undefined,
        spanAttributes: [],
        analyzing: (text, format) => `analyze ${format} ${text}`,
        copy: undefined as never,
        lockTimeout: (millis) => ({ set: `set ${millis}`, reset: "reset", session: `session ${millis}` }),
        install: Effect.void,
        report: Effect.dieMessage("no report here"),
        ...options.dialect
      })
    )
    const touched = () =>
      Object.entries(log)
        .filter(([, statements]) => statements.length > 0)
        .map(([shard]) => shard)
    return { router, sql: router.client, manager, directory, asked, log, touched }
  })

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const compiler = (transform: ((name: string) => string) | undefined) =>
  Statement.makeCompiler({
    dialect: "pg",
    placeholder: (index) => `$${index}`,
    onIdentifier: (name, withoutTransform) => (withoutTransform || transform === undefined ? name : transform(name)),
    onRecordUpdate: () => ["", []],
    onCustom: () => ["", []]
  })

const on1 = userOn(shard1)
const on2 = userOn(shard2)
const byId = (sql: SqlClient, id: unknown) => sql.unsafe("by id $1", [id])
const cause = (error: SqlError) => {
  expect(error).toBeInstanceOf(SqlError)
  return error.cause
}

describe("ShardRouter: the walk", () => {
  it.scoped("plans a text once, binds it every time", () =>
    Effect.gen(function* () {
      const { asked, log, router, sql } = yield* make()
      for (const id of [on1, on2, 42, on1]) yield* byId(sql, id)
      expect(log).toEqual({
        shard_1: [
          ["by id $1", [on1]],
          ["by id $1", [on1]]
        ],
        shard_2: [["by id $1", [on2]]],
        shard_3: [["by id $1", [42]]]
      })
      expect(asked.plans).toBe(1)
      expect(router.stats()).toEqual({ plans: 1, hits: 3, misses: 1, parses: 1 })
      yield* router.refresh
      yield* byId(sql, on1)
      expect(asked.plans).toBe(2)
    })
  )

  it.scoped("a refusal, a bad key and a write to several shards touch none, and arrive typed", () =>
    Effect.gen(function* () {
      const { router, sql, touched } = yield* make()
      for (const [text, params, error] of [
        ["unknown text", [], refusal],
        ["write all", [], refusal],
        ["by id $1", ["x"], new ShardError.KeyInvalid({ table: "users", column: "id", reason: '$1: "x" is no int8' })],
        ["by tenant $1", ["acme"], expect.any(ShardError.KeyUnassigned)]
      ] as const) {
        const statement = sql.unsafe(text, [...params])
        for (const run of [
          statement,
          statement.values,
          statement.raw,
          statement.unprepared,
          statement.withoutTransform
        ]) {
          expect(cause(yield* Effect.flip(run))).toEqual(error)
        }
        expect(cause(yield* Effect.flip(Stream.runDrain(statement.stream)))).toEqual(error)
        expect(yield* Effect.flip(router.query(statement))).toEqual(error)
        expect(yield* Effect.flip(Stream.runDrain(router.stream(statement)))).toEqual(error)
        expect(yield* Effect.flip(router.explain(statement))).toEqual(error)
      }
      expect(touched()).toEqual([])
    })
  )

  it.scoped("a failing plan is not kept", () =>
    Effect.gen(function* () {
      const { asked, sql } = yield* make()
      yield* Effect.flip(sql`unknown text`)
      yield* Effect.flip(sql`unknown text`)
      expect(asked.plans).toBe(2)
    })
  )

  it.scoped("concatenates in every form", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make()
      const row = { sql: "all users", params: [] }
      expect(yield* sql`all users`).toEqual([row, row, row])
      expect(yield* sql`all users`.withoutTransform).toEqual([row, row, row])
      expect(yield* sql`all users`.values).toEqual([Object.values(row), Object.values(row), Object.values(row)])
      expect(yield* sql`all users`.raw).toMatchObject({ command: "SELECT", rowCount: 3, rows: [row, row, row] })
      expect([...(yield* Stream.runCollect(sql`all users`.stream))]).toEqual([row, row, row])
      expect([...(yield* Stream.runCollect(router.stream(sql`all users`)))]).toEqual([row, row, row])
    })
  )

  it.scoped("touches only the shards that the keys name", () =>
    Effect.gen(function* () {
      const { sql, touched } = yield* make()
      yield* sql.unsafe("any of $1", [[on1, 42, null]])
      expect(touched()).toEqual(["shard_1", "shard_3"])
    })
  )

  it.scoped("runs on as many shards at a time as it may; the first failure interrupts the others", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      let interrupted = 0
      const counted = (end: Effect.Effect<ReadonlyArray<unknown>, ShardError.ShardError>) => ({
        ...recordingDriver([]),
        execute: () =>
          Effect.onInterrupt(
            Effect.suspend(() => {
              most = Math.max(most, ++running)
              return Effect.ensuring(
                end,
                Effect.sync(() => void running--)
              )
            }),
            () => Effect.sync(() => void interrupted++)
          )
      })
      const rows = Effect.zipRight(Effect.yieldNow(), Effect.succeed([1]))
      const two = yield* make({
        router: { policy: { concurrency: 2 } },
        drivers: { shard_1: counted(rows), shard_2: counted(rows), shard_3: counted(rows) }
      })
      expect(yield* two.sql`all users`).toEqual([1, 1, 1])
      expect(most).toBe(2)
      const down = new ShardError.ShardUnavailable({ shard: shard2, reason: "gone", sent: true })
      const failing = counted(Effect.zipRight(Effect.yieldNow(), Effect.fail(down)))
      const one = yield* make({
        drivers: { shard_1: counted(Effect.never), shard_2: failing, shard_3: counted(Effect.never) }
      })
      expect(cause(yield* Effect.flip(one.sql`all users`))).toBe(down)
      expect(interrupted).toBe(2)
    })
  )

  it.scoped("reads that any shard can answer go round, and past a shard that is down", () =>
    Effect.gen(function* () {
      const { log, sql } = yield* make()
      for (let read = 0; read < 6; read++) yield* sql`countries`
      expect(Object.values(log).map(({ length }) => length)).toEqual([2, 2, 2])

      let sent = false
      const down = {
        ...recordingDriver([]),
        execute: () =>
          Effect.suspend(() => Effect.fail(new ShardError.ShardUnavailable({ shard: shard2, reason: "gone", sent })))
      }
      const rest = yield* make({ drivers: { shard_2: down } })
      for (let read = 0; read < 6; read++) yield* rest.sql`countries`
      expect(Object.values(rest.log).map(({ length }) => length)).toEqual([2, 0, 4])
      sent = true
      const answers = yield* Effect.forEach([1, 2, 3], () => Effect.either(rest.sql`countries`))
      expect(answers.filter(Either.isLeft)).toHaveLength(1)
    })
  )

  it.scoped("runs a statement that was written with another client", () =>
    Effect.gen(function* () {
      const one = yield* make()
      const other = yield* make()
      yield* one.router.query(byId(other.sql, on1))
      expect([one.touched(), other.touched()]).toEqual([["shard_1"], []])
    })
  )

  it.scoped("asks the directory for a lookup key, once", () =>
    Effect.gen(function* () {
      const { directory, log, router, sql } = yield* make()
      yield* directory.assign("tenants", ["acme"], shard3)
      for (let read = 0; read < 3; read++) yield* sql.unsafe("by tenant $1", ["acme"])
      expect(log.shard_3).toHaveLength(3)
      expect(yield* router.locate(topology.tables.invoices, "acme")).toBe(shard3)
      expect(yield* Effect.flip(router.locate(topology.tables.invoices, "nobody"))).toBeInstanceOf(
        ShardError.KeyUnassigned
      )
    })
  )

  it.scoped("one shard: everything passes as it is, unplanned", () =>
    Effect.gen(function* () {
      const alone = Topology.make({ shards: ["shard_1"] })
      const { asked, log, router, sql } = yield* make({ topology: alone })
      yield* sql`anything; at all`
      yield* Stream.runDrain(sql`listen x`.stream)
      yield* ShardRouter.onShard(sql`set a = 1`, "shard_1").pipe(Effect.provideService(ShardRouter.ShardRouter, router))
      expect(log.shard_1).toHaveLength(3)
      expect(asked).toMatchObject({ plans: 0, classifications: 0 })
      expect(yield* router.explain(sql`x`)).toMatchObject({ strategy: "Pinned", shards: ["shard_1"] })
    })
  )
})

describe("ShardRouter: pins", () => {
  it.scoped("onShard sends there, classified once; an unknown shard fails fast", () =>
    Effect.gen(function* () {
      const { asked, log, router, sql } = yield* make()
      yield* router.onShard(Effect.all([byId(sql, on1), byId(sql, on2), sql`all users`]), "shard_3")
      expect(log.shard_3).toHaveLength(3)
      expect(asked).toMatchObject({ plans: 0, classifications: 2 })
      const unknown = yield* Effect.flip(router.onShard(sql`all users`, "shard_9"))
      expect(unknown).toEqual(new ShardError.UnknownShard({ shard: "shard_9", known: topology.shards }))
    })
  )

  it.scoped("a pinned write of a foreign row is refused before it is sent, unless unchecked", () =>
    Effect.gen(function* () {
      const { log, router, sql, touched } = yield* make()
      const insert = sql.unsafe("insert $1", [on2])
      const error = cause(
        yield* Effect.flip(
          Effect.catchTag(router.onShard(insert, "shard_1"), "UnknownShard", Effect.die).pipe(
            Effect.catchTag("ShardLocked", Effect.die)
          )
        )
      )
      expect(error).toEqual(
        new ShardError.RowBelongsElsewhere({ table: "users", key: [String(on2)], pinned: shard1, owner: shard2 })
      )
      expect(touched()).toEqual([])
      yield* router.onShard(insert, "shard_2")
      yield* ShardRouter.unchecked(router.onShard(insert, "shard_1"))
      expect([log.shard_1!.length, log.shard_2!.length]).toEqual([1, 1])
    })
  )

  it.scoped("refuses what not even a pin allows; unchecked sends even what cannot be classified", () =>
    Effect.gen(function* () {
      const { router, sql, touched } = yield* make()
      for (const text of ["write countries", "cannot be parsed"]) {
        expect(yield* Effect.flip(router.onShard(router.query(sql.unsafe(text)), "shard_1"))).toBe(refusal)
        expect(touched()).toEqual([])
      }
      yield* ShardRouter.unchecked(router.onShard(Effect.all([sql`write countries`, sql`cannot be parsed`]), "shard_1"))
      expect(touched()).toEqual(["shard_1"])
    })
  )

  it.scoped("what changes the session runs on one that nobody else gets", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make()
      yield* router.onShard(sql`set x`, "shard_1")
      yield* router.onShard(
        Effect.scoped(Effect.flatMap(sql.reserve, (session) => session.execute("set x", [], undefined))),
        "shard_2"
      )
      yield* router.onShard(sql.withTransaction(Effect.zipRight(sql`all users`, sql`set x`)), "shard_3")
      expect(log.shard_1).toEqual([
        ["(taint)", []],
        ["set x", []]
      ])
      expect(log.shard_2).toEqual([
        ["(taint)", []],
        ["set x", []]
      ])
      expect(log.shard_3!.map(([text]) => text)).toEqual(["BEGIN", "all users", "set x", "(taint)", "COMMIT"])
    })
  )

  it.scoped("keys that the server alone knows are compared before the transaction commits", () =>
    Effect.gen(function* () {
      const written = (...ids: ReadonlyArray<number>): Drivers => {
        const log: Array<readonly [string, ReadonlyArray<unknown>]> = []
        const driver = recordingDriver(log)
        const answers = { executeValues: () => Effect.succeed(ids.map((id) => [String(id)])) }
        return {
          shard_1: {
            ...driver,
            ...answers,
            reserve: Effect.map(driver.reserve, (session) => ({ ...session, ...answers }))
          }
        }
      }
      const own = yield* make({ drivers: written(on1, on1) })
      expect(yield* own.router.onShard(own.sql`insert select`, "shard_1")).toEqual([])
      const raw = own.router.onShard(own.sql`insert select`.raw, "shard_1")
      expect(yield* raw).toMatchObject({ command: "INSERT", rowCount: 2, rows: [] })
      const foreign = yield* make({ drivers: written(on1, on2) })
      const error = yield* Effect.flip(
        foreign.router.onShard(foreign.router.query(foreign.sql`insert select`), "shard_1")
      )
      expect(error).toEqual(
        new ShardError.RowBelongsElsewhere({ table: "users", key: [String(on2)], pinned: shard1, owner: shard2 })
      )
      const reserved = Effect.scoped(
        Effect.flatMap(own.sql.reserve, (session) => session.execute("insert select", [], undefined))
      )
      expect(yield* Effect.flip(own.router.onShard(reserved, "shard_1"))).toMatchObject({
        cause: { _tag: "KeyInvalid" }
      })
    })
  )

  it.scoped("sql.reserve needs a pinned shard", () =>
    Effect.gen(function* () {
      const { router, sql, touched } = yield* make()
      const reserve = Effect.scoped(Effect.asVoid(sql.reserve))
      expect(cause(yield* Effect.flip(reserve))).toBeInstanceOf(ShardError.ShardNotPinned)
      expect(yield* Effect.flip(router.forKey(reserve, topology.tables.users, on1))).toMatchObject({
        cause: { _tag: "ShardNotPinned" }
      })
      expect(touched()).toEqual([])
    })
  )

  it.scoped("a pinned schema change makes every plan stale", () =>
    Effect.gen(function* () {
      const { asked, router, sql } = yield* make()
      yield* byId(sql, on1)
      yield* router.onAllShards(sql`create table`)
      yield* byId(sql, on1)
      expect(asked).toMatchObject({ plans: 2, invalidations: 3 })
    })
  )

  it.scoped("forKey limits statements to the key, and sends what could run anywhere to its shard", () =>
    Effect.gen(function* () {
      const { log, router, sql, touched } = yield* make()
      const { users } = topology.tables
      yield* router.forKey(Effect.all([byId(sql, on2), sql`countries`, sql`countries`]), users, on2)
      expect(touched()).toEqual(["shard_2"])
      expect(log.shard_2).toHaveLength(3)
      for (const statement of [byId(sql, on1), sql`all users`, sql`settings`, sql.unsafe("by tenant $1", ["acme"])]) {
        expect(yield* Effect.flip(router.forKey(router.query(statement), users, on2))).toBeInstanceOf(
          ShardError.KeyNotPinned
        )
      }
      expect(log.shard_2).toHaveLength(3)
      const invalid = yield* Effect.flip(router.forKey(sql`countries`, users, "seven"))
      expect(invalid).toEqual(new ShardError.KeyInvalid({ table: "users", column: "id", reason: '"seven" is no int8' }))
    })
  )

  it.scoped("forKeyScoped does the same until its scope is closed", () =>
    Effect.gen(function* () {
      const { router, sql, touched } = yield* make()
      const { users } = topology.tables
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* router.forKeyScoped(users, on2, { locked: true })
          yield* Effect.all([byId(sql, on2), sql`countries`])
          expect(yield* Effect.flip(router.query(byId(sql, on1)))).toBeInstanceOf(ShardError.KeyNotPinned)
          expect(yield* Effect.flip(router.forKey(byId(sql, on1), users, on1))).toBeInstanceOf(ShardError.ShardLocked)
        })
      )
      expect(touched()).toEqual(["shard_2"])
      yield* byId(sql, on1)
      expect(touched()).toEqual(["shard_1", "shard_2"])
      const invalid = yield* Effect.flip(Effect.scoped(router.forKeyScoped(users, "seven")))
      expect(invalid).toBeInstanceOf(ShardError.KeyInvalid)
    })
  )

  it.scoped("currentShard is the pin's", () =>
    Effect.gen(function* () {
      const { router } = yield* make()
      expect(yield* router.currentShard).toEqual(Option.none())
      expect(yield* router.onShard(router.currentShard, "shard_3")).toEqual(Option.some(shard3))
      expect(yield* router.forKey(router.currentShard, topology.tables.users, on2)).toEqual(Option.some(shard2))
    })
  )

  it.scoped("onAllShards gives the results by shard, and interrupts the others on failure", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make()
      const shards = yield* router.onAllShards(
        Effect.flatMap(router.currentShard, (shard) => Effect.as(sql`all users`, Option.getOrNull(shard)))
      )
      expect([...shards]).toEqual([
        [shard1, shard1],
        [shard2, shard2],
        [shard3, shard3]
      ])
      const begun = yield* Deferred.make<void>()
      let interrupted = 0
      const exit = yield* Effect.exit(
        router.onAllShards(
          Effect.flatMap(router.currentShard, (shard) =>
            Option.contains(shard, shard2)
              ? Effect.zipRight(Deferred.await(begun), Effect.fail("no"))
              : Effect.onInterrupt(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never), () =>
                  Effect.sync(() => interrupted++)
                )
          )
        )
      )
      expect([exit._tag, interrupted]).toEqual(["Failure", 2])
    })
  )

  it.scoped("under lockShard a switch is a typed error, in onAllShards too", () =>
    Effect.gen(function* () {
      const { router, sql, touched } = yield* make()
      const locked = <A, E>(inside: Effect.Effect<A, E>) =>
        Effect.flip(router.onShard(ShardRouter.lockShard(inside), "shard_1"))
      expect(yield* locked(router.onShard(sql`all users`, "shard_2"))).toBeInstanceOf(ShardError.ShardLocked)
      expect(yield* locked(router.forKey(sql`all users`, topology.tables.users, on1))).toBeInstanceOf(
        ShardError.ShardLocked
      )
      expect(yield* locked(router.onAllShards(Effect.void, { concurrency: 1 }))).toBeInstanceOf(ShardError.ShardLocked)
      expect(touched()).toEqual([])
      yield* router.onShard(ShardRouter.lockShard(router.onShard(sql`all users`, "shard_1")), "shard_1")
      expect(touched()).toEqual(["shard_1"])
    })
  )

  it.scoped("fibers side by side reach their own shards", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make()
      yield* Effect.forEach(
        Array.from({ length: 90 }, (_, index) => `shard_${(index % 3) + 1}`),
        (shard) =>
          router.onShard(
            Effect.flatMap(
              Effect.fork(Effect.zipRight(Effect.yieldNow(), sql.unsafe("by id $1", [shard]))),
              Fiber.join
            ),
            shard
          ),
        { concurrency: "unbounded" }
      )
      for (const [shard, statements] of Object.entries(log)) {
        expect(statements).toHaveLength(30)
        expect(statements.every(([, params]) => params[0] === shard)).toBe(true)
      }
    })
  )
})

describe("ShardRouter: names", () => {
  const userId = (sql: SqlClient) => sql`${sql("byId")}`.compile()[0]
  const transformRows = Statement.defaultTransforms(camel).array

  it.scoped("transforms names of queries and of results, each as it is set", () =>
    Effect.gen(function* () {
      const rows = { ...recordingDriver([]), execute: () => Effect.succeed([{ first_name: "Ada" }]) }
      const one = Topology.make({ shards: ["shard_1"] })
      const named = (dialect: Partial<Dialect.DialectService>) =>
        make({ topology: one, drivers: { shard_1: rows }, dialect })

      const none = (yield* named({})).sql
      expect([userId(none), userId(none.withoutTransforms())]).toEqual(["byId", "byId"])

      const queries = (yield* named({ compiler: compiler(snake) })).sql
      expect(userId(queries)).toBe("by_id")
      expect(yield* queries`x`).toEqual([{ first_name: "Ada" }])
      // As in @effect/sql: without transforms of results there is nothing to be without.
      expect(queries.withoutTransforms()).toBe(queries)

      const both = (yield* named({ compiler: compiler(snake), transformRows })).sql
      expect([userId(both), userId(both.withoutTransforms())]).toEqual(["by_id", "byId"])
      expect(yield* both`x`).toEqual([{ firstName: "Ada" }])
      expect(yield* both.withoutTransforms()`x`).toEqual([{ first_name: "Ada" }])
      expect(yield* both`x`.withoutTransform).toEqual([{ first_name: "Ada" }])
      expect(both.withoutTransforms().withoutTransforms()).toBe(both.withoutTransforms())
      expect(both.safe).toBe(both)
    })
  )
})
