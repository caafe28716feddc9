/**
 * Checks that can fail: what a mistake in the sessions of a transaction does to it, each mistake made on purpose, and each
 * found by the same check that finds nothing without it.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { describe, expect, it } from "@effect/vitest"
import { CurrentShardDriver, type ShardDriver, type ShardSession } from "@shardlayer/core/ShardConnection"
import type * as PgShard from "@shardlayer/pg/PgShard"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { answerLost, type Point, Trigger } from "./crash/faults.js"
import * as World from "./crash/world.js"

type ShardLayer = ReturnType<typeof PgShard.layer>

const withDriver =
  (change: (driver: ShardDriver) => ShardDriver) =>
  (layer: ShardLayer): ShardLayer =>
    Layer.map(layer, (context) =>
      Context.add(context, CurrentShardDriver, change(Context.get(context, CurrentShardDriver)))
    )

const write = (sql: SqlClient, account: number, entry: number) =>
  sql`insert into journal (account, entry, note) values (${account}, ${entry}, 'nested')`

const undone = <A, E>(sql: SqlClient, effect: Effect.Effect<A, E>) =>
  Effect.ignore(sql.withTransaction(Effect.zipRight(effect, Effect.fail("undone"))))

/** Levels that are kept and levels that are undone, where shards join early and late. */
const nestings: ReadonlyArray<(sql: SqlClient) => Effect.Effect<unknown, unknown>> = [
  // Joins before the level that is undone.
  (sql) => Effect.zipRight(write(sql, 100, 1), undone(sql, write(sql, 100, 2))),
  // Joins in it.
  (sql) => Effect.zipRight(write(sql, 0, 3), undone(sql, write(sql, 100, 4))),
  // Joins two levels down; the inner one is kept, the outer one undone.
  (sql) => Effect.zipRight(write(sql, 0, 5), undone(sql, sql.withTransaction(write(sql, 200, 6)))),
  // Joins two levels down; the inner one is undone, the outer one kept and written to again.
  (sql) =>
    Effect.zipRight(
      write(sql, 0, 7),
      sql.withTransaction(Effect.zipRight(undone(sql, write(sql, 100, 8)), write(sql, 100, 9)))
    ),
  // All levels are kept.
  (sql) => sql.withTransaction(Effect.zipRight(write(sql, 0, 10), sql.withTransaction(write(sql, 200, 11))))
]

/** The same on shards and on one database: what differs afterwards. */
const checkNesting = (layer?: (layer: ShardLayer) => ShardLayer) =>
  Effect.gen(function* () {
    const world = yield* World.makeSharedWorld({ oracle: true })
    const oracle = yield* World.openOracle(world)
    const router = yield* World.openRouter(world, { proxied: false, install: true, ...(layer && { layer }) })
    const violations: Array<number> = []
    for (const [index, nesting] of nestings.entries()) {
      yield* Effect.forEach(world.cluster.nodes, ({ id }) => world.cluster.query(id, "delete from journal"))
      const told = yield* Effect.forEach([router.client, oracle.client], (sql) =>
        Effect.exit(sql.withTransaction(nesting(sql)))
      )
      const { contents } = yield* World.settled(world, router)
      const isSame = JSON.stringify(contents) === JSON.stringify(yield* oracle.contents)
      expect(told.map(Exit.isSuccess)).toEqual([true, true])
      if (!isSame) violations.push(index)
    }
    return violations
  })

/** A shard that joins inside of nested levels has none of their savepoints. */
const lateSavepoint = withDriver((driver) => ({
  ...driver,
  reserve: Effect.map(driver.reserve, (session): ShardSession => {
    const missing = new Set<string>()
    let joining = false
    const name = (sql: string) => /SAVEPOINT (\w+)/.exec(sql)?.[1] ?? ""
    const used = <A>(effect: A): A => {
      joining = false
      return effect
    }
    return {
      ...session,
      // What goes ahead is not seen here.
      ahead: undefined,
      execute: (sql, params) => used(session.execute(sql, params)),
      executeRaw: (sql, params) => used(session.executeRaw(sql, params)),
      control: (sql, onSent) => {
        if (sql.startsWith("BEGIN")) joining = true
        else if (sql.startsWith("SAVEPOINT") && joining) missing.add(name(sql))
        if (!missing.has(name(sql))) return session.control(sql, onSent)
        return Effect.sync(() => onSent?.())
      }
    }
  })
}))

