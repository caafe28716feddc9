/**
 * A network that says nothing: what waits for it, for how long, what the other shards hold meanwhile, and that nothing of
 * it is left once the network is back.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import { CommitUnknown } from "@shardlayer/core/ShardError"
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { answerLost, type Point, type Strike, Trigger } from "./crash/faults.js"
import * as World from "./crash/world.js"
import { eventually } from "./eventually.js"

const answerTimeoutMillis = 500
const finishTimeoutMillis = 1_000
const config = { answerTimeout: answerTimeoutMillis, cancelTimeout: "200 millis" } as const
/** Far below the defaults of the limits that are not under test, far above those that are. */
const soonMillis = 4_500

/** One world for all: what a test leaves behind, the next one meets. */
let shared: { readonly world: World.World; readonly survivor: ShardRouterService }
const scope = Effect.runSync(Scope.make())
let entries = 0

beforeAll(() =>
  Effect.gen(function* () {
    const world = yield* World.makeSharedWorld()
    shared = { world, survivor: yield* World.openRouter(world, { proxied: false, install: true }) }
  }).pipe(Scope.extend(scope), Effect.runPromise)
)

afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const setup = Effect.gen(function* () {
  const { survivor, world } = shared
  const trigger = new Trigger()
  const router = yield* World.openRouter(world, {
    proxied: true,
    commitLog: trigger.commitLog,
    finishTimeoutMillis,
    config
  })
  yield* router.transaction(World.writeAll(router, ++entries))
  const before = (yield* World.look(world)).contents
  const entry = ++entries
  const write = World.writeAll(router, entry, (statement) => trigger.around("write", statement))
  /** Runs a transaction that meets a fault. */
  const meet = (at: Point, strike: Strike) =>
    timed(
      Effect.suspend(() => {
        trigger.arm(at, strike)
        return Effect.exit(router.transaction(write))
      })
    )
  /** The same router goes on as if nothing had been. */
  const goOn = (found: World.Contents) =>
    Effect.gen(function* () {
      trigger.disarm()
      yield* router.transaction(World.writeAll(router, ++entries))
      expect((yield* World.look(world)).contents).toEqual(World.after(found, entries))
    })
  const contents = { before, after: World.after(before, entry) }
  return { world, trigger, survivor, router, write, entry, meet, contents, goOn }
})

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const startedAt = yield* Clock.currentTimeMillis
    const answer = yield* effect
    const millis = (yield* Clock.currentTimeMillis) - startedAt
    expect(millis).toBeLessThan(soonMillis)
    return answer
  })

const tagOf = (exit: Exit.Exit<unknown, unknown>): string | undefined =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail" ? (exit.cause.error as { _tag: string })._tag : undefined

/** What the other shards hold while this one says nothing. */
const leftElsewhere = (world: World.World, silent: World.Shard) =>
  Effect.map(World.look(world), ({ left }) => left.filter((_, place) => World.shards[place] !== silent))

const free = { busy: 0, gates: 0, prepared: 0 }

/** Without recovery: nothing was prepared. */
const clean = (world: World.World) => eventually(Effect.orDie(World.look(world)), World.isClean)

