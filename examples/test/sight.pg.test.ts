/** The example's metrics are those that its dashboard asks for, and its spans hang together. */
import * as SqlClient from "@effect/sql/SqlClient"
import { expect, it } from "@effect/vitest"
import { InMemorySpanExporter } from "@opentelemetry/sdk-trace-base"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { describe } from "vitest"
import { layer, prepare, visit } from "../src/sight.js"

interface Dashboard {
  readonly panels: ReadonlyArray<{
    readonly title: string
    readonly targets: ReadonlyArray<{ readonly expr: string }>
  }>
}

const dashboard = JSON.parse(readFileSync(new URL("../sight-dashboard.json", import.meta.url), "utf8")) as Dashboard

const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))

/** The metrics that a query names, and the labels that it names of any. */
const metricsOf = (query: string) => query.match(/\bshardlayer_\w+/g) ?? []
const labelsOf = (query: string) => [
  ...[...query.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/, */)),
  ...[...query.matchAll(/(\w+)=~?"/g)].map(([, label = ""]) => label)
]

const freePort = Effect.async<number>((resume) => {
  const server = createServer().listen(0, () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

const fetched = (port: number) =>
  Effect.promise(() => fetch(`http://localhost:${port}/metrics`).then((response) => response.text()))

/** What the shop has no part of: something fails, and something is tried anew. */
const trouble = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* Effect.ignore(sql`INSERT INTO customers (id, name) VALUES (1, 'again')`)
  const slow = sql`SELECT count(*) FROM customers, generate_series(1, 1000000000) WHERE id = ${1}`
  yield* Effect.ignore(ShardRouter.withPolicy(slow, { shardTimeout: "50 millis", retry: Schedule.recurs(1) }))
})

describe("npm run example:sight", () => {
  it.live("exposes each metric of the dashboard, under its labels, and a span for each call", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const exporter = new InMemorySpanExporter()
      const run = Effect.gen(function* () {
        yield* prepare
        for (let turn = 1; turn <= 20; turn++) yield* visit(turn)
        yield* trouble
        yield* Effect.sleep("1200 millis")
        const page = yield* fetched(port)
        return { page, spans: exporter.getFinishedSpans() }
      })
      const { page, spans } = yield* Effect.provide(run, layer({ port, exporter }))

      expect(queries.length).toBeGreaterThan(10)
      for (const query of queries) {
        const [metric, ...others] = metricsOf(query)
        expect([others, metric], query).toEqual([[], expect.any(String)])
        const samples = page.split("\n").filter((line) => line.startsWith(`${metric}{`))
        expect(samples.length, `${metric} is exposed`).toBeGreaterThan(0)
        for (const label of labelsOf(query)) {
          for (const sample of samples) expect(sample).toMatch(new RegExp(`[{,]${label}="`))
        }
      }
      expect(page).toMatch(/shardlayer_statements_total\{strategy="ScatterMerge",outcome="success"\} 20\b/)
      expect(page).toMatch(/shardlayer_refusals_total\{code="SL\d{4}"\} 20\b/)

      const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]))
      const calls = spans.filter(
        ({ attributes, name }) => name === "shardlayer.part" && attributes["shardlayer.strategy"] === "ScatterMerge"
      )
      expect(calls.length).toBeGreaterThanOrEqual(20 * 3)
      for (const { attributes, parentSpanContext } of calls) {
        expect(attributes).toMatchObject({ "db.system.name": "postgresql", "server.port": expect.any(Number) })
        expect(byId.get(parentSpanContext?.spanId ?? "")?.name).toBe("sql.execute")
      }
      const refused = spans.filter(({ attributes }) => attributes["shardlayer.refusal"] !== undefined)
      expect(refused.map(({ status }) => status.code)).toEqual(Array(20).fill(2))
    })
  )
})