/**
 * A pool that gives out again what it is given back, as it is, unless it was tainted. `listens` to that: without, a
 * session whose PREPARE was not answered passes for one whose transaction has ended.
 */
const reusing = (listens: boolean) =>
  withDriver((driver) => {
    interface Kept {
      readonly session: ShardSession
      readonly scope: Scope.CloseableScope
      tainted: boolean
    }
    const free: Array<Kept> = []
    const open = Effect.gen(function* () {
      const scope = yield* Scope.make()
      const session = yield* Scope.extend(driver.reserve, scope)
      return { session, scope, tainted: false } as Kept
    })
    const take = Effect.suspend(() => {
      const kept = free.pop()
      return kept === undefined ? open : Effect.succeed(kept)
    })
    const giveBack = (kept: Kept) =>
      kept.tainted && listens
        ? Scope.close(kept.scope, Exit.void)
        : Effect.sync(() => {
            kept.tainted = false
            free.push(kept)
          })
    return {
      ...driver,
      reserve: Effect.map(Effect.acquireRelease(take, giveBack), (kept): ShardSession => {
        const { session } = kept
        return {
          ...session,
          taint: Effect.suspend(() => {
            kept.tainted = true
            return listens ? session.taint : Effect.void
          }),
          rollback: Effect.suspend(() => (kept.tainted && !listens ? Effect.void : session.rollback))
        }
      })
    }
  })

/** Transactions one after another, the first of which meets a PREPARE without an answer: what is not as it was told. */
const checkPrepare = (at: Point, layer?: (layer: ShardLayer) => ShardLayer) =>
  Effect.gen(function* () {
    const world = yield* World.makeSharedWorld()
    const trigger = new Trigger()
    const { commitLog } = trigger
    const router = yield* World.openRouter(world, { proxied: false, install: true, commitLog, ...(layer && { layer }) })
    const violations: Array<number> = []
    let contents = World.initial
    for (const entry of [1, 2, 3, 4]) {
      if (entry === 2) trigger.arm(at, answerLost)
      const told = World.toldOf(yield* Effect.exit(router.transaction(World.writeAll(router, entry))))
      expect(told).toBe(entry === 2 ? "rolledBack" : "committed")
      yield* router.recover({ grace: 0 })
      const view = yield* World.look(world)
      const isThere = World.isThere(view, contents, entry)
      if (isThere === undefined || !World.isTrue(told, isThere) || !World.isClean(view)) violations.push(entry)
      contents = view.contents
    }
    return violations
  })

describe("a shard that joins inside of nested levels", () => {
  it.scopedLive("is undone with them", () => Effect.map(checkNesting(), (found) => expect(found).toEqual([])))

  it.scopedLive("without their savepoints it is not, and that is seen", () =>
    Effect.map(checkNesting(lateSavepoint), (found) => expect(found).toEqual([1, 2, 3]))
  )
})

describe("a session whose PREPARE was not answered", () => {
  const lost = (when: Point["when"]): Point => ({ step: "prepare", nth: 0, when })

  it.scopedLive("serves nobody else", () =>
    Effect.gen(function* () {
      for (const when of ["before", "after"] as const) {
        expect(yield* checkPrepare(lost(when))).toEqual([])
        expect(yield* checkPrepare(lost(when), reusing(true))).toEqual([])
      }
    })
  )

  it.scopedLive("given to the next one, it brings a foreign transaction along, and that is seen", () =>
    Effect.map(checkPrepare(lost("before"), reusing(false)), (found) => expect(found.length).toBeGreaterThan(0))
  )
})
