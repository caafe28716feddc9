/**
 * Commits over three servers, and recoveries of them, that break at each of their commands, before it is sent and after
 * it was carried out: the router dies, a server is killed, a connection is cut or stalls, an answer is lost. Then the
 * fault ends and another router recovers. Each table of each shard has to hold what the program was told, whole; nothing
 * may be left prepared, no gate closed, no session open; and the next transaction has to succeed.
 */
import { describe, expect, it } from "@effect/vitest"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import { TransactionTimeout } from "@shardlayer/core/ShardError"
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Effect from "effect/Effect"
import { answerLost, type Point, type Step } from "./crash/faults.js"
import { type Fault, Subject } from "./crash/subject.js"
import * as World from "./crash/world.js"

interface Case {
  readonly of: "commit" | "recovery of nothing decided" | "recovery of a decision"
  readonly at: Point
  readonly fault: Fault
}

const times = ["before", "after"] as const

const pointsOf = (counts: Partial<Record<Step, number>>): ReadonlyArray<Point> =>
  Object.entries(counts).flatMap(([step, count]) =>
    Array.from({ length: count }, (_, nth) => nth).flatMap((nth) =>
      times.map((when) => ({ step: step as Step, nth, when }))
    )
  )

const faultsAt = ({ when }: Point, shards: ReadonlyArray<World.Shard>): ReadonlyArray<Fault> => [
  { _tag: "routerKilled" },
  ...(when === "after" ? [{ _tag: "answerLost" } as const] : []),
  ...shards.flatMap((shard) =>
    (["serverKilled", "cut", "stalled", "mute"] as const).map((_tag): Fault => ({ _tag, shard }))
  )
]

/** Two of the three writers prepare. */
const ofCommits = pointsOf({ write: 3, enter: 3, prepare: 2, decide: 1, finish: 2 })
const ofRecoveries = {
  "recovery of nothing decided": pointsOf({ list: 1, read: 1, refuse: 1, finish: 2 }),
  "recovery of a decision": pointsOf({ list: 1, read: 1, finish: 2 })
} as const

const cases: ReadonlyArray<Case> = [
  ...ofCommits.flatMap((at) => faultsAt(at, World.shards).map((fault): Case => ({ of: "commit", at, fault }))),
  ...(["recovery of nothing decided", "recovery of a decision"] as const).flatMap((of) =>
    ofRecoveries[of].flatMap((at) =>
      faultsAt(at, [at.step === "finish" ? "shard_1" : World.decider]).map((fault): Case => ({ of, at, fault }))
    )
  )
]

/** Leaves its branches prepared: before the decision, or after it. */
const abandoning = (decides: boolean): CommitLogService => {
  const log = PgCommitLog.make
  const lost = Effect.zipRight(answerLost, Effect.never)
  return {
    ...log,
    decide: (session, id) => Effect.zipRight(decides ? log.decide(session, id) : Effect.void, lost),
    refuse: () => lost
  }
}

/** Many times what one takes on a slow machine: what takes longer hangs, and says where. */
const caseLimit = "90 seconds"

class Bench {
  private entry = 0
  /** What the case is at. */
  private at = "nothing"
  private contents = World.initial
  readonly wrong: Array<unknown> = []
  readonly tally: Record<string, number> = {}

  constructor(
    private readonly world: World.World,
    private readonly subject: Subject,
    private readonly survivor: ShardRouterService,
    private readonly abandoners: Readonly<Record<Exclude<Case["of"], "commit">, ShardRouterService>>
  ) {}

  /** Nothing where an earlier case left something behind: each that follows would wait for it, and blame itself. */
  run(it: Case): Effect.Effect<void, unknown> {
    const tried = Effect.gen(this, function* () {
      if (this.wrong.length > 0) return
      for (let tries = 0; tries < 5; tries++) {
        yield* this.once(it)
        if (this.subject.trigger.struck) return
      }
      this.wrong.push({ ...it, problem: "the fault never struck" })
    })
    return Effect.timeoutFail(Effect.disconnect(tried), {
      duration: caseLimit,
      onTimeout: () =>
        new Error(`it hangs at ${this.at}: ${JSON.stringify({ ...it, struck: this.subject.trigger.struck })}`)
    })
  }

