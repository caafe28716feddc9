/**
 * `router.cached` on shards that do as they are told: what it takes, what tells answers apart, and what drops them.
 */
import * as Statement from "@effect/sql/Statement"
import { it } from "@effect/vitest"
import * as LocalTransaction from "@shardlayer/core/LocalTransaction"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import * as ShardError from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as TableChanges from "@shardlayer/core/TableChanges"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { type Behaviour, failing, make, well } from "./scripted.js"
import { recordingDriver, shard1, shard2, shard3, topology, userOn } from "./support.js"

const [on1, on2, on3] = [userOn(shard1), userOn(shard2), userOn(shard3)]
const minute = { timeToLive: "1 minute" } as const
const settled = Effect.yieldNow().pipe(Effect.repeatN(30))

type Made = Effect.Effect.Success<ReturnType<typeof make>>

/** Caches some reads, and tells which of them a deed has dropped. */
const dropped = ({ log, router, sql }: Made, deed: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const texts = ["all", "by id $1", "shops", "countries"]
    const reads = texts.map((text) => router.cached(sql.unsafe(text, text.includes("$1") ? [on1] : []), minute))
    yield* Effect.all(reads)
    yield* Effect.exit(deed)
    const gone: Array<string> = []
    for (const [index, read] of reads.entries()) {
      const before = log.length
      yield* read
      if (log.length > before) gone.push(texts[index]!)
    }
    return gone
  })

const ofUsers = ["all", "by id $1"]
const everything = [...ofUsers, "shops", "countries"]

