/** What a transaction sets for itself holds on each of its shards, as on one PostgreSQL: compared statement by statement. */
import * as Client from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import { isShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { balances, makeCluster, openRouter, prepared, transfer } from "./atomic.js"

/** Three shards, and in a fourth database all their rows. */
const makeWith = (change: string) =>
  Effect.gen(function* () {
    const cluster = yield* makeCluster({ shards: 4 })
    yield* cluster.query("shard_4", "insert into accounts select id, 100, 'o' from generate_series(0, 299, 100) as id")
    yield* cluster.query("shard_1", "create role settings_reader; create role settings_other")
    for (const { id } of cluster.shards) {
      yield* cluster.query(id, "grant select on accounts to settings_reader, settings_other")
      yield* cluster.query(id, "grant update on accounts to settings_other")
    }
    const shards = cluster.shards.slice(0, 3)
    for (const { id } of shards) yield* cluster.query(id, change)
    const router = yield* openRouter({ ...cluster, shards })
    const url = cluster.shards[3]!.url
    const one = Context.get(yield* Layer.build(PgShard.layer({ url, maxConnections: 2 })), Client.SqlClient)
    return { cluster: { ...cluster, shards }, oracle: cluster, router, sql: router.client, one }
  }).pipe(Effect.tap(({ oracle }) => Effect.addFinalizer(() => Effect.ignore(dropRoles(oracle)))))

const make = makeWith("select 1")

const dropRoles = (cluster: Effect.Effect.Success<ReturnType<typeof makeCluster>>) =>
  Effect.forEach(cluster.shards, ({ id }) => cluster.query(id, "drop owned by settings_reader, settings_other")).pipe(
    Effect.zipRight(cluster.query("shard_1", "drop role settings_reader, settings_other"))
  )

/** SQLSTATE, or what else it is. */
const codeOf = (error: unknown): string => {
  const cause = error instanceof SqlError ? error.cause : error
  if (!isShardError(cause)) return String(cause)
  return cause._tag === "StatementFailed" ? `${cause.code}` : cause._tag
}

type Op =
  | { readonly _tag: "Run"; readonly sql: string; readonly params: ReadonlyArray<unknown>; readonly pin?: string }
  | { readonly _tag: "Nested"; readonly ops: ReadonlyArray<Op>; readonly fails: boolean }

const pick = <A>(values: ReadonlyArray<A>) => Effect.map(Random.nextIntBetween(0, values.length), (n) => values[n]!)

const shardIds = ["shard_1", "shard_2", "shard_3"] as const

const seen = `to_char('2024-07-01 12:00Z'::timestamptz, 'HH24:MI TZH') as hour`

/** Everything that is set, as one row: only under a pin may a statement ask for it. */
const everything = `select current_setting('timezone') as zone, current_setting('statement_timeout') as timeout,
  current_setting('role') as role, current_user::text as who, coalesce(current_setting('app.tenant', true), '') as tenant,
  current_setting('work_mem') as memory, ${seen}`

const settingOp: Effect.Effect<Op> = Effect.gen(function* () {
  const pin = (yield* Random.nextBoolean) ? yield* pick(shardIds) : undefined
  // Errors, as PostgreSQL has them.
  const wrong = yield* pick([
    "set local no_such_setting = 1",
    "set local work_mem = 'much'",
    "set local role nobody_at_all"
  ])
  const text = yield* pick([
    "set local timezone = 'Asia/Tokyo'",
    "set local time zone 'America/Caracas'",
    "set local statement_timeout = '40s'",
    "set local statement_timeout to default",
    "set local work_mem = '4MB'; set local app.tenant = 'two'",
    "set local role settings_reader",
    "set local role settings_other",
    "set local role none",
    "select set_config('app.tenant', $1, true) as tenant",
    "select set_config('work_mem', $1, true), set_config('timezone', 'Asia/Kolkata', true)",
    yield* pick([
      "set local app.tenant = 'one'",
      "set local timezone = 'UTC'",
      "set local app.tenant to default",
      wrong
    ])
  ])
  const params = text.includes("$1") ? [yield* pick(["2MB", "3MB", "1024kB"])] : []
  return { _tag: "Run", sql: text, params, ...(pin === undefined ? {} : { pin }) }
})

/** Its value is not in the text: what it was is what the others get. */
const computedOp: Effect.Effect<Op> = Effect.gen(function* () {
  const id = yield* pick([0, 1, 2])
  return {
    _tag: "Run",
    sql: `select set_config('app.tenant', id::text || balance::text, true) as tenant from accounts where id = ${id * 100}`,
    params: [],
    pin: shardIds[id]!
  }
})

const statementOp: Effect.Effect<Op> = Effect.gen(function* () {
  const id = yield* pick([0, 100, 200])
  return yield* pick<Op>([
    { _tag: "Run", sql: `select ${seen} from accounts where id = ${id}`, params: [] },
    {
      _tag: "Run",
      sql: `update accounts set balance = balance + 1 where id = ${id} returning balance, ${seen}`,
      params: []
    },
    { _tag: "Run", sql: `select id, ${seen} from accounts`, params: [] },
    { _tag: "Run", sql: `select ${seen}`, params: [] },
    { _tag: "Run", sql: everything, params: [], pin: shardIds[id / 100]! },
    { _tag: "Run", sql: everything, params: [], pin: shardIds[id / 100]! }
  ])
})

const opsOf = (depth: number): Effect.Effect<ReadonlyArray<Op>> =>
  Effect.flatMap(Random.nextIntBetween(2, 6), (count) =>
    Effect.all(
      Array.from({ length: count }, () =>
        Effect.flatMap(Random.nextIntBetween(0, 10), (n): Effect.Effect<Op> => {
          if (n < 4) return settingOp
          if (n < 5) return computedOp
          if (n < 8 || depth === 0) return statementOp
          return Effect.zipWith(opsOf(depth - 1), Random.nextBoolean, (ops, fails) => ({ _tag: "Nested", ops, fails }))
        })
      )
    )
  )

type Pinning = (effect: Effect.Effect<unknown, unknown>, shard: string) => Effect.Effect<unknown, unknown>

/** Runs them, and tells what each answered, in order. */
const perform = (sql: Client.SqlClient, ops: ReadonlyArray<Op>, pinned: Pinning) => {
  const log: Array<unknown> = []
  const all = (list: ReadonlyArray<Op>): Effect.Effect<void> => Effect.forEach(list, one, { discard: true })
  const one = (op: Op): Effect.Effect<void> => {
    if (op._tag === "Nested") {
      const body = op.fails ? Effect.zipRight(all(op.ops), Effect.fail("undone")) : all(op.ops)
      return Effect.match(sql.withTransaction(body), {
        onSuccess: () => void log.push("kept"),
        onFailure: (error) => void log.push(error === "undone" ? error : codeOf(error))
      })
    }
    const statement = sql.unsafe(op.sql, op.params as ReadonlyArray<any>)
    const raw: Effect.Effect<unknown, unknown> = op.sql.includes(";") ? Effect.as(statement.raw, "several") : statement
    return Effect.match(op.pin === undefined ? raw : pinned(raw, op.pin), {
      onSuccess: (rows) =>
        void log.push([op.sql, Array.isArray(rows) ? [...rows].sort((x, y) => Number(x.id) - Number(y.id)) : rows]),
      onFailure: (error) => void log.push([op.sql, codeOf(error)])
    })
  }
  return Effect.map(
    Effect.match(sql.withTransaction(all(ops)), { onSuccess: () => "committed", onFailure: () => "rolled back" }),
    (end) => [...log, end]
  )
}

describe("settings of a transaction over several shards", () => {
  it.scopedLive(
    "are seen as on one PostgreSQL, in random order, on every shard, at every moment",
    () =>
      Effect.gen(function* () {
        const { cluster, one, oracle, router, sql } = yield* make
        let compared = 0
        let failed = 0
        for (let seed = 0; seed < 60; seed++) {
          const ops = yield* Effect.withRandom(opsOf(3), Random.make(seed))
          const expected = yield* perform(one, ops, (effect) => effect)
          const found = yield* perform(sql, ops, (effect, shard) => router.onShard(effect, shard))
          const at = found.findIndex((entry, index) => JSON.stringify(entry) !== JSON.stringify(expected[index]))
          expect({ seed, at, before: found.slice(0, at), found: found[at] }).toEqual({
            seed,
            at: -1,
            before: found.slice(0, at),
            found: expected[at]
          })
          expect(found).toHaveLength(expected.length)
          failed += found.filter((entry) => Array.isArray(entry) && entry[1] === "25P02").length
          compared += expected.length
        }
        // Statements of a transaction that has failed say nothing.
        expect(compared - failed).toBeGreaterThan(400)
        const all = yield* oracle.query<{ id: string; balance: string }>("shard_4", "select id, balance from accounts")
        expect(yield* balances(cluster)).toEqual(
          Object.fromEntries(all.map(({ balance, id }) => [id, Number(balance)]))
        )
        expect(yield* prepared(cluster)).toEqual([])
      }),
    180_000
  )

  it.scopedLive("constraints that are deferred, or not, on each shard; checked on all when they are no more", () =>
    Effect.gen(function* () {
      const { router, sql } = yield* makeWith(
        "create table pairs (id int8 primary key); alter table accounts add column pair int8 references pairs deferrable initially immediate"
      )
      // A foreign key to a table that the topology does not list: the program's own business.
      const on = <A, E, R>(id: number, effect: Effect.Effect<A, E, R>) =>
        ShardRouter.unchecked(router.onShard(effect, shardIds[id / 100]!))
      const clash = (id: number) => on(id, sql`update accounts set pair = 5 where id = ${id}`)
      const mend = (id: number) => on(id, sql`update accounts set pair = null where id = ${id}`)
      const failure = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.match(effect, { onSuccess: () => "success", onFailure: codeOf })

      expect(yield* failure(sql.withTransaction(clash(100)))).toBe("23503")
      const deferred = sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`set constraints all deferred`
          for (const id of [0, 100, 200]) yield* clash(id)
          for (const id of [0, 100, 200]) yield* mend(id)
          yield* sql`set constraints all immediate`
          yield* sql
            .withTransaction(
              Effect.zipRight(sql`set constraints all deferred`, Effect.zipRight(clash(0), Effect.fail("undone")))
            )
            .pipe(Effect.ignore)
          // The nested level is undone, and with it what it has set.
          return yield* failure(sql.withTransaction(clash(0)))
        })
      )
      expect(yield* deferred).toBe("23503")
      const late = sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`set constraints all deferred`
          yield* clash(0)
          yield* clash(100)
          return yield* failure(router.onShard(sql`set constraints all immediate`, "shard_3"))
        })
      )
      expect(yield* failure(late)).toBe("TransactionRolledBack")
    })
  )

  it.scopedLive("cost a transaction on one shard nothing but themselves, and hold where only reads run", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* make
      const inside = sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`set local timezone = 'Asia/Tokyo'`
          const rows = yield* sql.unsafe(`select id, ${seen} from accounts where id = 100`)
          const others = yield* sql<{ xid: string }>`select id from accounts where id = 100 for update`
          return [rows, others.length]
        })
      )
      expect(yield* inside).toEqual([[{ id: "100", hour: "21:00 +09" }], 1])
      const single = router.transaction(
        Effect.zipRight(sql`set local statement_timeout = '30s'`, sql`update accounts set balance = 7 where id = 200`),
        { mode: "single" }
      )
      yield* single
      expect((yield* balances(cluster))[200]).toBe(7)
      const snapshot = router.snapshot(
        Effect.zipRight(
          sql`set local timezone = 'Asia/Tokyo'`,
          sql.unsafe(`select id, ${seen} from accounts order by owner`)
        )
      )
      // Merged by how values look: under another time zone that is not done.
      expect(yield* Effect.match(snapshot, { onSuccess: (rows) => rows.length, onFailure: codeOf })).toBe(
        "CrossShardTransaction"
      )
    })
  )

  it.scopedLive("what cannot be given to another shard keeps it out, as before", () =>
    Effect.gen(function* () {
      const { cluster, router, sql } = yield* make
      for (const text of [
        "set local transaction_read_only = off",
        "set transaction read write",
        "set local seed = 0.5"
      ]) {
        const held = sql.withTransaction(
          Effect.zipRight(router.onShard(sql.unsafe(text), "shard_1"), transfer(sql, 0, 100, 1))
        )
        expect(yield* Effect.flip(Effect.mapError(held, codeOf))).toBe("CrossShardTransaction")
      }
      const path = sql.withTransaction(sql`set local search_path = other`)
      expect(String(yield* Effect.flip(path))).toContain("SL7003")
      expect(yield* Effect.flip(Effect.mapError(sql`set local work_mem = '4MB'`, codeOf))).toBe("UnsupportedQuery")
      expect(yield* balances(cluster)).toEqual({ 0: 100, 100: 100, 200: 100 })
    })
  )
})
