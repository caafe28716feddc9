/** What operators see: spans, metrics and events of statements, and that nothing of it happens unless somebody looks. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, layer } from "@effect/vitest"
import * as ShardEvents from "@shardlayer/core/ShardEvents"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardMetrics from "@shardlayer/core/ShardMetrics"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { globalValue } from "effect/GlobalValue"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as World from "./world.js"

interface Seen {
  readonly name: string
  readonly kind: string
  readonly parent: Seen | undefined
  readonly attributes: Record<string, unknown>
  readonly events: Array<string>
  ended: "open" | "success" | "failure"
}

/** All spans of `effect`, in the order in which they began. */
const traced = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const spans: Array<Seen> = []
    const known = new Map<Tracer.AnySpan, Seen>()
    const tracer = Tracer.make({
      context: (run) => run(),
      span: (name, parent, context, links, startTime, kind) => {
        const above = parent._tag === "Some" ? known.get(parent.value) : undefined
        const seen: Seen = { name, kind, parent: above, attributes: {}, events: [], ended: "open" }
        const attributes = new Map<string, unknown>()
        const span: Tracer.Span = {
          _tag: "Span",
          name,
          spanId: String(spans.length + 1),
          traceId: "trace",
          parent,
          context,
          status: { _tag: "Started", startTime },
          attributes,
          links,
          sampled: true,
          kind,
          end: (_, exit) => void (seen.ended = Exit.isSuccess(exit) ? "success" : "failure"),
          attribute: (key, value) => {
            attributes.set(key, value)
            seen.attributes[key] = value
          },
          event: (event) => void seen.events.push(event),
          addLinks: () => undefined
        }
        known.set(span, seen)
        spans.push(seen)
        return span
      }
    })
    return Effect.map(Effect.withTracer(Effect.exit(effect), tracer), (exit) => [spans, exit] as const)
  })

const below = (spans: ReadonlyArray<Seen>, parent: Seen | undefined) => spans.filter((span) => span.parent === parent)

/** Planning asks for what it has not seen: not what these tests are about. */
const planned = (spans: ReadonlyArray<Seen>) => spans.filter(({ name }) => name !== "shardlayer.planning")

const counts = () =>
  new Map(
    Metric.unsafeSnapshot().flatMap(({ metricKey, metricState }) => {
      if (!metricKey.name.startsWith("shardlayer_") || !("count" in metricState)) return []
      const labels = metricKey.tags.map(({ key, value }) => `${key}=${value}`).toSorted()
      return [[`${metricKey.name} ${labels.join(" ")}`, Number(metricState.count)] as const]
    })
  )

/** By how much each metric grew while the effect ran. */
const counted = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = counts()
    return Effect.map(Effect.exit(effect), () =>
      Object.fromEntries(
        [...counts()].flatMap(([name, count]) => {
          const grown = count - (before.get(name) ?? 0)
          return grown === 0 ? [] : [[name, grown] as const]
        })
      )
    )
  })

const only = (grown: Record<string, number>, name: string) =>
  Object.fromEntries(
    Object.entries(grown).flatMap(([key, count]) =>
      key.startsWith(`${name} `) ? [[key.slice(name.length + 1), count]] : []
    )
  )

const inForce = globalValue("@shardlayer/core/ShardEvents", () => ({ observed: -1 }))

