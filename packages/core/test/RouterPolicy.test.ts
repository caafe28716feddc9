/**
 * Policies, on shards that do as they are told: what they let happen, in which order, and after how long.
 */
import { it } from "@effect/vitest"
import type { TextRow } from "@shardlayer/core/plan/Merge"
import * as ShardError from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Topology from "@shardlayer/core/topology/Topology"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { describe, expect } from "vitest"
import { type Behaviour, failing, make, rowOf, slow, well } from "./scripted.js"
import { refusal, shard1, shard2, shard3, topology, userOn } from "./support.js"

const unavailable = (shard: ShardId, sent = true) => new ShardError.ShardUnavailable({ shard, reason: "gone", sent })

const answered = (shard: ShardId) => ({ c0: rowOf(shard)[0], c1: "7", transformed: true })
const on2 = userOn(shard2)

/** Lets the clock run, step by step: what has come of the effect then. */
const clocked = <A, E, R>(effect: Effect.Effect<A, E, R>, ...steps: ReadonlyArray<Duration.DurationInput>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    yield* Effect.forEach(steps, TestClock.adjust, { discard: true })
    const exit = yield* Fiber.poll(fiber)
    yield* Fiber.interrupt(fiber)
    return Option.getOrElse(exit, () => "running" as const)
  })