describe("router.cached", () => {
  it.scoped("answers as query does, of every strategy, and again without a shard", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well)
      for (const text of ["by id $1", "all", "sorted", "counted", "combined", "countries", "limited"]) {
        const statement = sql.unsafe(text, text.includes("$1") ? [on2] : [])
        const answer = yield* router.query(statement)
        expect(yield* router.cached(statement, minute), text).toHaveLength(answer.length)
        log.length = 0
        const again = yield* router.cached(statement, minute)
        expect(again).toHaveLength(answer.length)
        expect(again).toEqual(answer.map(() => expect.objectContaining({ transformed: true })))
        expect(log, text).toEqual([])
      }
      expect(router.cacheStats()).toMatchObject({ entries: 7, hits: 7, misses: 7 })
    })
  )

  it.scoped("takes reads whose answer is not that of a moment", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well)
      const refused = (text: string, params: ReadonlyArray<unknown> = [on1]) =>
        Effect.flip(router.cached(sql.unsafe(text, params), minute))
      for (const text of ["write by id $1", "lock by id $1", "write anything by id $1"]) {
        const error = yield* refused(text)
        expect(error).toMatchObject({ _tag: "OperationRefused", operation: "router.cached" })
        expect(error.message).toMatch(/it may write, lock rows or change its session.*: use router\.query$/)
      }
      expect((yield* refused("random")).message).toBe(
        "router.cached does not take this statement: random() gives another value at each call: use router.query, or call it apart from the rest"
      )
      expect((yield* refused("by id $1", [new URL("http://x")]))._tag).toBe("KeyInvalid")
      expect(yield* refused("countries", ["x", new URL("http://x")])).toMatchObject({
        _tag: "OperationRefused",
        reason: expect.stringMatching(/^the value of \$2 cannot be told apart/)
      })
      expect((yield* refused("nonsense"))._tag).toBe("UnsupportedQuery")
      const onTwo = (text: string) => Effect.flip(router.onShard(router.cached(sql.unsafe(text), minute), shard2))
      for (const text of ["write", "set x", "create table"]) {
        expect(yield* onTwo(text)).toMatchObject({ reason: expect.stringMatching(/^it may write/) })
      }
      expect(yield* onTwo("unplanned")).toMatchObject({
        _tag: "OperationRefused",
        reason: expect.stringMatching(/which tables it reads is not known, because of SL0000, several shards/)
      })
      expect(log).toEqual([])
      expect(router.cacheStats()).toMatchObject({ entries: 0, misses: 0 })
    })
  )

  it.scoped("a time to live that is none is a defect", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(well)
      for (const timeToLive of [0, -1, "0 seconds", NaN, "soon"]) {
        const exit = yield* Effect.exit(router.cached(sql`all`, { timeToLive: timeToLive as number }))
        expect(Exit.isFailure(exit) && exit.cause._tag, String(timeToLive)).toBe("Die")
      }
      yield* router.cached(sql`all`, { timeToLive: Infinity })
      yield* router.cached(sql`all`, { timeToLive: "1 nanos" as never }).pipe(Effect.exit)
    })
  )

  it.scoped("tells answers apart by params, pin and transformed text", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well)
      const asks = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.suspend(() => {
          log.length = 0
          return Effect.as(effect, log).pipe(Effect.map((lines) => [...lines]))
        })
      const byId = (id: unknown) => router.cached(sql.unsafe("by id $1", [id]), minute)
      expect(yield* asks(byId(on2))).toEqual(["shard_2 by id $1"])
      expect(yield* asks(byId(on2))).toEqual([])
      expect(yield* asks(byId(String(on2)))).toEqual(["shard_2 by id $1"])
      expect(yield* asks(byId(BigInt(on2)))).toEqual(["shard_2 by id $1"])
      const all = router.cached(sql`all`, minute)
      expect(yield* asks(all)).toHaveLength(3)
      expect(yield* asks(router.onShard(all, shard1))).toEqual(["shard_1 all"])
      expect(yield* asks(router.onShard(all, shard2))).toEqual(["shard_2 all"])
      expect(yield* asks(router.onAllShards(all))).toEqual(["shard_3 all"])
      expect(yield* asks(all)).toEqual([])
      const forUser = router.forKey(byId(on2), topology.tables.users, on2)
      expect(yield* asks(forUser)).toEqual(["shard_2 by id $1"])
      expect(yield* asks(forUser)).toEqual([])
      const other = router.forKey(byId(on2), topology.tables.users, on3)
      expect(yield* Effect.flip(other)).toMatchObject({ _tag: "KeyNotPinned" })
      // A transformer of the fiber decides which statement it is.
      const counted = Statement.withTransformer(all, () => Effect.succeed(sql`counted`))
      expect(yield* asks(counted)).toHaveLength(3)
      expect(yield* asks(counted)).toEqual([])
      expect(yield* asks(router.cached(sql`counted`, minute))).toEqual([])
    })
  )

  it.scoped("a policy counts for what was answered before, too", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(well)
      const all = router.cached(sql`all`, minute)
      yield* all
      expect(yield* Effect.flip(ShardRouter.withPolicy(all, { scatter: "refuse" }))).toMatchObject({
        _tag: "ScatterRefused"
      })
      expect(yield* all).toHaveLength(3)
    })
  )

  it.scoped("a later topology asks anew", () =>
    Effect.gen(function* () {
      const { log, manager, router, sql } = yield* make(well)
      const all = router.cached(sql`all`, minute)
      yield* all
      yield* manager.setTopology({ ...topology, epoch: topology.epoch + 1 })
      log.length = 0
      yield* all
      yield* all
      expect(log).toHaveLength(3)
    })
  )

  it.scoped("failures are typed, and not kept", () =>
    Effect.gen(function* () {
      const gone = new ShardError.ShardUnavailable({ shard: shard2, reason: "gone", sent: true })
      const { router, sql } = yield* make(failing(shard2, gone, 1))
      const all = router.cached(sql`all`, minute)
      expect(yield* Effect.flip(all)).toEqual(gone)
      expect(yield* all).toHaveLength(3)
    })
  )

  it.scoped("is bounded as the options say", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(
        well,
        undefined,
        topology,
        {},
        { resultCacheSize: 1, resultCacheRowsMax: 2 }
      )
      const all = router.cached(sql`all`, minute)
      const byId = (id: number) => router.cached(sql.unsafe("by id $1", [id]), minute)
      yield* all
      yield* all
      expect(log).toHaveLength(6)
      yield* byId(on1)
      yield* byId(on2)
      expect(router.cacheStats()).toMatchObject({ entries: 1, evictions: 1 })
    })
  )
})