layer(World.layer(), { timeout: "60 seconds", excludeTestServices: true })("spans", (test) => {
  test.effect("a point read: that of its shard under that of the router, with what @effect/sql-pg says and ours", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const read = sql`select name from users where id = ${101}`
      yield* read
      const [spans] = yield* traced(Effect.withSpan(read, "caller"))
      const [caller, router, shard, ...others] = spans
      expect(others).toEqual([])
      expect([caller?.name, router?.name, router?.kind, shard?.name, shard?.kind]).toEqual([
        "caller",
        "sql.execute",
        "client",
        "shardlayer.statement",
        "client"
      ])
      expect([router?.parent, shard?.parent]).toEqual([caller, router])
      expect([router?.ended, shard?.ended]).toEqual(["success", "success"])
      const text = "select name from users where id = $1"
      expect(router?.attributes).toEqual({
        "db.system.name": "postgresql",
        "db.operation.name": "execute",
        "db.query.text": text,
        "db.response.returned_rows": 1,
        "shardlayer.strategy": "SingleShard",
        "shardlayer.shards": 1,
        "shardlayer.shard": "shard_2"
      })

      const manager = yield* ShardManager.ShardManager
      const own = yield* manager.client("shard_2")
      const { config } = own as PgClient.PgClient
      const stock = PgClient.layer({
        host: config.host ?? "",
        port: config.port ?? 0,
        database: config.database ?? "",
        username: config.username ?? "",
        password: config.password ?? Redacted.make(""),
        ...(config.url === undefined ? {} : { url: config.url })
      })
      const [[plain]] = yield* traced(
        Effect.provide(
          Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe(text, [101])),
          stock
        )
      )
      expect(plain?.name).toBe("sql.execute")
      expect(plain?.attributes).toHaveProperty(["db.namespace"])
      expect(shard?.attributes).toEqual({
        ...plain?.attributes,
        "db.response.returned_rows": 1,
        "shardlayer.shard": "shard_2",
        "shardlayer.strategy": "SingleShard"
      })
    })
  )

  test.effect("a scatter: a span for each shard's part under one, those of its view beside them", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const read = sql`select count(*) as n from orders`
      yield* read
      const [spans] = yield* traced(read)
      const [router] = spans
      expect(router?.attributes).toMatchObject({ "shardlayer.strategy": "ScatterMerge", "shardlayer.shards": 3 })
      expect(router?.attributes).not.toHaveProperty(["shardlayer.shard"])
      expect(below(spans, router)).toHaveLength(spans.length - 1)
      const parts = spans.filter(({ name }) => name === "shardlayer.part")
      expect(
        parts
          .map(({ attributes, ended }) => [
            attributes["shardlayer.shard"],
            attributes["shardlayer.strategy"],
            attributes["db.response.returned_rows"],
            ended
          ])
          .toSorted()
      ).toEqual(["shard_1", "shard_2", "shard_3"].map((shard) => [shard, "ScatterMerge", 1, "success"]))
      expect(new Set(parts.map(({ attributes }) => attributes["db.namespace"])).size).toBe(3)
      const gates = spans.filter(({ attributes }) => String(attributes["db.query.text"]).includes("LOCK TABLE"))
      expect(gates.map(({ name }) => name)).toEqual(Array(3).fill("shardlayer.protocol"))
      expect(spans.filter(({ ended }) => ended === "open")).toEqual([])
    })
  )

  test.effect("a transaction over two shards: its statements, and the commit, under its own", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [all] = yield* traced(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`update users set name = 'Ada L.' where id = ${1}`
            yield* sql.withTransaction(sql`update users set name = 'Eva' where id = ${201}`)
          })
        )
      )
      const spans = planned(all)
      const [transaction] = spans
      expect([transaction?.name, transaction?.ended, transaction?.events]).toEqual([
        "sql.transaction",
        "success",
        ["db.transaction.commit"]
      ])
      const statements = spans.filter(({ name }) => name === "sql.execute")
      const nested = spans.filter(({ name }) => name === "sql.transaction")[1]
      expect(statements.map(({ attributes, parent }) => [attributes["shardlayer.shard"], parent])).toEqual([
        ["shard_1", transaction],
        ["shard_3", nested]
      ])
      expect(nested?.parent).toBe(transaction)
      const began = spans.filter(({ name }) => name === "shardlayer.begin")
      expect(began.map(({ attributes, parent }) => [attributes["shardlayer.shard"], parent])).toEqual([
        ["shard_1", statements[0]],
        ["shard_3", statements[1]]
      ])
      const commit = below(spans, transaction).filter(({ name }) => name === "shardlayer.protocol")
      const commands = commit.map(({ attributes }) => String(attributes["db.query.text"]))
      expect(commands.some((text) => text.includes("PREPARE TRANSACTION"))).toBe(true)
      expect(commands.some((text) => text.includes("INSERT INTO shardlayer.decision"))).toBe(true)
      expect(commands.some((text) => text.includes("COMMIT PREPARED"))).toBe(true)
      expect(spans.filter(({ ended }) => ended === "open")).toEqual([])
    })
  )

  test.effect("a write over several shards: its parts under the transaction that the router opens for it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [spans] = yield* traced(sql`update orders set total = total + 1 where id > ${3}`)
      const [router] = spans
      const transaction = spans.find(({ name }) => name === "sql.transaction")
      expect([router?.attributes["shardlayer.strategy"], transaction?.parent]).toEqual(["Write", router])
      expect(transaction?.attributes).not.toHaveProperty(["shardlayer.strategy"])
      const parts = spans.filter(({ name }) => name === "shardlayer.part" || name === "shardlayer.statement")
      expect(parts.map(({ attributes }) => attributes["shardlayer.strategy"])).toEqual(["Write", "Write", "Write"])
      expect(below(spans, transaction)).toEqual(expect.arrayContaining(parts))
    })
  )

  test.effect("a list of statements: one span, of the list, above the calls of all", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [spans, exit] = yield* traced(
        sql.unsafe("alter table users add column extra int; alter table users drop column extra")
      )
      expect(Exit.isSuccess(exit)).toBe(true)
      const named = spans.filter(({ name }) => name === "sql.execute")
      expect(named.map(({ attributes }) => attributes["shardlayer.strategy"])).toEqual(["Schema"])
      const altered = spans.filter(({ attributes }) => String(attributes["db.query.text"]).startsWith("alter table"))
      // The whole of it, and each of the two on each shard.
      expect(altered).toHaveLength(1 + 2 * 3)
      expect(spans.filter(({ ended }) => ended === "open")).toEqual([])
    })
  )

  test.effect("a refusal: failed, with its code, and no shard below it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [spans] = yield* traced(sql`select * from users for update`)
      const [router, ...others] = planned(spans)
      expect(others).toEqual([])
      expect(router?.ended).toBe("failure")
      expect(router?.attributes).toMatchObject({
        "error.type": "UnsupportedQuery",
        "shardlayer.refusal": expect.stringMatching(/^SL\d{4}$/)
      })
    })
  )

  test.effect("what PostgreSQL fails: on the shard's span and on the router's, with its SQLSTATE", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [all] = yield* traced(sql`insert into users values (1, 'again', null)`)
      expect(planned(all).map(({ ended, name }) => [name, ended])).toEqual([
        ["sql.execute", "failure"],
        ["shardlayer.statement", "failure"]
      ])
      for (const { attributes } of planned(all)) {
        expect(attributes).toMatchObject({ "error.type": "StatementFailed", "db.response.status_code": "23505" })
      }
    })
  )

  test.effect("a stream, a prepared statement and an interruption have theirs, ended", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const router = yield* ShardRouter.ShardRouter
      const nameOf = yield* router.prepare<{ name: string }>("select name from users where id = $1")
      const [streamed] = yield* traced(Stream.runCollect(Stream.take(sql`select id from users`.stream, 2)))
      const [top] = streamed
      expect(top?.attributes).toMatchObject({
        "db.operation.name": "executeStream",
        "shardlayer.strategy": "CoLocatedScatter"
      })
      expect(planned(streamed).filter(({ parent }) => parent !== top)).toEqual([top])
      expect(planned(streamed).length).toBeGreaterThan(1)
      const [prepared] = yield* traced(nameOf(101))
      expect(planned(prepared).map(({ name }) => name)).toEqual(["sql.execute", "shardlayer.statement"])
      const [stopped] = yield* traced(
        Effect.timeoutOption(sql`select pg_sleep(30), name from users where id = ${1}`, "200 millis")
      )
      expect(planned(stopped).map(({ ended, name }) => [name, ended])).toEqual([
        ["sql.execute", "failure"],
        ["shardlayer.statement", "failure"]
      ])
      for (const spans of [streamed, prepared, stopped]) {
        expect(spans.filter(({ ended }) => ended === "open")).toEqual([])
      }
      expect(inForce.observed).toBe(0)
    })
  )

  test.effect("none where tracing is off, nor under a tracer that shows nothing", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const read = sql`select name from users where id = ${101}`
      const [spans] = yield* traced(Effect.withTracerEnabled(read, false))
      expect(spans).toEqual([])
      const during = yield* Effect.zipRight(
        read,
        Effect.sync(() => inForce.observed)
      )
      expect(during).toBe(0)
    })
  )
})