describe("a policy that refuses scatter", () => {
  it.scoped("names tables and keys, touches no shard, in every form", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well, { scatter: "refuse" })
      for (const text of ["all", "sorted", "counted", "combined"]) {
        const statement = sql.unsafe(text)
        const error = yield* Effect.flip(router.query(statement))
        expect(error).toMatchObject({
          _tag: "ScatterRefused",
          rule: "scatter",
          shards: ["shard_1", "shard_2", "shard_3"],
          tables: [{ table: "users", columns: ["id"] }],
          sql: text
        })
        expect(error.message).toBe(
          'the policy in force refuses statements on several shards, and this one needs shard_1, shard_2, shard_3: limit users (id) to one key, or say ShardRouter.withPolicy({ scatter: "allow" })'
        )
        expect((yield* Effect.flip(statement)).cause).toEqual(error)
        expect((yield* Effect.flip(statement.values)).cause).toEqual(error)
        expect(yield* Effect.flip(Stream.runDrain(router.stream(statement)))).toEqual(error)
        expect(yield* Effect.flip(router.queryPartial(statement))).toEqual(error)
        expect(yield* router.explain(statement)).toMatchObject({ shards: ["shard_1", "shard_2", "shard_3"] })
      }
      expect(log).toEqual([])
      expect(yield* router.query(sql.unsafe("by id $1", [on2]))).toEqual([answered(shard2)])
      expect(yield* router.query(sql`countries`)).toHaveLength(1)
    })
  )

  it.scoped("names those tables that are not limited to one shard, and all where each is", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(well, { scatter: "refuse" })
      const tables = (text: string, params: ReadonlyArray<unknown>) =>
        Effect.map(Effect.flip(router.query(sql.unsafe(text, params))), (error) =>
          error._tag === "ScatterRefused" ? error.tables.map(({ table }) => table) : error
        )
      expect(yield* tables("two $1 $2", [on2, userOn(shard1)])).toEqual(["users"])
      expect(yield* tables("all and one $1", [on2])).toEqual(["users"])
      expect(yield* router.query(sql.unsafe("two $1 $2", [on2, on2]))).toHaveLength(1)
    })
  )

  it.scoped("combine: only what a PostgreSQL finishes", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well, { combine: "refuse" })
      const error = yield* Effect.flip(router.query(sql`combined`))
      expect(error).toMatchObject({ _tag: "ScatterRefused", rule: "combine" })
      expect(error.message).toMatch(/that a PostgreSQL finishes .*\.withPolicy\(\{ combine: "allow" \}\)$/)
      expect(log).toEqual([])
      expect(yield* router.query(sql`sorted`)).toHaveLength(3)
      expect(yield* router.query(sql`all`)).toHaveLength(3)
    })
  )

  it.scoped("gather: only what brings tables together", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well, { gather: "refuse" })
      const error = yield* Effect.flip(router.query(sql`gathered`))
      expect(error).toMatchObject({ _tag: "ScatterRefused", rule: "gather" })
      expect(error.message).toMatch(/not joined on the shard key.*\.withPolicy\(\{ gather: "allow" \}\)$/)
      expect(log).toEqual([])
      expect(yield* router.query(sql`gathered`, { gather: "allow" })).toHaveLength(1)
      expect(yield* router.query(sql`combined`)).toHaveLength(1)
    })
  )

  it.scoped("the statement wins over the scope, the inner scope over the outer, all over the router", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(well, { scatter: "refuse" })
      const all = sql`all`
      const tag = <A>(effect: Effect.Effect<A, ShardError.ShardError>) =>
        Effect.match(effect, { onFailure: (error) => error._tag, onSuccess: () => "ran" })
      const allowed = ShardRouter.withPolicy({ scatter: "allow" })
      const refused = ShardRouter.withPolicy({ scatter: "refuse" })
      expect(yield* tag(router.query(all))).toBe("ScatterRefused")
      expect(yield* tag(allowed(router.query(all)))).toBe("ran")
      expect(yield* tag(ShardRouter.withPolicy(router.query(all), { scatter: "allow" }))).toBe("ran")
      expect(yield* tag(router.query(all, { scatter: "allow" }))).toBe("ran")
      expect(yield* tag(refused(allowed(router.query(all))))).toBe("ran")
      expect(yield* tag(allowed(refused(router.query(all))))).toBe("ScatterRefused")
      expect(yield* tag(allowed(router.query(all, { scatter: "refuse" })))).toBe("ScatterRefused")
      expect(yield* tag(refused(router.query(all, { scatter: "allow" })))).toBe("ran")
      // What a scope does not say is as around it; what it said ends with it.
      expect(yield* tag(allowed(ShardRouter.withPolicy(router.query(all), { concurrency: 1 })))).toBe("ran")
      expect(yield* tag(Effect.zipRight(allowed(router.query(all)), router.query(all)))).toBe("ScatterRefused")
      // Of a stream: its own, not that of who takes its rows.
      const streamed = Stream.runCollect(
        Stream.mapEffect(router.stream(all, { scatter: "allow" }), () => tag(router.query(all)))
      )
      expect([...(yield* streamed)]).toEqual(["ScatterRefused", "ScatterRefused", "ScatterRefused"])
      expect(yield* tag(Stream.runDrain(router.stream(all)))).toBe("ScatterRefused")
      expect(yield* tag(allowed(Stream.runDrain(router.stream(all))))).toBe("ran")
    })
  )
})

