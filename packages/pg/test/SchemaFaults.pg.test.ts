/**
 * Schema changes that are cut off at any point, that race writers, or that wait behind others: all shards have them or none
 * has, and after a retry all are equal.
 */
import { describe, expect, it } from "@effect/vitest"
import type { CommitLogService } from "@shardlayer/core/CommitLog"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import { ShardUnavailable } from "@shardlayer/core/ShardError"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { eventually } from "./eventually.js"
import { clusterOf, failure, ids, make, routerOver, run, schemaOf, type World } from "./schemas.js"

const base = `
create table countries (code text primary key, name text not null);
create table users (id int8 primary key, name text, country text references countries);
`

const change = (n: number) => `
create type kind_${n} as enum ('a', 'b');
alter table users add column extra_${n} kind_${n};
create index users_${n} on users (extra_${n});
alter table countries add column extra_${n} int default ${n};
insert into countries (code, name) values ('c${n}', 'C');
`

const equal = ({ cluster }: World) =>
  Effect.gen(function* () {
    const [first, ...others] = yield* Effect.forEach(ids, (id) => schemaOf(cluster, id))
    for (const other of others) expect(other).toEqual(first)
    return first ?? []
  })

const lost = new ShardUnavailable({ shard: "test", reason: "the test lost the answer", sent: true })

/** The change holds everywhere or nowhere; where nowhere, a retry makes it. */
const settled = (world: World, n: number) =>
  Effect.gen(function* () {
    const { router, sql } = world
    yield* router.recover({ grace: 0 })
    const isThere = (yield* equal(world)).some((line) => line.includes(`extra_${n}`))
    if (!isThere) yield* run(sql, change(n))
    expect((yield* equal(world)).filter((line) => line.includes(`extra_${n}`)).length).toBe(3)
    expect(yield* sql`select count(*)::int as n from countries where code = ${`c${n}`}`).toEqual([{ n: 1 }])
    expect(yield* router.inDoubt).toEqual([])
    return isThere
  })

describe("schema changes that are cut off", () => {
  it.scopedLive(
    "by interruption, at any moment",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        yield* run(world.sql, base)
        let n = 0
        for (const millis of [0, 3, 10, 20, 35, 50, 60, 70, 75, 80, 90, 100, 120, 160, 220]) {
          n++
          const running = yield* Effect.fork(Effect.exit(run(world.sql, change(n))))
          yield* Effect.sleep(millis)
          yield* Fiber.interrupt(running)
          yield* settled(world, n)
        }
      }),
    180_000
  )

  it.scopedLive(
    "by the connections of any shard",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* run(sql, base)
        let n = 0
        for (const id of ids) {
          for (const millis of [5, 30, 60, 100, 150]) {
            n++
            const running = yield* Effect.fork(Effect.exit(run(sql, change(n))))
            yield* Effect.sleep(millis)
            yield* cluster.query(
              id,
              "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            )
            yield* Fiber.join(running)
            yield* settled(world, n)
          }
        }
      }),
    240_000
  )

  it.scopedLive(
    "by the server of any shard",
    () =>
      Effect.gen(function* () {
        const cluster = yield* clusterOf({ mode: "servers", oracle: false })
        const router = yield* routerOver(cluster)
        const world = { cluster, router, sql: router.client }
        yield* run(world.sql, base)
        let n = 0
        for (const id of ids) {
          for (const millis of [20, 90]) {
            n++
            const running = yield* Effect.fork(Effect.exit(run(world.sql, change(n))))
            yield* Effect.sleep(millis)
            yield* cluster.kill(id)
            yield* cluster.restart(id)
            yield* Fiber.join(running)
            // Idle connections to the server that died are noticed when they are used.
            yield* eventually(Effect.either(run(world.sql, "truncate users")), Either.isRight)
            yield* settled(world, n)
          }
        }
      }),
    180_000
  )

  it.scopedLive(
    "by each step of the commit that is lost",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster } = world
        yield* run(world.sql, base)
        const log = PgCommitLog.make
        const cut: ReadonlyArray<Partial<CommitLogService>> = [
          { finish: () => Effect.fail(lost) },
          { decide: () => Effect.fail(lost), finish: () => Effect.fail(lost), refuse: () => Effect.fail(lost) },
          {
            decide: (session, id) => Effect.zipRight(log.decide(session, id), Effect.fail(lost)),
            finish: () => Effect.fail(lost),
            refuse: () => Effect.fail(lost)
          }
        ]
        const outcomes: Array<boolean> = []
        for (const [index, part] of cut.entries()) {
          const faulty = yield* routerOver(cluster, {
            router: { commitLog: { ...log, ...part }, finishTimeoutMillis: 100 }
          })
          yield* failure(run(faulty.client, change(index + 1)))
          outcomes.push(yield* settled(world, index + 1))
        }
        expect(outcomes).toEqual([true, false, true])
      }),
    180_000
  )
})

