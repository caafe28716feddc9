/**
 * What every `CommitLog` must do: prepare or say that it did not, decide once, let nobody decide after a refusal, end a branch as it
 * was decided, and keep readers and writers of the gate apart.
 *
 * Beside the `CommitLog` a case needs a `ShardManager` over at least two shards on which it is installed and has done nothing yet, each
 * with an empty table `contract (id int primary key)`. Shards of one session each (virtual ones) cannot run it: the cases are about
 * sessions that meet.
 *
 * @since 0.1.0
 */
import { CommitLog, isBusy } from "@shardlayer/core/CommitLog"
import type { GlobalId } from "@shardlayer/core/protocol/GlobalId"
import * as GlobalIds from "@shardlayer/core/protocol/GlobalId"
import type { ShardDriver, ShardSession } from "@shardlayer/core/ShardConnection"
import { ShardManager } from "@shardlayer/core/ShardManager"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import assert from "node:assert/strict"
import type { Contract } from "./Contract.js"

/**
 * @since 0.1.0
 * @category contracts
 */
export const commitLogContract: Contract<CommitLog | ShardManager> = [
  {
    name: "names transactions differently, in a form that global ids take",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const names = Array.from({ length: 1_000 }, () => log.newTransaction())
      assert.equal(new Set(names).size, 1_000)
      const [one = ""] = names
      const id = yield* Effect.map(shard(0), ({ id }): GlobalId => ({ ...anId, decider: id, transaction: one }))
      assert.deepEqual(GlobalIds.parse(GlobalIds.format(id)), id)
    })
  },
  {
    name: "knows shards that are installed, and that they belong together",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const clusters = yield* Effect.forEach([0, 1], (nth) =>
        Effect.flatMap(shard(nth), ({ driver, id }) =>
          Effect.zipRight(log.admits(driver, id), Effect.zip(log.cluster(driver, id), log.hasGate(driver)))
        )
      )
      assert.deepEqual(clusters[0], clusters[1])
      assert.equal(clusters[0]?.[1], true)
    })
  },
  {
    name: "tells a transaction that wrote from one that only read",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const entered = (sql: string, writes?: boolean) =>
        inTransaction(0, (session) => Effect.zipRight(session.command(sql), log.enter(session, { wait: true, writes })))
      assert.match((yield* entered("INSERT INTO contract VALUES (1)")).xid ?? "", /^\d+$/)
      assert.equal((yield* entered("SELECT 1")).xid, undefined)
      assert.match((yield* entered("SELECT 1", true)).xid ?? "", /^\d+$/)
    })
  },
  ...(["committed", "rolledBack"] as const).map((outcome) => ({
    name: `keeps what is prepared, unseen and listed, until it is ${outcome}, which can be said twice and not otherwise`,
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      const id = yield* preparedBranch(1)
      const branches = yield* log.prepared(driver, id.cluster)
      assert.deepEqual(
        branches.map((branch) => branch.id),
        [id]
      )
      assert.ok(branches.every(({ ageMillis }) => ageMillis >= 0 && ageMillis < 60_000))
      assert.deepEqual(yield* log.prepared(driver, "another"), [])
      assert.deepEqual(yield* rows(0), [])
      assert.equal(yield* log.finish(driver, id, outcome), "done")
      assert.deepEqual(yield* log.prepared(driver, id.cluster), [])
      assert.deepEqual(yield* rows(0), outcome === "committed" ? [1] : [])
      assert.equal(yield* log.finish(driver, id, outcome), "elsewhere")
      assert.equal(yield* log.finish(driver, id, outcome === "committed" ? "rolledBack" : "committed"), "otherwise")
      assert.deepEqual(yield* rows(0), outcome === "committed" ? [1] : [])
    })
  })),
  {
    name: "ends a branch on the session that prepared it",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* begun(0)
          const id = yield* prepare(session, 1)
          assert.equal(yield* log.finish(session, id, "committed"), "done")
          assert.deepEqual(yield* rows(0), [1])
        })
      )
    })
  },
  {
    name: "takes no branch for ended that is not prepared yet",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      yield* inTransaction(0, (session) =>
        Effect.gen(function* () {
          yield* session.command("INSERT INTO contract VALUES (1)")
          const id = yield* entered(session)
          for (const outcome of ["committed", "rolledBack"] as const) {
            assert.equal(yield* log.finish(driver, id, outcome), "busy")
          }
        })
      )
    })
  },
  {
    name: "prepares no transaction that has failed, and says so",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      const { error, id } = yield* inTransaction(0, (session) =>
        Effect.gen(function* () {
          yield* session.command("INSERT INTO contract VALUES (1)")
          const id = yield* entered(session)
          yield* Effect.flip(session.command("SELECT 1/0"))
          return { id, error: yield* Effect.flip(log.prepare(session, id)) }
        })
      )
      assert.equal(error._tag, "TransactionRolledBack")
      assert.deepEqual(yield* log.prepared(driver, id.cluster), [])
      assert.deepEqual(yield* rows(0), [])
    })
  },
  {
    name: "decides with the data: both are there, or neither",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      const id = yield* decided(1)
      assert.equal(yield* log.read(driver, id), "committed")
      assert.deepEqual(yield* rows(0), [1])
      const failed = yield* inTransaction(0, (session) =>
        Effect.gen(function* () {
          yield* session.command("INSERT INTO contract VALUES (2)")
          const other = yield* entered(session)
          yield* Effect.flip(session.command("SELECT 1/0"))
          yield* Effect.flip(log.decide(session, other))
          return other
        })
      )
      assert.equal(yield* log.read(driver, failed), "absent")
      assert.deepEqual(yield* rows(0), [1])
    })
  },
  {
    name: "lets nobody decide what was refused",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      const id = yield* inTransaction(0, (session) =>
        Effect.gen(function* () {
          yield* session.command("INSERT INTO contract VALUES (1)")
          const id = yield* entered(session)
          assert.equal(yield* log.read(driver, id), "absent")
          assert.equal(yield* log.refuse(driver, id), "rolledBack")
          assert.ok(Either.isLeft(yield* Effect.either(log.decide(session, id))))
          return id
        })
      )
      assert.equal(yield* log.read(driver, id), "rolledBack")
      assert.equal(yield* log.refuse(driver, id), "rolledBack")
      assert.deepEqual(yield* rows(0), [])
    })
  },
  {
    name: "refuses nothing that is decided",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      const id = yield* decided(1)
      assert.equal(yield* log.refuse(driver, id), "committed")
      assert.equal(yield* log.read(driver, id), "committed")
    })
  },
  {
    name: "lets one of deciding and refusing win, and both know which, at the same moment too",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      for (let nth = 1; nth <= 20; nth++) {
        const { decision, isDecided } = yield* inTransaction(0, (session) =>
          Effect.gen(function* () {
            yield* session.command(`INSERT INTO contract VALUES (${nth})`)
            const id = yield* entered(session)
            const [isDecided, decision] = yield* Effect.all(
              [Effect.map(Effect.either(log.decide(session, id)), Either.isRight), log.refuse(driver, id)],
              { concurrency: 2 }
            )
            assert.equal(yield* log.read(driver, id), decision)
            return { isDecided, decision }
          })
        )
        assert.equal(decision, isDecided ? "committed" : "rolledBack")
        assert.equal((yield* rows(0)).includes(nth), isDecided)
      }
    })
  },
  {
    name: "forgets decisions below what it is told, and never takes a forgotten one for none",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      const old = yield* decided(1)
      const { next } = yield* log.horizon(driver)
      assert.ok(BigInt(old.deciderXid) < BigInt(next))
      const young = yield* decided(2)
      assert.ok(BigInt(young.deciderXid) >= BigInt(next))
      assert.equal(yield* log.forget(driver, next), 1)
      assert.equal(yield* log.read(driver, old), "forgotten")
      assert.equal(yield* log.refuse(driver, old), "forgotten")
      assert.equal(yield* log.read(driver, young), "committed")
      assert.equal(yield* log.forget(driver, next), 0)
    })
  },
  {
    name: "has nothing below its horizon that may still decide",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      yield* inTransaction(0, (session) =>
        Effect.gen(function* () {
          yield* session.command("INSERT INTO contract VALUES (1)")
          const { deciderXid } = yield* entered(session)
          const { next, oldest } = yield* log.horizon(driver)
          assert.ok(BigInt(oldest) <= BigInt(deciderXid) && BigInt(deciderXid) < BigInt(next))
        })
      )
    })
  },
  {
    name: "keeps writers out of the gate while a view opens, and lets them pass once all are open",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      yield* Effect.scoped(
        Effect.gen(function* () {
          const reader = yield* reserved(0)
          yield* log.view(reader, { wait: "not" })
          const write = inTransaction(0, (session) =>
            Effect.zipRight(session.command("INSERT INTO contract VALUES (1)"), entered(session, false))
          )
          assert.ok(isBusy(yield* Effect.flip(write)))
          const later = yield* Effect.fork(decided(2))
          yield* Effect.sleep("50 millis")
          yield* log.settled(reader)
          yield* Fiber.join(later)
          assert.deepEqual(yield* rows(0), [2])
          const seen = yield* reader.execute("SELECT id FROM contract", [])
          assert.deepEqual(seen, [], "the view is of the moment when it was opened")
        })
      )
    })
  },
  {
    name: "opens no view of a shard on which somebody is about to decide",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      const view = Effect.scoped(
        Effect.flatMap(reserved(0), (reader) =>
          Effect.zipRight(log.view(reader, { wait: "not" }), reader.execute("SELECT id FROM contract", []))
        )
      )
      const id = yield* preparedBranch(1)
      assert.ok(isBusy(yield* Effect.flip(view)))
      yield* log.finish(driver, id, "committed")
      assert.deepEqual(yield* view, [{ id: 1 }])
    })
  },
  {
    name: "leaves the gate again",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      yield* inTransaction(0, (session) =>
        Effect.gen(function* () {
          yield* session.command("INSERT INTO contract VALUES (1)")
          yield* entered(session)
          yield* log.leave(session)
          yield* Effect.scoped(Effect.flatMap(reserved(0), (reader) => log.view(reader, { wait: "not" })))
          yield* session.command("COMMIT")
        })
      )
      assert.deepEqual(yield* rows(0), [1])
    })
  },
  {
    name: "shows who waits for whom, by their marks",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      yield* driver.execute("INSERT INTO contract VALUES (1)", [])
      const [first, second] = [2n ** 62n + 1n, 2n ** 62n + 2n]
      const lock = "SELECT id FROM contract FOR UPDATE"
      yield* inTransaction(0, (holder) =>
        Effect.gen(function* () {
          yield* log.mark(holder, first)
          yield* holder.command(lock)
          const waiting = yield* Effect.fork(
            inTransaction(0, (waiter) => Effect.zipRight(log.mark(waiter, second), waiter.command(lock)))
          )
          const marks = Effect.map(log.waits(driver), (waits) =>
            waits.map(({ blocker, waiter }) => [waiter.mark, blocker.mark])
          )
          const found = yield* Effect.repeat(Effect.delay(marks, "5 millis"), { until: (all) => all.length > 0 }).pipe(
            Effect.timeout("10 seconds")
          )
          assert.deepEqual(found, [[second, first]])
          yield* holder.command("COMMIT")
          yield* Fiber.join(waiting)
        })
      )
    })
  },
  {
    name: "lets a process lead that leads already",
    check: Effect.gen(function* () {
      const log = yield* CommitLog
      const { driver } = yield* shard(0)
      assert.equal(yield* log.lead(driver), true)
      assert.equal(yield* log.lead(driver), true)
    })
  }
]