describe("shardTimeout", () => {
  it.scoped("names the shard and the limit, and interrupts the siblings", () =>
    Effect.gen(function* () {
      for (const text of ["all", "sorted", "counted", "combined"]) {
        const interrupted: Array<string> = []
        const behave = slow({ [shard1]: 100, [shard2]: 60_000, [shard3]: 60_000 }, interrupted)
        // The third begins when the first is done, and has time left when the second has none.
        const { log, router, sql } = yield* make(behave, { shardTimeout: "500 millis", concurrency: 2 })
        const error = new ShardError.ShardTimeout({ shard: shard2, timeoutMillis: 500, mayWrite: false })
        expect(yield* clocked(router.query(sql.unsafe(text)), "100 millis", "399 millis")).toBe("running")
        interrupted.length = 0
        log.length = 0
        expect(yield* clocked(router.query(sql.unsafe(text)), "100 millis", "400 millis")).toEqual(Exit.fail(error))
        expect(log).toHaveLength(3)
        expect(interrupted.sort()).toEqual([shard2, shard3])
        expect(error.isRetryable).toBe(true)
        expect(error.message).toBe("shard shard_2 did not answer within 500 ms, and the statement was cancelled")
      }
    })
  )

  it.scoped("with a limit in force, too, a failure interrupts the siblings at once", () =>
    Effect.gen(function* () {
      const interrupted: Array<string> = []
      const behave: Behaviour = (shard, sql, before) =>
        shard === shard1
          ? Effect.delay(Effect.fail(unavailable(shard1)), "1 second")
          : slow({ [shard2]: 60_000, [shard3]: 60_000 }, interrupted)(shard, sql, before)
      const { router, sql } = yield* make(behave, { shardTimeout: "30 seconds" })
      for (const text of ["all", "sorted", "counted", "combined"]) {
        interrupted.length = 0
        const queried = yield* clocked(router.query(sql.unsafe(text)), "1 second")
        expect(queried).toEqual(Exit.fail(unavailable(shard1)))
        const streamed = yield* clocked(Stream.runDrain(router.stream(sql.unsafe(text))), "1 second")
        expect(streamed).toEqual(Exit.fail(unavailable(shard1)))
        expect(interrupted.sort()).toEqual([shard2, shard2, shard3, shard3])
      }
    })
  )

  it.scoped("of a page far down, each step on each shard", () =>
    Effect.gen(function* () {
      for (const step of ["guess", "probe", "page"]) {
        const interrupted: Array<string> = []
        const guesses = new Set<string>()
        const behave: Behaviour = (shard, sql, before) => {
          const isGuess = sql === "behind" && !guesses.has(shard)
          const isSlow = step === (isGuess ? "guess" : sql === "behind" ? "page" : sql)
          if (isSlow) return slow({ [shard2]: 60_000 }, interrupted)(shard, sql, before)
          if (!isGuess) return well(shard, sql, before)
          guesses.add(shard)
          // No row behind those that were left out: the guess is of no use.
          return Effect.succeed([])
        }
        const { log, router, sql } = yield* make(behave, { shardTimeout: "1 second", retry: Schedule.recurs(1) })
        const exit = yield* clocked(router.query(sql`deep`), "1 second", "1 second")
        expect(exit).toMatchObject(Exit.fail({ _tag: "ShardTimeout", shard: shard2, timeoutMillis: 1_000 }))
        expect(interrupted).toEqual([shard2, shard2])
        // The samples of all decide on each page: they are taken anew together. A guess waits for no other shard's.
        expect(log.filter((line) => line.endsWith("probe"))).toHaveLength(step === "guess" ? 0 : 6)
        expect(log.filter((line) => line.endsWith("behind"))).toHaveLength({ guess: 4, probe: 3, page: 9 }[step] ?? 0)
      }
    })
  )

  it.scoped("of one shard: reads and writes, pinned and in a transaction", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(slow({ [shard2]: 1_000 }), { shardTimeout: "1 second" })
      const onTwo = <A, E>(effect: Effect.Effect<A, E>) => router.onShard(effect, shard2)
      const timeout = (mayWrite: boolean) => ({ cause: { _tag: "ShardTimeout", shard: shard2, mayWrite } })
      const slower = ShardRouter.withPolicy({ shardTimeout: "999 millis" })
      const failureOf = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.map(clocked(Effect.flip(slower(effect)), "999 millis"), (exit) =>
          exit !== "running" && Exit.isSuccess(exit) ? exit.value : exit
        )
      expect(yield* failureOf(sql.unsafe("by id $1", [on2]))).toMatchObject(timeout(false))
      expect(yield* failureOf(sql.unsafe("write by id $1", [on2]))).toMatchObject(timeout(true))
      expect(yield* failureOf(onTwo(sql`write`))).toMatchObject(timeout(true))
      expect(yield* failureOf(onTwo(sql`read`))).toMatchObject(timeout(true))
      expect(yield* failureOf(onTwo(sql`set x`))).toMatchObject(timeout(true))
      expect(yield* failureOf(sql.withTransaction(sql.unsafe("by id $1", [on2])))).toMatchObject(timeout(false))
      expect(yield* failureOf(Stream.runDrain(sql.unsafe("by id $1", [on2]).stream))).toMatchObject(timeout(false))
      expect(yield* failureOf(onTwo(Stream.runDrain(sql`read`.stream)))).toMatchObject(timeout(true))
      // The limit that is met exactly is met.
      expect(yield* clocked(sql.unsafe("by id $1", [on2]), "1 second")).not.toBe("running")
    })
  )

  it.scoped("a topology of one shard: of everything", () =>
    Effect.gen(function* () {
      const alone = Topology.make({ shards: ["shard_1"] })
      const { router, sql } = yield* make(slow({ [shard1]: 2_000 }), { shardTimeout: "1 second" }, alone)
      const exit = yield* clocked(Effect.flip(router.query(sql`anything`)), "1 second")
      expect(exit).toMatchObject(Exit.succeed({ _tag: "ShardTimeout", shard: shard1, mayWrite: true }))
    })
  )

  it.scoped("of a stream, for each page: who takes rows may take their time", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(slow({ [shard1]: 100 }), { shardTimeout: "200 millis", concurrency: 1 })
      for (const text of ["all", "sorted"]) {
        const taken = Stream.runCount(Stream.tap(router.stream(sql.unsafe(text)), () => Effect.sleep("10 minutes")))
        expect(yield* clocked(taken, "1 hour")).toEqual(Exit.succeed(3))
      }
    })
  )

  it.scoped("without a limit there is none, and Duration.infinity takes one back", () =>
    Effect.gen(function* () {
      const behave = slow({ [shard1]: 3_600_000 })
      const free = yield* make(behave)
      expect(yield* clocked(free.router.query(free.sql`all`), "1 hour")).not.toBe("running")
      const limited = yield* make(behave, { shardTimeout: "1 second" })
      const query = limited.router.query(limited.sql`all`, { shardTimeout: Infinity })
      expect(yield* clocked(query, "1 hour")).toMatchObject({ _tag: "Success" })
    })
  )
})

