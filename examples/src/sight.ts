/**
 * A small shop that shows what it does: `npm run example:sight`.
 *
 * Starts three PostgreSQL servers as shards and a few customers who order things until Ctrl-C. Metrics of the router stand
 * at http://localhost:9464/metrics as Prometheus reads them; `sight-dashboard.json` is a Grafana dashboard of them. Spans
 * go to whatever span processor the program is given: here the slowest of each kind are told at the end.
 */
import * as Metrics from "@effect/opentelemetry/Metrics"
import * as Resource from "@effect/opentelemetry/Resource"
import * as Tracer from "@effect/opentelemetry/Tracer"
import * as SqlClient from "@effect/sql/SqlClient"
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus"
import {
  BasicTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanExporter
} from "@opentelemetry/sdk-trace-base"
import * as ShardEvents from "@shardlayer/core/ShardEvents"
import * as ShardMetrics from "@shardlayer/core/ShardMetrics"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { runIfMain } from "./runMain.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { customer: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    customers: Table.sharded({ key: "id", keyspace: "customer" }),
    orders: Table.sharded({ key: "customer", keyspace: "customer" })
  }
})

const Database = Layer.unwrapScoped(
  Effect.map(PgCluster.make({ shards: 3 }), ({ shards }) =>
    PgRouter.layer({
      topology,
      install: true,
      shards: Object.fromEntries(shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 8 })]))
    })
  )
)

/** The metrics of the router, and all others of the program, for Prometheus to fetch. */
const Prometheus = (port: number) => Metrics.layer(() => new PrometheusExporter({ port, withoutScopeInfo: true }))

/** A program of yours would hand its spans to a collector: `OTLPTraceExporter` of `@opentelemetry/exporter-trace-otlp-http`. */
const Spans = (exporter: SpanExporter) =>
  Layer.provide(
    Tracer.layer,
    Layer.scoped(
      Tracer.OtelTracerProvider,
      Effect.acquireRelease(
        Effect.sync(() => new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })),
        (provider) => Effect.promise(() => provider.shutdown())
      )
    )
  )

/** Everything that the shop stands on. */
export const layer = (options: { readonly port: number; readonly exporter: SpanExporter }) =>
  Layer.mergeAll(
    Layer.provideMerge(ShardMetrics.layer({ poolInterval: "1 second" }), Database),
    Prometheus(options.port),
    Spans(options.exporter)
  ).pipe(Layer.provide(Resource.layer({ serviceName: "shop" })))

const customers = 60

export const prepare = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const create = [
    `CREATE TABLE customers (id int8 PRIMARY KEY, name text NOT NULL, balance int8 NOT NULL DEFAULT 100)`,
    `CREATE TABLE orders (customer int8, id int8, total int8 NOT NULL, PRIMARY KEY (customer, id))`
  ]
  for (const statement of create) yield* ShardRouter.onAllShards(sql.unsafe(statement))
  const names = Array.from({ length: customers }, (_, index) => ({ id: index + 1, name: `Customer ${index + 1}` }))
  yield* sql`INSERT INTO customers ${sql.insert(names)}`
})

/** One visit: what a customer asks for, what the shop asks itself, a gift to somebody else, and a mistake. */
export const visit = (turn: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const customer = (turn % customers) + 1
    const friend = ((turn * 7 + 3) % customers) + 1
    yield* sql`SELECT name, balance FROM customers WHERE id = ${customer}`
    yield* sql`INSERT INTO orders VALUES (${customer}, ${turn}, ${10 + (turn % 50)})`
    yield* sql`SELECT customer, sum(total) AS total FROM orders GROUP BY customer ORDER BY total DESC, customer LIMIT 5`
    yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* sql`UPDATE customers SET balance = balance - 1 WHERE id = ${customer}`
        yield* sql`UPDATE customers SET balance = balance + 1 WHERE id = ${friend}`
      })
    )
    // Refused: no shard can lock rows of all of them in one order.
    yield* Effect.ignore(sql`SELECT * FROM customers ORDER BY name LIMIT 1 FOR UPDATE`)
  }).pipe(Effect.withSpan("visit"))

/** Told as they happen, and never waited for. */
const slowCalls = ShardEvents.stream().pipe(
  Stream.runForEach((event) =>
    event._tag === "CallEnded" && event.millis > 250
      ? Effect.logWarning(`${event.role} on ${event.shard} took ${Math.round(event.millis)} ms`)
      : Effect.void
  )
)

const shop = Effect.gen(function* () {
  yield* prepare
  yield* Effect.fork(slowCalls)
  yield* Effect.log("metrics: http://localhost:9464/metrics; Ctrl-C ends it")
  let turn = 0
  const next = Effect.suspend(() => visit(++turn))
  yield* Effect.all(
    Array.from({ length: 4 }, () => Effect.forever(Effect.delay(next, "20 millis"))),
    { concurrency: "unbounded" }
  )
})

/** The slowest span of each kind. */
export const slowest = (): SpanExporter & { readonly lines: () => ReadonlyArray<string> } => {
  const found = new Map<string, ReadableSpan>()
  const millis = ({ duration: [seconds, nanos] }: ReadableSpan) => seconds * 1e3 + nanos / 1e6
  return {
    export: (spans, done) => {
      for (const span of spans) {
        const known = found.get(span.name)
        if (known === undefined || millis(known) < millis(span)) found.set(span.name, span)
      }
      done({ code: 0 })
    },
    shutdown: () => Promise.resolve(),
    lines: () =>
      [...found.values()].map((span) => {
        const shard = span.attributes["shardlayer.shard"]
        return `${span.name}${typeof shard === "string" ? ` on ${shard}` : ""}: ${millis(span).toFixed(1)} ms`
      })
  }
}

const main = Effect.suspend(() => {
  const exporter = slowest()
  const told = Effect.sync(() => console.log(["", "slowest", ...exporter.lines()].join("\n")))
  return Effect.ensuring(Effect.provide(shop, layer({ port: 9464, exporter })), told)
})

runIfMain(import.meta.url, main)