describe("a network that stalls", () => {
  for (const [network, shard] of [
    ["stalled", "shard_2"],
    ["mute", "shard_2"],
    ["stalled", World.decider]
  ] as const) {
    it.scopedLive(`${network} before ${shard} enters: it counts as lost, and the others are free at once`, () =>
      Effect.gen(function* () {
        const { contents, goOn, meet, world } = yield* setup
        const nth = World.shards.indexOf(shard)
        const exit = yield* meet({ step: "enter", nth, when: "before" }, world.network[shard].set(network))
        expect(tagOf(exit)).toBe("ParticipantLost")
        yield* eventually(Effect.orDie(leftElsewhere(world, shard)), (left) => left.every(isFree))
        yield* world.network[shard].set("open")
        expect((yield* clean(world)).contents).toEqual(contents.before)
        yield* goOn(contents.before)
      })
    )
  }

  for (const network of ["stalled", "mute"] as const) {
    it.scopedLive(`${network} before PREPARE: lost, and rolled back everywhere`, () =>
      Effect.gen(function* () {
        const { contents, goOn, meet, survivor, world } = yield* setup
        const exit = yield* meet({ step: "prepare", nth: 0, when: "before" }, world.network.shard_1.set(network))
        expect(tagOf(exit)).toBe("ParticipantLost")
        expect(yield* leftElsewhere(world, "shard_1")).toEqual([free, free])
        yield* world.network.shard_1.set("open")
        expect((yield* World.settled(world, survivor)).contents).toEqual(contents.before)
        yield* goOn(contents.before)
      })
    )
  }

  it.scopedLive("while it decides: the outcome is asked for over another connection", () =>
    Effect.gen(function* () {
      const { contents, goOn, meet, world } = yield* setup
      const network = world.network[World.decider]
      // Whoever waited for that answer has given up on it by then.
      const muteForAWhile = Effect.zipRight(
        network.set("mute"),
        Effect.asVoid(Effect.forkDaemon(Effect.delay(network.set("open"), answerTimeoutMillis + 200)))
      )
      expect(yield* meet({ step: "decide", nth: 0, when: "before" }, muteForAWhile)).toEqual(Exit.void)
      const view = yield* World.look(world)
      expect(view.contents).toEqual(contents.after)
      expect(view.left).toEqual([free, free, free])
      yield* goOn(contents.after)
    })
  )

  for (const network of ["stalled", "mute"] as const) {
    it.scopedLive(`${network} while it decides and for longer: unknown, and what it was is found out later`, () =>
      Effect.gen(function* () {
        const { contents, goOn, meet, survivor, world } = yield* setup
        const deciders = world.network[World.decider]
        const exit = yield* meet({ step: "decide", nth: 0, when: "before" }, deciders.set(network))
        expect(tagOf(exit)).toBe("CommitUnknown")
        const error = yield* Effect.flip(exit)
        if (!(error instanceof CommitUnknown) || error.transaction === undefined) throw error
        expect((yield* World.look(world)).left.map(({ prepared }) => prepared)).toEqual([1, 1, 0])
        // What was sent and not carried out yet is stopped by whoever asks first.
        const outcome = yield* survivor.outcome(error.transaction)
        expect(outcome).toBe(network === "mute" ? "committed" : "rolledBack")
        yield* deciders.set("open")
        const found = contents[outcome === "committed" ? "after" : "before"]
        expect((yield* World.settled(world, survivor)).contents).toEqual(found)
        yield* goOn(found)
      })
    )
  }

  for (const network of ["stalled", "mute"] as const) {
    it.scopedLive(`${network} before a branch is told: incomplete, after finishTimeoutMillis`, () =>
      Effect.gen(function* () {
        const { contents, goOn, meet, survivor, world } = yield* setup
        const exit = yield* meet({ step: "finish", nth: 1, when: "before" }, world.network.shard_2.set(network))
        expect(tagOf(exit)).toBe("CommitIncomplete")
        expect(yield* leftElsewhere(world, "shard_2")).toEqual([free, free])
        yield* world.network.shard_2.set("open")
        expect((yield* World.settled(world, survivor)).contents).toEqual(contents.after)
        yield* goOn(contents.after)
      })
    )
  }

  it.scopedLive("before a branch ends that only read: it is committed all the same", () =>
    Effect.gen(function* () {
      const { entry, goOn, router, trigger, world } = yield* setup
      const { client: sql } = router
      trigger.arm({ step: "decide", nth: 0, when: "after" }, world.network.shard_1.set("stalled"))
      yield* timed(
        router.transaction(
          Effect.gen(function* () {
            yield* sql`select * from accounts where id = 0`
            yield* sql`update accounts set balance = ${entry} where id = 101`
            yield* sql`update accounts set balance = ${entry} where id = 201`
          })
        )
      )
      expect(trigger.struck).toBe(true)
      yield* world.network.shard_1.set("open")
      const { contents } = yield* clean(world)
      expect(contents.accounts.filter(({ balance }) => balance === entry).map(({ id }) => id)).toEqual([101, 201])
      yield* goOn(contents)
    })
  )

  it.scopedLive("at the COMMIT of one shard: unknown", () =>
    Effect.gen(function* () {
      const { entry, goOn, router, world } = yield* setup
      const { client: sql } = router
      const exit = yield* timed(
        Effect.exit(
          router.transaction(
            Effect.zipRight(
              sql`update accounts set balance = ${entry} where id = 101`,
              Effect.asVoid(world.network.shard_2.set("mute"))
            )
          )
        )
      )
      expect(tagOf(exit)).toBe("CommitUnknown")
      yield* world.network.shard_2.set("open")
      const { contents } = yield* clean(world)
      expect(contents.accounts.find(({ id }) => id === 101)?.balance).toBe(entry)
      yield* goOn(contents)
    })
  )

  for (const network of ["stalled", "mute"] as const) {
    it.scopedLive(`${network} under a statement: interruption and ROLLBACK end it on all shards`, () =>
      Effect.gen(function* () {
        const { contents, goOn, router, trigger, world, write } = yield* setup
        trigger.arm({ step: "write", nth: 2, when: "before" }, world.network.shard_3.set(network))
        const fiber = yield* Effect.fork(router.transaction(write))
        yield* eventually(
          Effect.sync(() => trigger.struck),
          (struck) => struck
        )
        yield* Effect.sleep(100)
        expect(fiber.unsafePoll()).toBe(null)
        yield* timed(Fiber.interrupt(fiber))
        expect(yield* leftElsewhere(world, "shard_3")).toEqual([free, free])
        yield* world.network.shard_3.set("open")
        expect((yield* clean(world)).contents).toEqual(contents.before)
        yield* goOn(contents.before)
      })
    )
  }

  it.scopedLive("before ROLLBACK: it ends, and with it the session", () =>
    Effect.gen(function* () {
      const { contents, goOn, router, world, write } = yield* setup
      const failure = new Error("the body's own")
      const error = yield* timed(
        Effect.flip(
          router.transaction(
            Effect.zipRight(write, Effect.zipRight(world.network.shard_2.set("stalled"), Effect.fail(failure)))
          )
        )
      )
      expect(error).toMatchObject({ message: failure.message })
      expect(yield* leftElsewhere(world, "shard_2")).toEqual([free, free])
      yield* world.network.shard_2.set("open")
      expect((yield* clean(world)).contents).toEqual(contents.before)
      yield* goOn(contents.before)
    })
  )

  it.scopedLive("an interruption that comes while PREPARE is waited for waits no longer than it", () =>
    Effect.gen(function* () {
      const { contents, goOn, router, survivor, trigger, world, write } = yield* setup
      trigger.arm({ step: "prepare", nth: 1, when: "before" }, world.network.shard_2.set("mute"))
      const fiber = yield* Effect.fork(router.transaction(write))
      yield* eventually(
        Effect.sync(() => trigger.struck),
        (struck) => struck
      )
      yield* timed(Fiber.interrupt(fiber))
      yield* world.network.shard_2.set("open")
      expect((yield* World.settled(world, survivor)).contents).toEqual(contents.before)
      yield* goOn(contents.before)
    })
  )

  it.scopedLive("for good, with the host of the router: servers end what was not prepared themselves, some time", () =>
    Effect.gen(function* () {
      const { world } = yield* setup
      const log = PgCommitLog.make
      const limits: Array<unknown> = []
      const commitLog: CommitLogService = {
        ...log,
        enterAll: undefined,
        enter: (session, options) =>
          Effect.tap(log.enter(session, options), () =>
            Effect.map(session.command("show idle_in_transaction_session_timeout"), ([result]) => {
              limits.push(result?.rows[0]?.idle_in_transaction_session_timeout)
            })
          )
      }
      const router = yield* World.openRouter(world, { proxied: false, commitLog })
      yield* router.transaction(World.writeAll(router, ++entries))
      expect(limits).toEqual(["5min", "5min", "5min"])
    })
  )

  it.scopedLive("a recovery that meets it names the shard, and ends what it can", () =>
    Effect.gen(function* () {
      const { contents, entry, goOn, trigger, world } = yield* setup
      const log = PgCommitLog.make
      const abandoning: CommitLogService = { ...log, finish: () => Effect.zipRight(answerLost, Effect.never) }
      const crashing = yield* World.openRouter(world, {
        proxied: false,
        commitLog: abandoning,
        finishTimeoutMillis: 20
      })
      expect(tagOf(yield* Effect.exit(crashing.transaction(World.writeAll(crashing, entry))))).toBe("CommitIncomplete")
      trigger.disarm()
      // With the limits of a program that set none.
      const patient = yield* World.openRouter(world, { proxied: true })
      yield* patient.recover({ grace: "1 minute" })

      yield* world.network.shard_1.set("stalled")
      const first = yield* timed(patient.recover({ grace: 0 }))
      expect(first.unreachable.map(({ shard }) => shard)).toEqual(["shard_1"])
      expect(first.recovered).toMatchObject([{ ended: { outcome: "committed", pending: [] } }])
      expect((yield* World.look(world)).left.map(({ prepared }) => prepared)).toEqual([1, 0, 0])

      yield* world.network.shard_1.set("open")
      yield* world.network[World.decider].set("stalled")
      const second = yield* timed(patient.recover({ grace: 0 }))
      expect(second.unreachable.map(({ shard }) => shard)).toEqual([World.decider])
      expect(second.recovered).toMatchObject([{ ended: { _tag: "InDoubt" } }])

      yield* world.network[World.decider].set("open")
      expect((yield* World.settled(world, patient)).contents).toEqual(contents.after)
      yield* goOn(contents.after)
    })
  )
})

const isFree = ({ busy, gates, prepared }: World.Leftovers): boolean => busy + gates + prepared === 0