describe("concurrency", () => {
  it.scoped("bounds concatenations, merges and onAllShards", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const behave: Behaviour = (shard, sql, before) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            most = Math.max(most, ++running)
          }),
          () => Effect.delay(well(shard, sql, before), "1 second"),
          () => Effect.sync(() => void running--)
        )
      const { router, sql } = yield* make(behave)
      const uses = (concurrency: number) => ({
        all: router.query(sql`all`, { concurrency }),
        stream: Stream.runCollect(router.stream(sql`all`, { concurrency })),
        sorted: router.query(sql`sorted`, { concurrency }),
        deep: router.query(sql`deep`, { concurrency }),
        partial: router.queryPartial(sql`sorted`, { concurrency }),
        combined: router.query(sql`combined`, { concurrency }),
        onAllShards: ShardRouter.withPolicy(router.onAllShards(sql`read`), { concurrency })
      })
      for (const concurrency of [1, 2, 3]) {
        for (const [name, use] of Object.entries(uses(concurrency))) {
          most = 0
          expect(yield* clocked(use as Effect.Effect<unknown, unknown>, "10 seconds")).toMatchObject({
            _tag: "Success"
          })
          expect([name, most]).toEqual([name, concurrency])
        }
      }
    })
  )
})

describe("retry", () => {
  const twice = { retry: Schedule.recurs(2) }

  it.scoped("a read, on the shard that failed it, by the schedule", () =>
    Effect.gen(function* () {
      for (const [text, part] of [
        ["all", "all"],
        ["sorted", "part"],
        ["counted", "part"],
        ["combined", "part"]
      ] as const) {
        const { log, router, sql } = yield* make(failing(shard2, unavailable(shard2), 2), twice)
        yield* router.query(sql.unsafe(text))
        expect(log.filter((line) => line.endsWith(part)).sort()).toEqual([
          `shard_1 ${part}`,
          `shard_2 ${part}`,
          `shard_2 ${part}`,
          `shard_2 ${part}`,
          `shard_3 ${part}`
        ])
        const worse = yield* make(failing(shard2, unavailable(shard2), 3), twice)
        expect(yield* Effect.flip(worse.router.query(worse.sql.unsafe(text)))).toEqual(unavailable(shard2))
      }
    })
  )

  it.scoped("the finish of a combine by itself: the shards are not asked again", () =>
    Effect.gen(function* () {
      const behave: Behaviour = (shard, sql, before) =>
        sql === "whole" && before < 2 ? Effect.fail(unavailable(shard)) : well(shard, sql, before)
      const { log, router, sql } = yield* make(behave, twice)
      yield* router.query(sql`combined`)
      expect(log.filter((line) => line.endsWith("part"))).toHaveLength(3)
      expect(log.filter((line) => line.endsWith("whole"))).toHaveLength(3)
    })
  )

  it.scoped("waits as the schedule says; by default never tries again", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(failing(shard2, unavailable(shard2), 2))
      const statement = sql.unsafe("by id $1", [on2])
      expect(yield* Effect.flip(router.query(statement))).toEqual(unavailable(shard2))
      expect(log).toHaveLength(1)
      const spaced = { retry: Schedule.spaced("10 seconds") }
      expect(yield* clocked(router.query(statement, spaced), "9 seconds")).toBe("running")
      const again = yield* make(failing(shard2, unavailable(shard2), 2))
      expect(yield* clocked(again.router.query(again.sql.unsafe("by id $1", [on2]), spaced), "20 seconds")).toEqual(
        Exit.succeed([answered(shard2)])
      )
    })
  )

  it.scoped("what can pass, and nothing else", () =>
    Effect.gen(function* () {
      const failed = (kind: ShardError.StatementFailureKind) =>
        new ShardError.StatementFailed({
          ...({ code: "", reason: "", severity: "" } as any),
          shard: shard2,
          kind
        })
      const timeout = new ShardError.ShardTimeout({ shard: shard2, timeoutMillis: 1, mayWrite: false })
      const acquire = new ShardError.AcquireTimeout({ shard: shard2, timeoutMillis: 1 })
      const cases: ReadonlyArray<readonly [ShardError.ShardError, read: number, write: number, pinned: number]> = [
        [unavailable(shard2, true), 3, 1, 1],
        [unavailable(shard2, false), 3, 1, 3],
        [acquire, 3, 1, 3],
        [timeout, 3, 1, 1],
        [failed("SerializationFailure"), 3, 1, 3],
        [failed("DeadlockDetected"), 3, 1, 3],
        [failed("UniqueViolation"), 1, 1, 1],
        [failed("QueryCanceled"), 1, 1, 1],
        [refusal, 1, 1, 1]
      ]
      for (const [error, read, write, pinned] of cases) {
        const { log, router, sql } = yield* make(failing(shard2, error), twice)
        const tries = <A, E>(effect: Effect.Effect<A, E>) => {
          log.length = 0
          return Effect.map(Effect.flip(effect), () => log.length)
        }
        expect([
          error._tag,
          yield* tries(router.query(sql.unsafe("by id $1", [on2]))),
          yield* tries(router.query(sql.unsafe("write by id $1", [on2]))),
          yield* tries(router.onShard(router.query(sql`read`), shard2)),
          yield* tries(router.onShard(router.query(sql`write`), shard2)),
          yield* tries(sql.withTransaction(sql.unsafe("by id $1", [on2]))),
          yield* tries(Stream.runDrain(router.stream(sql.unsafe("by id $1", [on2])))),
          yield* tries(router.onShard(Stream.runDrain(router.stream(sql`read`)), shard2))
        ]).toEqual([error._tag, read, write, pinned, write, 1, read, pinned])
      }
    })
  )

  it.scoped("a read that any shard can answer begins anew at another", () =>
    Effect.gen(function* () {
      const behave: Behaviour = (shard, sql, before) =>
        shard === shard3 ? well(shard, sql, before) : Effect.fail(unavailable(shard))
      const { log, router, sql } = yield* make(behave, { retry: Schedule.recurs(2) })
      expect(yield* router.query(sql`countries`)).toEqual([answered(shard3)])
      expect(log).toEqual(["shard_1 countries", "shard_2 countries", "shard_3 countries"])
      const streamed = yield* make(behave, { retry: Schedule.recurs(2) })
      expect(yield* Stream.runCount(streamed.router.stream(streamed.sql`countries`))).toBe(1)
    })
  )

  it.scoped("a stream begins anew only before its first row, and closes what it leaves", () =>
    Effect.gen(function* () {
      let opened = 0
      let closed = 0
      const streaming = (failsAfter: number, times: number) => {
        let tries = 0
        const rows: Stream.Stream<TextRow, ShardError.ShardError> = Stream.unwrapScoped(
          Effect.map(
            Effect.acquireRelease(
              Effect.sync(() => ++opened - closed),
              () => Effect.sync(() => void closed++)
            ),
            (open) => {
              expect(open).toBe(1)
              const given = Stream.fromIterable([rowOf(shard2), rowOf(shard2)])
              return ++tries > times
                ? given
                : Stream.concat(Stream.take(given, failsAfter), Stream.fail(unavailable(shard2)))
            }
          )
        )
        return rows
      }
      const over = (failsAfter: number, times: number) =>
        Effect.gen(function* () {
          const rows = streaming(failsAfter, times)
          const { router, sql } = yield* make(well, {}, topology, { executeStream: () => rows })
          return yield* Effect.either(Stream.runCollect(router.stream(sql.unsafe("by id $1", [on2]), twice)))
        })
      expect(yield* over(0, 2)).toMatchObject({ _tag: "Right", right: { length: 2 } })
      expect(yield* over(0, 3)).toMatchObject({ _tag: "Left", left: unavailable(shard2) })
      expect(yield* over(1, 1)).toMatchObject({ _tag: "Left", left: unavailable(shard2) })
      expect([opened, closed]).toEqual([7, 7])
    })
  )
})

