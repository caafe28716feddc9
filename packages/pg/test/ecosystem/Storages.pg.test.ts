/**
 * What keeps tables of its own on one database, given a shard's own client: the queue, the journal and the server of
 * events of `@effect/sql`, as they are on one PostgreSQL.
 */
import * as EventJournal from "@effect/experimental/EventJournal"
import * as EventLogEncryption from "@effect/experimental/EventLogEncryption"
import * as EventLogServer from "@effect/experimental/EventLogServer"
import * as PersistedQueue from "@effect/experimental/PersistedQueue"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import * as SqlEventJournal from "@effect/sql/SqlEventJournal"
import * as SqlEventLogServer from "@effect/sql/SqlEventLogServer"
import * as SqlPersistedQueue from "@effect/sql/SqlPersistedQueue"
import { layer } from "@effect/vitest"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import * as Shop from "./shop.js"
import { layer as sides, Sides } from "./sides.js"

/** On one PostgreSQL and on the second of four shards: the same came of it, and there are no traces on other shards. */
const onEach = <A, E>(use: Effect.Effect<A, E, SqlClient>, tables: string) =>
  Effect.gen(function* () {
    const { cluster, four, manager, plain } = yield* Sides
    const expected = yield* Effect.exit(Effect.provideService(use, Client.SqlClient, plain.sql))
    const shard = ShardManager.layerClient("shard_2").pipe(
      Layer.provide(Layer.succeed(ShardManager.ShardManager, manager))
    )
    const given = yield* Effect.exit(Effect.provide(use, shard))
    expect(plainly(given)).toEqual(plainly(expected))
    const named = `select count(*)::int as n from pg_class where relname like '${tables}' and relkind = 'r'`
    const found = yield* Effect.forEach(["oracle", "shard_1", "shard_2"], (id) =>
      cluster.query<{ n: number }>(id, named)
    )
    const [there, none, here] = found.map(([row]) => row?.n)
    expect([none, here]).toEqual([0, there])
    expect(yield* four.sql`select count(*)::int as n from users`).toEqual([{ n: 12 }])
    return expected
  })

const plainly = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isSuccess(exit) ? exit.value : [...Cause.failures(exit.cause), ...Cause.defects(exit.cause)].map(codeOf)

const codeOf = (error: unknown): unknown => {
  const { cause, code } = error as { readonly cause?: unknown; readonly code?: string }
  return code ?? (cause === undefined ? error : codeOf(cause))
}

layer(sides(Shop), { excludeTestServices: true, timeout: 120_000 })("storages on a shard", (it) => {
  it.effect("SqlPersistedQueue: offered once, taken once, tried again after a failure", () =>
    Effect.gen(function* () {
      const Mail = Schema.Struct({ to: Schema.String, sent: Schema.DateFromString })
      const program = Effect.gen(function* () {
        const queue = yield* PersistedQueue.make({ name: "mails", schema: Mail })
        const at = new Date(0)
        for (const to of ["ada", "grace", "ada", "edsger"]) yield* queue.offer({ to, sent: at }, { id: to })
        const attempts: Array<readonly [string, number]> = []
        const take = queue.take((mail, { attempts: attempt }) => {
          attempts.push([mail.to, attempt])
          return mail.to === "grace" && attempt < 1 ? Effect.fail("not yet") : Effect.succeed(mail.to)
        })
        const taken = yield* Effect.forEach([1, 2, 3, 4], () => Effect.either(take))
        const sql = yield* Client.SqlClient
        const left = yield* sql`select id, completed, attempts from effect_queue order by sequence`
        return { taken: taken.map((either) => either._tag).toSorted(), attempts: attempts.toSorted(), left }
      })
      const store = SqlPersistedQueue.layerStore({ pollInterval: "20 millis" })
      const exit = yield* onEach(
        Effect.scoped(Effect.provide(program, Layer.provide(PersistedQueue.layer, store))),
        "effect_queue%"
      )
      expect(exit).toMatchObject({ value: { taken: ["Left", "Right", "Right", "Right"] } })
    })
  )

  it.effect("SqlEventJournal, with what PostgreSQL itself says of it", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const journal = yield* EventJournal.EventJournal
        const write = (primaryKey: string) =>
          journal.write({
            event: "UserCreated",
            primaryKey,
            payload: new Uint8Array([1, 2, 3]),
            effect: () => Effect.succeed(primaryKey)
          })
        const empty = yield* journal.entries
        return [
          empty,
          yield* Effect.either(write("ada")).pipe(Effect.map((either) => either._tag)),
          yield* journal.entries
        ]
      })
      const exit = yield* onEach(Effect.provide(program, SqlEventJournal.layer()), "effect_event_%")
      // Its column `timestamp` is a bigint there, which takes no date.
      expect(exit).toMatchObject({ value: [[], "Left", []] })
    })
  )

  it.effect("SqlEventLogServer: entries of a log in order, each once, and its changes", () =>
    Effect.gen(function* () {
      const ids = Array.from({ length: 3 }, () => EventJournal.makeEntryId())
      const entry = (index: number) =>
        new EventLogServer.PersistedEntry({
          entryId: ids[index]!,
          iv: new Uint8Array(12).fill(index),
          encryptedEntry: new Uint8Array([index])
        })
      const program = Effect.gen(function* () {
        const storage = yield* EventLogServer.Storage
        const first = yield* storage.write("key", [entry(0), entry(1)])
        const again = yield* storage.write("key", [entry(1), entry(2)])
        const changes = yield* storage.changes("key", 2)
        const [changed] = yield* changes.takeN(2)
        return {
          first,
          again,
          all: yield* storage.entries("key", 1),
          changed: [...changed],
          other: yield* storage.entries("other", 1)
        }
      })
      const exit = yield* onEach(
        Effect.scoped(
          Effect.provide(program, Layer.provide(SqlEventLogServer.layerStorage(), EventLogEncryption.layerSubtle))
        ),
        "effect_events%"
      )
      expect(Exit.isSuccess(exit)).toBe(true)
    })
  )
})