const withMetrics = Layer.provideMerge(ShardMetrics.layer({ poolInterval: "50 millis" }), World.layer())

const statements = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const id of [1, 2, 101]) yield* sql`select name from users where id = ${id}`
  yield* sql`select count(*) as n from orders`
  yield* sql`select id from users`
  yield* Effect.exit(sql`select * from users for update`)
  yield* Effect.exit(sql`insert into users values (1, 'again', null)`)
  yield* Effect.exit(ShardRouter.withPolicy(sql`select total from orders`, { scatter: "refuse" }))
  yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`update users set name = 'Ada L.' where id = ${1}`
      yield* sql`update users set name = 'Eva' where id = ${201}`
    })
  )
})

layer(withMetrics, { timeout: "60 seconds", excludeTestServices: true })("metrics", (test) => {
  test.effect("count each statement, call, row, refusal and transaction once", () =>
    Effect.gen(function* () {
      const grown = yield* counted(statements)
      const outcomes = {
        "outcome=success strategy=SingleShard": 5,
        "outcome=success strategy=ScatterMerge": 1,
        "outcome=success strategy=CoLocatedScatter": 1,
        "outcome=failure strategy=SingleShard": 1,
        "outcome=refused strategy=none": 2
      }
      expect(only(grown, "shardlayer_statements_total")).toEqual(outcomes)
      expect(only(grown, "shardlayer_statement_seconds")).toEqual(outcomes)
      expect(only(grown, "shardlayer_rows_total")).toEqual({
        "strategy=SingleShard": 3,
        "strategy=ScatterMerge": 1,
        "strategy=CoLocatedScatter": 5
      })
      expect(only(grown, "shardlayer_rows_merged_total")).toEqual({
        "shard=shard_1 strategy=ScatterMerge": 1,
        "shard=shard_2 strategy=ScatterMerge": 1,
        "shard=shard_3 strategy=ScatterMerge": 1,
        "shard=shard_1 strategy=CoLocatedScatter": 2,
        "shard=shard_2 strategy=CoLocatedScatter": 2,
        "shard=shard_3 strategy=CoLocatedScatter": 1
      })
      expect(Object.keys(only(grown, "shardlayer_refusals_total"))).toEqual(
        expect.arrayContaining(["code=ScatterRefused", expect.stringMatching(/^code=SL\d{4}$/)])
      )
      expect(only(grown, "shardlayer_failures_total")).toEqual({ "error=StatementFailed shard=shard_1": 1 })
      expect(only(grown, "shardlayer_transactions_total")).toEqual({ "kind=program outcome=committed": 1 })
      expect(only(grown, "shardlayer_retries_total")).toEqual({})
      const calls = only(grown, "shardlayer_calls_total")
      expect(calls).toMatchObject({
        "outcome=success role=statement shard=shard_1 strategy=SingleShard": 3,
        "outcome=failure role=statement shard=shard_1 strategy=SingleShard": 1,
        "outcome=success role=statement shard=shard_2 strategy=SingleShard": 1,
        "outcome=success role=statement shard=shard_3 strategy=SingleShard": 1,
        "outcome=success role=part shard=shard_2 strategy=ScatterMerge": 1
      })
      const bySeconds = Object.values(only(grown, "shardlayer_call_seconds")).reduce((sum, count) => sum + count, 0)
      expect(bySeconds).toBe(Object.values(calls).reduce((sum, count) => sum + count, 0))
    })
  )

  test.effect("count what is asked anew", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const late = ShardRouter.withPolicy({ shardTimeout: "100 millis", retry: Schedule.recurs(2) })
      const slow = sql`select count(*) from users, generate_series(1, 1000000000) where id = ${1}`
      const grown = yield* counted(late(slow))
      expect(only(grown, "shardlayer_retries_total")).toEqual({ "error=ShardTimeout shard=shard_1": 2 })
      expect(only(grown, "shardlayer_statements_total")).toEqual({ "outcome=failure strategy=SingleShard": 1 })
      const tried = only(grown, "shardlayer_calls_total")
      expect(tried["outcome=interrupted role=statement shard=shard_1 strategy=SingleShard"]).toBe(3)
    })
  )

  test.effect("say how the pools are used", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const gauge = (shard: string, state: string) =>
        Metric.value(ShardMetrics.poolConnections.pipe(Metric.tagged("shard", shard), Metric.tagged("state", state)))
      const until = (shard: string, state: string, isReached: (value: number) => boolean) =>
        Effect.repeat(Effect.delay(gauge(shard, state), "20 millis"), {
          until: ({ value }) => isReached(value),
          times: 500
        })
      const update = sql`update users set name = 'Cleo' where id = ${101}`
      const inside = yield* sql.withTransaction(
        Effect.zipRight(
          update,
          until("shard_2", "busy", (value) => value === 1)
        )
      )
      expect(inside.value).toBe(1)
      expect((yield* until("shard_2", "busy", (value) => value === 0)).value).toBe(0)
      expect((yield* until("shard_2", "idle", (value) => value > 0)).value).toBeGreaterThan(0)
      expect((yield* Metric.value(Metric.tagged(ShardMetrics.poolWaiting, "shard", "shard_2"))).value).toBe(0)
    })
  )
})