describe("what drops answers", () => {
  it.scoped("a write to a table they read, in every form, whatever came of it", () =>
    Effect.gen(function* () {
      const made = yield* make(well)
      const { router, sql } = made
      const write = sql.unsafe("write by id $1", [on2])
      expect(yield* dropped(made, Effect.void)).toEqual([])
      expect(yield* dropped(made, write)).toEqual(ofUsers)
      expect(yield* dropped(made, write.values)).toEqual(ofUsers)
      expect(yield* dropped(made, write.raw)).toEqual(ofUsers)
      expect(yield* dropped(made, Stream.runDrain(write.stream))).toEqual(ofUsers)
      expect(yield* dropped(made, router.query(write))).toEqual(ofUsers)
      expect(yield* dropped(made, sql.unsafe("lock by id $1", [on1]))).toEqual([])
      expect(yield* dropped(made, sql.unsafe("write anything by id $1", [on1]))).toEqual(everything)
      const onTwo = <A, E>(effect: Effect.Effect<A, E>) => router.onShard(effect, shard2)
      expect(yield* dropped(made, onTwo(sql`write`))).toEqual(ofUsers)
      expect(yield* dropped(made, onTwo(Stream.runDrain(sql`write`.stream)))).toEqual(ofUsers)
      expect(yield* dropped(made, onTwo(sql`read`))).toEqual([])
      expect(yield* dropped(made, onTwo(sql`create table`))).toEqual(everything)
      expect(yield* dropped(made, onTwo(ShardRouter.unchecked(sql`what is this`)))).toEqual(everything)
      const reserved = (run: (connection: any) => Effect.Effect<unknown, unknown>) =>
        onTwo(Effect.scoped(Effect.flatMap(sql.reserve, run)))
      expect(
        yield* dropped(
          made,
          reserved((one) => one.executeRaw("write", []))
        )
      ).toEqual(ofUsers)
      expect(
        yield* dropped(
          made,
          reserved((one) => Stream.runDrain(one.executeStream("write", [])))
        )
      ).toEqual(ofUsers)
      expect(
        yield* dropped(
          made,
          reserved((one) => one.executeRaw("read", []))
        )
      ).toEqual([])
    })
  )

  it.scoped("a write that failed or was interrupted may have happened", () =>
    Effect.gen(function* () {
      const never: Behaviour = (shard, text, before) =>
        text.startsWith("write") ? Effect.never : well(shard, text, before)
      const waiting = yield* make(never)
      const interrupted = Effect.flatMap(Effect.fork(waiting.sql.unsafe("write by id $1", [on1])), (fiber) =>
        Effect.zipRight(settled, Fiber.interrupt(fiber))
      )
      expect(yield* dropped(waiting, interrupted)).toEqual(ofUsers)
      const gone = new ShardError.ShardUnavailable({ shard: shard1, reason: "gone", sent: true })
      const lost: Behaviour = (shard, text, before) =>
        text.startsWith("write") ? Effect.fail(gone) : well(shard, text, before)
      const broken = yield* make(lost)
      expect(yield* dropped(broken, broken.sql.unsafe("write by id $1", [on1]))).toEqual(ofUsers)
    })
  )

  it.scoped("the program itself, by the key of a table or of all", () =>
    Effect.gen(function* () {
      const made = yield* make(well)
      const { reactivity } = made
      expect(TableChanges.key("users")).toBe("shardlayer:table:public.users")
      expect(yield* dropped(made, reactivity.invalidate(["shardlayer:table:public.users"]))).toEqual(ofUsers)
      expect(yield* dropped(made, reactivity.invalidate([TableChanges.key("app.users")]))).toEqual([])
      expect(yield* dropped(made, reactivity.invalidate({ "shardlayer:table": ["public.users"] }))).toEqual(ofUsers)
      expect(yield* dropped(made, reactivity.invalidate([TableChanges.everything]))).toEqual(everything)
    })
  )

  it.scoped("a transaction, once it is committed or may be; not what is rolled back", () =>
    Effect.gen(function* () {
      const made = yield* make(well)
      const { router, sql } = made
      const write = sql.unsafe("write by id $1", [on2])
      const { withTransaction } = sql
      expect(yield* dropped(made, withTransaction(write))).toEqual(ofUsers)
      expect(yield* dropped(made, withTransaction(withTransaction(write)))).toEqual(ofUsers)
      expect(yield* dropped(made, withTransaction(Stream.runDrain(write.stream)))).toEqual(ofUsers)
      expect(yield* dropped(made, withTransaction(router.onShard(sql`write`, shard1)))).toEqual(ofUsers)
      expect(yield* dropped(made, withTransaction(Effect.zipRight(write, Effect.fail("no"))))).toEqual([])
      expect(yield* dropped(made, withTransaction(Effect.zipRight(write, Effect.interrupt)))).toEqual([])
      const survived = Effect.ignore(withTransaction(Effect.zipRight(write, Effect.fail("no"))))
      expect(yield* dropped(made, withTransaction(survived))).toEqual(ofUsers)
      expect(yield* dropped(made, withTransaction(sql.unsafe("by id $1", [on2])))).toEqual([])
      expect(yield* dropped(made, withTransaction(sql.unsafe("write anything by id $1", [on2])))).toEqual(everything)
      const seen: Array<string> = []
      const within = Effect.gen(function* () {
        yield* write
        seen.push(...(yield* LocalTransaction.withoutTransaction(dropped(made, Effect.void))))
      })
      expect(yield* dropped(made, withTransaction(within))).toEqual(ofUsers)
      expect(seen).toEqual([])
    })
  )

  it.scoped("a COMMIT whose outcome is unknown, and none that PostgreSQL answered with ROLLBACK", () =>
    Effect.gen(function* () {
      const committing = (commit: Effect.Effect<void, ShardError.ShardError>) => {
        const driver = recordingDriver([])
        const reserve: ShardDriver["reserve"] = Effect.map(driver.reserve, (session) => ({ ...session, commit }))
        return make(well, undefined, topology, { reserve })
      }
      const unknown = yield* committing(
        Effect.fail(new ShardError.CommitUnknown({ shard: shard2, cause: "lost" as never }))
      )
      const write = (made: Made) => made.sql.withTransaction(made.sql.unsafe("write by id $1", [on2]))
      expect(yield* dropped(unknown, write(unknown))).toEqual(ofUsers)
      const undone = yield* committing(Effect.fail(new ShardError.TransactionRolledBack({ shard: shard2 })))
      expect(yield* dropped(undone, write(undone))).toEqual([])
    })
  )

  it.scoped("in a transaction nothing is taken from what was kept, and nothing kept", () =>
    Effect.gen(function* () {
      const { log, router, sql } = yield* make(well)
      const byId = router.cached(sql.unsafe("by id $1", [on2]), minute)
      yield* sql.withTransaction(Effect.zipRight(byId, byId))
      expect(router.cacheStats()).toMatchObject({ entries: 0, misses: 0, hits: 0 })
      yield* byId
      log.length = 0
      yield* sql.withTransaction(byId)
      expect(log).toEqual(["shard_2 by id $1"])
      expect(
        yield* Effect.flip(sql.withTransaction(router.cached(sql.unsafe("write by id $1", [on2]), minute)))
      ).toMatchObject({
        _tag: "OperationRefused"
      })
    })
  )

  it.scoped("a write while a read is under way: the answer is not kept, whichever ends first", () =>
    Effect.gen(function* () {
      for (const first of ["read", "write"]) {
        const gates = { all: yield* Deferred.make<void>(), write: yield* Deferred.make<void>() }
        let reads = 0
        const behave: Behaviour = (shard, text, before) => {
          if (text === "all") reads++
          const gate = text === "all" ? gates.all : text.startsWith("write") ? gates.write : undefined
          return gate === undefined
            ? well(shard, text, before)
            : Effect.zipRight(Deferred.await(gate), well(shard, text, before))
        }
        const { router, sql } = yield* make(behave)
        const all = router.cached(sql`all`, minute)
        const reading = yield* Effect.fork(all)
        const writing = yield* Effect.fork(sql.unsafe("write by id $1", [on1]))
        yield* settled
        const ends = [Deferred.succeed(gates.all, undefined), Deferred.succeed(gates.write, undefined)]
        const [one, other] = first === "read" ? ends : ends.reverse()
        yield* one!
        yield* settled
        yield* other!
        yield* Fiber.join(writing)
        yield* Fiber.join(reading)
        expect(reads).toBe(3)
        yield* all
        expect(reads, first).toBe(6)
      }
    })
  )

  it.scoped("sql.reactive shares it", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* make(well)
      const seen: Array<number> = []
      let turn = 0
      yield* Effect.forkScoped(
        Stream.runForEach(
          sql.reactive(
            [TableChanges.key("users")],
            Effect.sync(() => ++turn)
          ),
          (value) => Effect.sync(() => void seen.push(value))
        )
      )
      yield* settled
      yield* sql.unsafe("write by id $1", [on1])
      yield* settled
      yield* sql.unsafe("by id $1", [on1])
      yield* router.onShard(sql`create table`, shard1)
      yield* settled
      expect(seen).toEqual([1, 2, 3])
    })
  )
})