  private doing<A, E>(what: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.at = what
      return effect
    })
  }

  private once(it: Case): Effect.Effect<void, unknown> {
    const { subject } = this
    return Effect.gen(this, function* () {
      const entry = ++this.entry
      const broken = it.of === "commit" ? this.commit(it, entry) : this.recovery(it.of, it, entry)
      const told = yield* this.doing("what breaks", broken)
      yield* this.doing("the end of the fault", subject.heal(it.fault))
      const committed = yield* this.doing("the recovery", this.check(it, entry, told))
      const kind = `${it.of}: ${told ?? "nothing told"}, ${committed ? "committed" : "rolled back"}`
      this.tally[kind] = (this.tally[kind] ?? 0) + 1
      yield* this.doing("the next transaction", this.goOn(it))
    })
  }

  private commit({ at, fault }: Case, entry: number): Effect.Effect<World.Told | undefined, unknown> {
    const { subject } = this
    const { trigger } = subject
    trigger.arm(at, subject.strikeOf(fault))
    // A statement is waited for as long as its program likes.
    const isSilent = at.step === "write" && (fault._tag === "stalled" || fault._tag === "mute")
    const givenUp = Effect.zipRight(trigger.whenHit, Effect.delay(new TransactionTimeout({ timeoutMillis: 200 }), 200))
    return subject.run((router) => {
      const write = World.writeAll(router, entry, (statement) => trigger.around("write", statement))
      return Effect.map(
        Effect.exit(router.transaction(isSilent ? Effect.raceFirst(write, givenUp) : write)),
        World.toldOf
      )
    })
  }

  private recovery(
    of: Exclude<Case["of"], "commit">,
    { at, fault }: Case,
    entry: number
  ): Effect.Effect<undefined, unknown> {
    const { abandoners, subject } = this
    return Effect.gen(this, function* () {
      const router = abandoners[of]
      const told = World.toldOf(yield* Effect.exit(router.transaction(World.writeAll(router, entry))))
      if (told !== "unknown") throw new Error(`nothing to recover: the transaction was ${told}`)
      subject.trigger.arm(at, subject.strikeOf(fault))
      yield* subject.run((one) => one.recover({ grace: 0 }))
      return undefined
    })
  }

  /** Whether it was committed. What should not be is noted. */
  private check(it: Case, entry: number, told: World.Told | undefined): Effect.Effect<boolean, unknown> {
    return Effect.map(World.settled(this.world, this.survivor), (view) => {
      const before = this.contents
      const committed = World.isThere(view, before, entry)
      const isTrue = committed !== undefined && (told === undefined || World.isTrue(told, committed))
      if (!isTrue || !World.isClean(view)) this.wrong.push({ ...it, told, before, view })
      this.contents = view.contents
      return committed === true
    })
  }

  /**
   * The same router, or the one that takes its place, writes on all shards as if nothing had been. Where a machine is too
   * slow for its limits it may try again.
   */
  private goOn(it: Case): Effect.Effect<void, unknown> {
    return Effect.gen(this, function* () {
      for (let tries = 0; tries < 5; tries++) {
        const entry = ++this.entry
        const router = yield* this.subject.router
        const exit = yield* Effect.exit(router.transaction(World.writeAll(router, entry)))
        if (exit._tag === "Success") {
          this.contents = World.after(this.contents, entry)
          return
        }
        yield* this.check(it, entry, World.toldOf(exit))
        if (tries === 4) this.wrong.push({ ...it, problem: "nothing could be written afterwards", exit })
      }
    })
  }

  /** What the last one wrote. */
  get end(): Effect.Effect<void, unknown> {
    return Effect.map(World.settled(this.world, this.survivor), (view) => {
      if (this.wrong.length === 0 && JSON.stringify(view.contents) !== JSON.stringify(this.contents))
        this.wrong.push({ problem: "the end", view })
    })
  }
}

const makeBench = Effect.gen(function* () {
  const world = yield* World.makeWorld
  const survivor = yield* World.openRouter(world, { proxied: false, install: true })
  const abandoner = (decides: boolean) =>
    World.openRouter(world, { proxied: false, commitLog: abandoning(decides), finishTimeoutMillis: 1 })
  const subject = new Subject(world)
  yield* Effect.addFinalizer(() => subject.end)
  return new Bench(world, subject, survivor, {
    "recovery of nothing decided": yield* abandoner(false),
    "recovery of a decision": yield* abandoner(true)
  })
})

const waysToEnd = [
  "commit: committed, committed",
  "commit: incomplete, committed",
  "commit: nothing told, committed",
  "commit: nothing told, rolled back",
  "commit: rolledBack, rolled back",
  "commit: unknown, committed",
  "recovery of a decision: nothing told, committed",
  "recovery of nothing decided: nothing told, rolled back"
]

/** So many sets of servers break at the same time. */
const benches = 3

describe("what breaks at any command", () => {
  it.scopedLive(
    `is whole afterwards, and as it was told: ${cases.length} cases`,
    () =>
      Effect.gen(function* () {
        const all = yield* Effect.all(
          Array.from({ length: benches }, () => makeBench),
          { concurrency: "unbounded" }
        )
        yield* Effect.forEach(
          all,
          (bench, place) =>
            Effect.zipRight(
              Effect.forEach(
                cases.filter((_, index) => index % benches === place),
                (it) => bench.run(it),
                { discard: true }
              ),
              bench.end
            ),
          { concurrency: "unbounded" }
        )
        expect(all.flatMap(({ wrong }) => wrong)).toEqual([])
        const tally: Record<string, number> = {}
        for (const [kind, count] of all.flatMap((bench) => Object.entries(bench.tally))) {
          tally[kind] = (tally[kind] ?? 0) + count
        }
        // Each way to end was met: cases that all end alike would show little.
        expect(Object.keys(tally)).toEqual(expect.arrayContaining(waysToEnd))
      }),
    600_000
  )
})