layer(World.layer(), { timeout: "60 seconds", excludeTestServices: true })("unless somebody looks", (test) => {
  test.effect("nothing is counted", () =>
    Effect.gen(function* () {
      expect(inForce.observed).toBe(0)
      expect(yield* counted(statements)).toEqual({})
    })
  )
})

layer(World.layer(), { timeout: "60 seconds", excludeTestServices: true })("events", (test) => {
  test.effect("of any fiber come as a stream, from when it runs to its end", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const read = sql`select name from users where id = ${101}`
      yield* read
      const tags = yield* Effect.scoped(
        Effect.gen(function* () {
          const pull = yield* Stream.toPull(yield* ShardEvents.subscribe())
          yield* Effect.fork(read).pipe(Effect.flatMap((fiber) => fiber.await))
          return Chunk.toReadonlyArray(yield* pull).map(({ _tag }) => _tag)
        })
      )
      expect(tags).toEqual(["StatementStarted", "StatementRouted", "CallStarted", "CallEnded", "StatementEnded"])
      expect(inForce.observed).toBe(0)
    })
  )

  test.effect("wait for nobody: those that were not taken are dropped, and counted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const read = sql`select name from users where id = ${102}`
      yield* read
      yield* Effect.scoped(
        Effect.gen(function* () {
          const pull = yield* Stream.toPull(yield* ShardEvents.subscribe({ capacity: 7 }))
          yield* Effect.repeatN(read, 9)
          const first = Chunk.toReadonlyArray(yield* pull)
          expect(first[0]).toEqual({ _tag: "EventsDropped", count: 10 * 5 - 7 })
          expect(first.slice(1).map(({ _tag }) => _tag)).toEqual([
            "CallEnded",
            "StatementEnded",
            "StatementStarted",
            "StatementRouted",
            "CallStarted",
            "CallEnded",
            "StatementEnded"
          ])
          yield* read
          expect(Chunk.size(yield* pull)).toBe(5)
          // Who stops waiting loses nothing.
          expect(yield* Effect.timeoutOption(pull, "20 millis")).toMatchObject({ _tag: "None" })
          yield* read
          expect(Chunk.size(yield* pull)).toBe(5)
        })
      )
    })
  )
})