describe("schema changes and others", () => {
  it.scopedLive(
    "writers of another router see them whole, and lose nothing",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* run(sql, base)
        const other = yield* routerOver(cluster)
        let written = 0
        const writing = Effect.gen(function* () {
          for (let id = 1; ; id += 2) {
            const one = other.client`insert into users (id, name) values (${id}, 'x'), (${id + 1}, 'y')`
            const done = yield* Effect.either(other.client.withTransaction(one))
            if (done._tag === "Right") written += 2
          }
        })
        const writers = yield* Effect.fork(writing)
        for (let n = 1; n <= 6; n++) yield* Effect.retry(run(sql, change(n)), { times: 3 })
        yield* Fiber.interrupt(writers)
        yield* world.router.recover({ grace: 0 })
        yield* equal(world)
        expect(written).toBeGreaterThan(0)
        const [row] = yield* sql<{ n: number }>`select count(*)::int as n from users`
        // The one that was interrupted may have been committed.
        expect([written, written + 2]).toContain(row?.n)
      }),
    120_000
  )

  it.scopedLive(
    "what a crash left prepared is resolved, not waited for",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* run(sql, base)
        const forgetful = yield* routerOver(cluster, {
          router: { commitLog: { ...PgCommitLog.make, finish: () => Effect.fail(lost) }, finishTimeoutMillis: 50 }
        })
        const leave = (id: number) =>
          failure(
            forgetful.client.withTransaction(
              Effect.forEach([1, 2, 3, 4, 5, 6], (n) => forgetful.client`insert into users (id) values (${id + n})`)
            )
          )
        yield* leave(0)
        yield* Effect.timeout(run(sql, "alter table users add column late int"), "20 seconds")
        yield* equal(world)
        expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 6 }])
        yield* leave(100)
        yield* Effect.timeout(run(sql, "truncate users"), "20 seconds")
        expect(yield* sql`select count(*)::int as n from users`).toEqual([{ n: 0 }])
      }),
    120_000
  )

  it.scopedLive(
    "one that other shards have yet to commit is waited for by another router",
    () =>
      Effect.gen(function* () {
        const { cluster, sql } = yield* make()
        yield* run(sql, base)
        const table = "create table events (user_id int8 primary key)"
        yield* cluster.query("shard_1", table)
        for (const id of ["shard_2", "shard_3"]) {
          yield* cluster.query(id, `begin; ${table}; prepare transaction 'late_${id}'`)
        }
        const other = yield* routerOver(cluster, { router: { install: false } })
        const read = yield* Effect.fork(Effect.exit(other.client`select count(*)::int as n from events`))
        yield* Effect.sleep("400 millis")
        expect(yield* Fiber.poll(read)).toEqual(Option.none())
        // It is waited for 2 s, and a busy machine takes its time to connect.
        yield* Effect.forEach(["shard_2", "shard_3"], (id) => cluster.query(id, `commit prepared 'late_${id}'`), {
          concurrency: "unbounded"
        })
        expect(yield* Fiber.join(read)).toEqual(Exit.succeed([{ n: 0 }]))
        // What differs for good is not waited for.
        yield* cluster.query("shard_1", "alter table events add column note text")
        yield* other.refresh
        expect(yield* failure(other.client`select * from events`)).toMatchObject({ _tag: "SchemaMismatch" })
      }),
    120_000
  )

  it.scopedLive(
    "a lock is waited for as long as the policy says",
    () =>
      Effect.gen(function* () {
        const world = yield* make()
        const { cluster, sql } = world
        yield* run(sql, base)
        const before = yield* equal(world)
        const held = yield* Effect.fork(
          cluster.query("shard_2", "begin; lock table users in access share mode; select pg_sleep(3); rollback")
        )
        yield* Effect.sleep("500 millis")
        const add = run(sql, "alter table users add column late int")
        const bounded = ShardRouter.withPolicy({ lockTimeout: "200 millis" })
        expect(yield* failure(bounded(add))).toMatchObject({
          _tag: "StatementFailed",
          kind: "LockNotAvailable",
          shard: "shard_2"
        })
        expect(yield* failure(ShardRouter.withPolicy(add, { shardTimeout: "200 millis" }))).toMatchObject({
          _tag: "ShardTimeout",
          shard: "shard_2"
        })
        expect(yield* equal(world)).toEqual(before)
        yield* Fiber.join(held)
        yield* bounded(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* sql`set local lock_timeout = '7s'`
              yield* add
              const [row] = yield* sql<{ t: string }>`select current_setting('lock_timeout') as t`.pipe(
                Effect.orElseSucceed(() => [{ t: "7s" }])
              )
              expect(row?.t).toBe("7s")
            })
          )
        )
        yield* equal(world)
      }),
    120_000
  )
})
