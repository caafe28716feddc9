/** What crashes leave behind: who ends it, who cannot, what is forgotten, and servers that die in the middle. */
import { describe, expect, it } from "@effect/vitest"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import * as Recovery from "@shardlayer/core/Recovery"
import { CommitUnknown, ShardUnavailable } from "@shardlayer/core/ShardError"
import { ShardRouter } from "@shardlayer/core/ShardRouter"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import type { PgCluster } from "@shardlayer/testing/PgCluster"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { balances, makeCluster, openRouter, prepared, transfer } from "./atomic.js"
import { eventually } from "./eventually.js"

const log = PgCommitLog.make
const lost = new ShardUnavailable({ shard: "test", reason: "the test lost the answer", sent: true })

/** Never tells a branch how it ends. */
const forgetful: CommitLogService = { ...log, finish: () => Effect.fail(lost) }

const decisions = (cluster: PgCluster.Service) =>
  Effect.map(
    Effect.forEach(cluster.shards, ({ id }) =>
      cluster.query<{ n: string }>(id, "select count(*) as n from shardlayer.decision")
    ),
    (rows) => rows.flat().reduce((sum, { n }) => sum + Number(n), 0)
  )

describe("recovery", () => {
  it.scopedLive("decisions are forgotten once nobody can ask, and not while a branch is prepared", () =>
    Effect.gen(function* () {
      // A server of its own: transactions in other databases of a shared one keep decisions from being forgotten.
      const cluster = yield* makeCluster({ shared: false })
      const router = yield* openRouter(cluster)
      for (let n = 0; n < 5; n++) yield* router.client.withTransaction(transfer(router.client, 0, 100, 1))
      const crashing = yield* openRouter(cluster, { commitLog: forgetful, finishTimeoutMillis: 50 })
      yield* Effect.flip(crashing.transaction(transfer(crashing.client, 0, 100, 1)))
      expect(yield* decisions(cluster)).toBe(6)
      for (let n = 0; n < 3; n++) yield* router.recover({ grace: "1 minute" })
      // The last one's branch is still there.
      expect(yield* decisions(cluster)).toBe(1)
      expect((yield* router.recover({ grace: 0 })).recovered).toMatchObject([{ ended: { outcome: "committed" } }])
      yield* router.client.withTransaction(transfer(router.client, 0, 200, 1))
      for (let n = 0; n < 3; n++) yield* router.recover()
      expect(yield* decisions(cluster)).toBe(0)
      expect(yield* balances(cluster)).toEqual({ 0: 93, 100: 106, 200: 101 })
    })
  )

  it.scopedLive("other installations' and other programs' prepared transactions are left alone", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster()
      const router = yield* openRouter(cluster)
      const [first] = cluster.shards
      const foreign = [
        `shardlayer:aaaaaaaaaaaa:aaaaaaaaaaaaaaaaaaaa:shard_1:1:${Date.now()}`,
        `somebody else's ${first?.database}`
      ]
      for (const [index, gid] of foreign.entries()) {
        const text = `'${gid.replaceAll("'", "''")}'`
        yield* cluster.query(
          "shard_1",
          `begin; insert into accounts values (${index + 1}, 1, 'o'); prepare transaction ${text}`
        )
      }
      expect(yield* router.inDoubt).toEqual([])
      expect(yield* router.recover({ grace: 0 })).toMatchObject({ recovered: [], unreachable: [] })
      expect((yield* prepared(cluster)).sort()).toEqual([...foreign].sort())
      for (const gid of foreign) yield* cluster.query("shard_1", `rollback prepared '${gid.replaceAll("'", "''")}'`)
    })
  )

  it.scopedLive("an unknown outcome is told as unknown, and can be asked for later", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster()
      const router = yield* openRouter(cluster)
      for (const happens of [true, false]) {
        const blind = yield* openRouter(cluster, {
          finishTimeoutMillis: 100,
          commitLog: {
            ...log,
            decide: (session, id) =>
              Effect.zipRight(happens ? log.decide(session, id) : Effect.void, Effect.fail(lost)),
            refuse: () => Effect.fail(lost)
          }
        })
        const before = yield* balances(cluster)
        const error = yield* Effect.flip(blind.transaction(transfer(blind.client, 0, 100, 7)))
        if (!(error instanceof CommitUnknown) || error.transaction === undefined) throw error
        expect(yield* prepared(cluster)).toHaveLength(1)
        expect(yield* router.outcome(error.transaction)).toBe(happens ? "committed" : "rolledBack")
        const wrongly = yield* Effect.flip(router.resolve(error.transaction, happens ? "rolledBack" : "committed"))
        expect(wrongly).toMatchObject({ _tag: "OperationRefused" })
        yield* router.resolve(error.transaction, happens ? "committed" : "rolledBack")
        expect(yield* prepared(cluster)).toEqual([])
        expect(yield* balances(cluster)).toEqual(
          happens ? { ...before, 0: before["0"]! - 7, 100: before["100"]! + 7 } : before
        )
      }
      expect(yield* Effect.flip(router.outcome("nonsense"))).toMatchObject({ _tag: "OperationRefused" })
    })
  )

  it.scopedLive(
    "in the background: what a dead router left is ended within seconds, by one of several processes",
    () =>
      Effect.gen(function* () {
        const cluster = yield* makeCluster()
        const crashing = yield* openRouter(cluster, { commitLog: forgetful, finishTimeoutMillis: 50 })
        const routers = [yield* openRouter(cluster), yield* openRouter(cluster)]
        for (const router of routers) {
          yield* Layer.build(Recovery.layer().pipe(Layer.provide(Layer.succeed(ShardRouter, router))))
        }
        expect(yield* Effect.forEach(routers, ({ leadsRecovery }) => leadsRecovery)).toHaveLength(2)
        expect(yield* Effect.forEach(routers, ({ leadsRecovery }) => leadsRecovery)).toContain(false)
        yield* Effect.flip(crashing.transaction(transfer(crashing.client, 0, 200, 7)))
        const startedAt = Date.now()
        yield* eventually(prepared(cluster), (left) => left.length === 0)
        // A round every two seconds, of branches that are two seconds old; and the machine may be slow.
        expect(Date.now() - startedAt).toBeLessThan(8_000)
        expect(yield* balances(cluster)).toEqual({ 0: 93, 100: 100, 200: 107 })
      }),
    30_000
  )

  it.scopedLive("a server without prepared transactions is named before anything is touched; one shard goes on", () =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster({ shared: false, settings: { max_prepared_transactions: 0 } })
      const router = yield* openRouter(cluster)
      const { client: sql } = router
      yield* sql.withTransaction(sql`update accounts set balance = 99 where id = 0`)
      const error = yield* Effect.flip(
        router.transaction(
          router
            .query(sql`update accounts set balance = 1 where id = 0`)
            .pipe(Effect.zipRight(router.query(sql`update accounts set balance = 1 where id = 100`)))
        )
      )
      expect(error).toMatchObject({ _tag: "PreparedTransactionsDisabled" })
      expect(error.message).toContain("max_prepared_transactions")
      expect(yield* balances(cluster)).toEqual({ 0: 99, 100: 100, 200: 100 })
    })
  )

  it.scopedLive(
    "a server that dies at each step: nothing is half done once it is back",
    () =>
      Effect.gen(function* () {
        const cluster = yield* makeCluster({ mode: "servers", fsync: true })
        const survivor = yield* openRouter(cluster)
        let to = 100
        // shard_3 decides: it comes last. The other two are prepared.
        const cases = [
          { step: "prepare", kill: "shard_1" },
          { step: "prepare", kill: "shard_3" },
          { step: "decide", kill: "shard_1" },
          { step: "decide", kill: "shard_3" },
          { step: "decided", kill: "shard_3" },
          { step: "finish", kill: "shard_2" },
          { step: "finish", kill: "shard_3" }
        ] as const
        for (const { kill, step } of cases) {
          let killed = false
          const killing = (at: string) =>
            Effect.suspend(() => {
              if (at !== step || killed) return Effect.void
              killed = true
              return Effect.orDie(cluster.kill(kill))
            })
          const commitLog: CommitLogService = {
            ...log,
            prepare: (session, id) => Effect.zipRight(killing("prepare"), log.prepare(session, id)),
            decide: (session, id) =>
              Effect.zipRight(killing("decide"), Effect.zipLeft(log.decide(session, id), killing("decided"))),
            finish: (on, id, outcome, options) =>
              Effect.zipRight(killing("finish"), log.finish(on, id, outcome, options))
          }
          const router = yield* openRouter(cluster, { install: false, commitLog, finishTimeoutMillis: 500 })
          const before = to++
          const exit = yield* Effect.exit(
            router.transaction(
              Effect.forEach([0, 100, 200], (id) =>
                router.query(router.client`update accounts set balance = ${to} where id = ${id}`)
              )
            )
          )
          if (Exit.isFailure(exit) && step !== "decide" && step !== "decided") {
            // The decider is down, perhaps: what it decided waits for it, and the others are listed.
            yield* survivor.recover({ grace: 0 })
          }
          yield* cluster.restart(kill)
          const settled = Effect.zipWith(
            survivor.recover({ grace: 0 }),
            prepared(cluster),
            ({ unreachable }, left) => unreachable.length === 0 && left.length === 0
          )
          yield* eventually(settled, (isSettled) => isSettled)
          const found = new Set(Object.values(yield* balances(cluster)))
          expect(found.size).toBe(1)
          const committed = found.has(to)
          if (!committed) expect(found).toEqual(new Set([before]))
          const told = Exit.isSuccess(exit) ? "Committed" : tagOf(exit.cause)
          const expected = committed
            ? ["Committed", "CommitIncomplete", "CommitUnknown"]
            : ["ParticipantLost", "CommitUnknown", "TransactionRolledBack", "StatementFailed", "ShardUnavailable"]
          expect(expected).toContain(told)
          if (!committed) to = before
        }
      }),
    120_000
  )
})

const tagOf = (cause: Cause.Cause<{ readonly _tag: string }>): string =>
  [...Cause.failures(cause)].map(({ _tag }) => _tag).join()