describe("a topology of one shard", () => {
  const alone = Topology.make({ shards: ["shard_1"] })
  it.scoped("is asked once, and its texts are looked at from then on", () =>
    Effect.gen(function* () {
      const made = yield* make(well, undefined, alone)
      const { log, router, sql } = made
      const read = router.cached(sql`read`, minute)
      const again = Effect.suspend(() => {
        log.length = 0
        return Effect.map(read, () => log.length)
      })
      expect(yield* again).toBe(1)
      expect(yield* again).toBe(0)
      yield* sql`read`
      expect(yield* again).toBe(0)
      yield* sql`write`
      expect(yield* again).toBe(1)
      yield* sql`no statement that anybody knows`
      expect(yield* again).toBe(1)
      yield* Stream.runDrain(sql`write`.stream)
      expect(yield* again).toBe(1)
      yield* sql.withTransaction(sql`write`)
      expect(yield* again).toBe(1)
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(sql`write`, Effect.fail("no"))))
      expect(yield* again).toBe(0)
      yield* Effect.scoped(Effect.flatMap(sql.reserve, (one) => one.executeRaw("write", [])))
      expect(yield* again).toBe(1)
      expect(yield* Effect.flip(router.cached(sql`write`, minute))).toMatchObject({ _tag: "OperationRefused" })
      expect(yield* Effect.flip(router.cached(sql`unplanned`, minute))).toMatchObject({ _tag: "OperationRefused" })
    })
  )

  it.scoped("a write that began before anybody cached may have changed anything", () =>
    Effect.gen(function* () {
      for (const inTransaction of [false, true]) {
        const gate = yield* Deferred.make<void>()
        const behave: Behaviour = (shard, text, before) =>
          text === "write"
            ? Effect.zipRight(Deferred.await(gate), well(shard, text, before))
            : well(shard, text, before)
        const { log, router, sql } = yield* make(behave, undefined, alone)
        const writing = yield* Effect.fork(inTransaction ? sql.withTransaction(sql`write`) : sql`write`)
        yield* settled
        const read = router.cached(sql`read`, minute)
        yield* read
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(writing)
        log.length = 0
        yield* read
        expect(log).toEqual(["shard_1 read"])
      }
    })
  )
})