describe("queryPartial", () => {
  const down = failing(shard2, unavailable(shard2, false))
  const missing = [{ shard: shard2, error: unavailable(shard2, false) }]

  it.scoped("the rows of the shards that answer, and a typed list of those that do not", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(down)
      for (const text of ["all", "sorted", "dated", "distinct"]) {
        const rows = [answered(shard1), answered(shard3)]
        expect(yield* router.queryPartial(sql.unsafe(text))).toEqual({ rows, missing })
        // Never without being asked for.
        expect(yield* Effect.flip(router.query(sql.unsafe(text)))).toEqual(unavailable(shard2, false))
      }
      expect(yield* router.queryPartial(sql.unsafe("by id $1", [on2]))).toEqual({ rows: [], missing })
      const on1 = userOn(shard1)
      expect(yield* router.queryPartial(sql.unsafe("by id $1", [on1]))).toEqual({
        rows: [answered(shard1)],
        missing: []
      })
      for (let read = 0; read < 3; read++) {
        expect(yield* router.queryPartial(sql`countries`)).toMatchObject({ rows: [{}], missing: [] })
      }
    })
  )

  it.scoped("what a PostgreSQL only sorts is sorted by one that answers", () =>
    Effect.gen(function* () {
      for (let turn = 0; turn < 3; turn++) {
        const { log, router, sql } = yield* make(down)
        for (let before = 0; before < turn; before++) yield* Effect.ignore(router.query(sql`sorted elsewhere`))
        log.length = 0
        expect(yield* router.queryPartial(sql`sorted elsewhere`)).toMatchObject({
          rows: [{ transformed: true }],
          missing
        })
        expect(log.filter((line) => line.endsWith("whole"))).toHaveLength(1)
        expect(log).not.toContain("shard_2 whole")
      }
    })
  )

  it.scoped("refuses what rows of some shards cannot answer", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(down)
      const reasonOf = (text: string, params: ReadonlyArray<unknown> = []) =>
        Effect.map(Effect.flip(router.queryPartial(sql.unsafe(text, params))), (error) => {
          expect(error).toBeInstanceOf(ShardError.OperationRefused)
          return error.message
        })
      expect(yield* reasonOf("limited")).toMatch(/LIMIT/)
      expect(yield* reasonOf("counted")).toMatch(/aggregate/)
      expect(yield* reasonOf("distinct on")).toMatch(/DISTINCT ON/)
      expect(yield* reasonOf("combined")).toMatch(/finished by a PostgreSQL/)
      expect(yield* reasonOf("write by id $1", [on2])).toMatch(/may write/)
      const inTransaction = sql.withTransaction(Effect.flip(router.queryPartial(sql`all`)))
      expect(yield* inTransaction).toMatchObject({ _tag: "OperationRefused" })
      expect(log).toEqual([])
    })
  )

  it.scoped("what is no matter of reaching the shard fails, and interrupts the siblings", () =>
    Effect.gen(function* () {
      const error = new ShardError.StatementFailed({
        ...({ reason: "division by zero", severity: "ERROR" } as any),
        code: "22012",
        shard: shard2,
        kind: "InvalidValue"
      })
      for (const text of ["all", "sorted"]) {
        const interrupted: Array<string> = []
        const behave: Behaviour = (shard, sql, before) =>
          shard === shard2
            ? Effect.zipRight(Effect.yieldNow(), Effect.fail(error))
            : slow({ [shard1]: 60_000, [shard3]: 60_000 }, interrupted)(shard, sql, before)
        const { router, sql } = yield* make(behave)
        expect(yield* Effect.flip(router.queryPartial(sql.unsafe(text)))).toEqual(error)
        expect(interrupted.sort()).toEqual([shard1, shard3])
      }
    })
  )

  it.scoped("with a limit and a schedule: first it is tried anew, then it is missing", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(slow({ [shard2]: 60_000 }), {
        shardTimeout: "1 second",
        retry: Schedule.recurs(1)
      })
      const exit = yield* clocked(router.queryPartial(sql`sorted`), "2 seconds")
      expect(exit).toMatchObject(
        Exit.succeed({
          rows: [answered(shard1), answered(shard3)],
          missing: [{ shard: shard2, error: { _tag: "ShardTimeout", timeoutMillis: 1_000 } }]
        })
      )
      expect(log.filter((line) => line.startsWith("shard_2"))).toHaveLength(2)
    })
  )

  it.scoped("all shards down: no rows, all of them missing; a statement about now() fails", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make((shard) => Effect.fail(unavailable(shard)))
      for (const text of ["all", "sorted"]) {
        const answer = yield* router.queryPartial(sql.unsafe(text))
        expect(answer.rows).toEqual([])
        expect(answer.missing.map(({ shard }) => shard)).toEqual([shard1, shard2, shard3])
      }
      expect(yield* Effect.flip(router.queryPartial(sql`dated`))).toEqual(unavailable(shard3))
      expect(yield* Effect.flip(router.queryPartial(sql`countries`))).toBeInstanceOf(ShardError.ShardUnavailable)
    })
  )

  it.scoped("pinned: reads alone", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(down)
      const onTwo = (text: string) => router.onShard(router.queryPartial(sql.unsafe(text)), shard2)
      expect(yield* onTwo("read")).toEqual({ rows: [], missing })
      for (const text of ["write", "set x"])
        expect(yield* Effect.flip(onTwo(text))).toMatchObject({ _tag: "OperationRefused" })
      expect(yield* Effect.flip(onTwo("unknown text"))).toEqual(refusal)
      const alone = Topology.make({ shards: ["shard_2"] })
      const one = yield* make(down, {}, alone)
      expect(yield* one.router.queryPartial(one.sql`read`)).toEqual({ rows: [], missing })
      for (const text of ["write", "unknown text"]) {
        expect(yield* Effect.flip(one.router.queryPartial(one.sql.unsafe(text)))).toMatchObject({
          _tag: "OperationRefused"
        })
      }
    })
  )
})