const anId = { cluster: "contract0000", deciderXid: "1", xid: "1" }

const shard = (nth: number) =>
  Effect.flatMap(ShardManager, (manager) => {
    const id = manager.topology().shards[nth]
    return id === undefined
      ? Effect.dieMessage("the contract needs two shards")
      : Effect.map(manager.driver(id), (driver): { id: typeof id; driver: ShardDriver } => ({ id, driver }))
  })

/** What everybody can see. */
const rows = (nth: number) =>
  Effect.flatMap(shard(nth), ({ driver }) =>
    Effect.map(driver.execute("SELECT id FROM contract ORDER BY id", []), (found): ReadonlyArray<number> =>
      found.map(({ id }) => Number(id))
    )
  )

/** Rolled back in the end, whatever has become of its transaction. */
const reserved = (nth: number) =>
  Effect.flatMap(shard(nth), ({ driver }) =>
    Effect.tap(driver.reserve, (session) => Effect.addFinalizer(() => session.rollback))
  )

const begun = (nth: number) => Effect.tap(reserved(nth), (session) => session.control("BEGIN"))

const inTransaction = <A, E, R>(nth: number, use: (session: ShardSession) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(begun(nth), use))

/** In the gate: what a branch that has written is called, as its own decider. */
const entered = (session: ShardSession, wait = true) =>
  Effect.gen(function* () {
    const log = yield* CommitLog
    const { cluster, xid = "" } = yield* log.enter(session, { wait })
    const { id } = yield* shard(0)
    const name: GlobalId = { cluster, transaction: log.newTransaction(), decider: id, deciderXid: xid, xid }
    return name
  })

const prepare = (session: ShardSession, row: number) =>
  Effect.gen(function* () {
    yield* session.command(`INSERT INTO contract VALUES (${row})`)
    const id = yield* entered(session)
    yield* Effect.flatMap(CommitLog, (log) => log.prepare(session, id))
    return id
  })

/** Its session is gone. */
const preparedBranch = (row: number) => Effect.scoped(Effect.flatMap(begun(0), (session) => prepare(session, row)))

const decided = (row: number) =>
  inTransaction(0, (session) =>
    Effect.gen(function* () {
      yield* session.command(`INSERT INTO contract VALUES (${row})`)
      const id = yield* entered(session)
      yield* Effect.flatMap(CommitLog, (log) => log.decide(session, id))
      return id
    })
  )
