/**
 * Light statements beside the stock ones of `@effect/sql`, call by call: the same text, params, rows and spans.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { it } from "@effect/vitest"
import * as LightStatement from "@shardlayer/core/LightStatement"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { describe, expect } from "vitest"

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const transformRows = Statement.defaultTransforms(camel).array

const compiler = Statement.makeCompiler({
  dialect: "pg",
  placeholder: (index) => `$${index}`,
  onIdentifier: (name, withoutTransform) => Statement.defaultEscape('"')(withoutTransform ? name : snake(name)),
  onRecordUpdate: (placeholders, alias, columns, values, returning) => [
    `(values ${placeholders}) AS ${alias}${columns}${returning ? ` RETURNING ${returning[0]}` : ""}`,
    returning ? values.flat().concat(returning[1]) : values.flat()
  ],
  onCustom: () => ["", []]
})

type Call = readonly [operation: string, sql: string, params: ReadonlyArray<unknown>]

const rowsOf = (sql: string, params: ReadonlyArray<unknown>) => [{ first_column: sql, second_column: params.length }]
const failure = new SqlError({ cause: "no", message: "no" })

/** The stock constructor over a connection that answers by itself and writes down what it is asked. */
const makeStock = (calls: Array<Call>, spanAttributes: ReadonlyArray<readonly [string, unknown]>) => {
  const run = <A>(operation: string, sql: string, params: ReadonlyArray<unknown>, answer: A) =>
    Effect.suspend(() => {
      calls.push([operation, sql, params])
      return sql.includes("fails") ? Effect.fail(failure) : Effect.succeed(answer)
    })
  const connection: Connection = {
    execute: (sql, params, transform) =>
      run("execute", sql, params, transform === undefined ? rowsOf(sql, params) : transform(rowsOf(sql, params))),
    executeUnprepared: (sql, params, transform) =>
      run(
        "executeUnprepared",
        sql,
        params,
        transform === undefined ? rowsOf(sql, params) : transform(rowsOf(sql, params))
      ),
    executeRaw: (sql, params) => run("executeRaw", sql, params, { rows: rowsOf(sql, params) }),
    executeValues: (sql, params) => run("executeValues", sql, params, rowsOf(sql, params).map(Object.values)),
    executeStream: (sql, params, transform) =>
      LightStatement.transformStream(
        Stream.fromIterableEffect(run("stream", sql, params, rowsOf(sql, params))),
        transform
      )
  }
  return Statement.make(Effect.succeed(connection), compiler, spanAttributes, transformRows)
}

const makeLight = (calls: Array<Call>, spanAttributes: ReadonlyArray<readonly [string, unknown]>) => {
  const answer = (operation: string, sql: string, params: ReadonlyArray<unknown>): unknown => {
    calls.push([operation === "executeWithoutTransform" ? "execute" : operation, sql, params])
    if (operation === "executeRaw") return { rows: rowsOf(sql, params) }
    return operation === "executeValues" ? rowsOf(sql, params).map(Object.values) : rowsOf(sql, params)
  }
  return LightStatement.makeConstructor({
    executor: {
      run: (operation, sql, params) =>
        Effect.suspend(() => {
          const rows = answer(operation, sql, params)
          return sql.includes("fails") ? Effect.fail(failure) : Effect.succeed(rows)
        }),
      stream: (sql, params) =>
        Stream.suspend(() => {
          answer("stream", sql, params)
          return sql.includes("fails") ? Stream.fail(failure) : Stream.fromIterable(rowsOf(sql, params))
        }),
      acquirer: Effect.dieMessage("a light statement takes no connection")
    },
    compiler,
    spanAttributes,
    transformRows
  })
}

interface SeenSpan {
  readonly name: string
  readonly kind: string
  readonly attributes: Record<string, unknown>
  readonly parent: string | undefined
  readonly failed: boolean
}

const recordingTracer = (spans: Array<SeenSpan>): Tracer.Tracer => {
  let count = 0
  return Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const span: Tracer.Span = {
        _tag: "Span",
        name,
        spanId: String(++count),
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        sampled: true,
        kind,
        end: (_, exit) => {
          const above = parent._tag === "Some" && parent.value._tag === "Span" ? parent.value.name : undefined
          spans.push({
            name,
            kind,
            attributes: Object.fromEntries(attributes),
            parent: above,
            failed: Exit.isFailure(exit)
          })
        },
        attribute: (key, value) => void attributes.set(key, value),
        event: () => undefined,
        addLinks: () => undefined
      }
      return span
    },
    context: (run) => run()
  })
}

type Use = (sql: Statement.Constructor) => Effect.Effect<unknown, SqlError>
type Around = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

const attributes = [
  ["db.system.name", "postgresql"],
  ["server.address", "here"]
] as const

/** What a use of each constructor asks for and gives, the spans of a tracer included where one is set. */
const observe = (make: typeof makeStock, use: Use, around: Around, traced: boolean) =>
  Effect.gen(function* () {
    const calls: Array<Call> = []
    const spans: Array<SeenSpan> = []
    const sql = make(calls, attributes)
    const run = around(Effect.suspend(() => use(sql)))
    const exit = yield* Effect.exit(
      traced ? Effect.withTracer(Effect.withSpan(run, "caller"), recordingTracer(spans)) : run
    )
    return { calls, spans, exit }
  })

const expectAlike = (use: Use, around: Around = (effect) => effect, traced = false) =>
  Effect.gen(function* () {
    const stock = yield* observe(makeStock, use, around, traced)
    const light = yield* observe(makeLight, use, around, traced)
    expect(light).toEqual(stock)
    expect(light.calls.length).toBeGreaterThan(0)
    return light
  })

const users = [
  { userId: 1, userName: "Ada" },
  { userId: 2, userName: "Bob" }
]

const templates: Record<string, Use> = {
  "no params": (sql) => sql`select 1`,
  "params of all kinds": (sql) => sql`select ${1}, ${"a"}, ${null}, ${new Date(0)}, ${[1, 2]}, ${true}, ${10n}`,
  identifiers: (sql) => sql`select ${sql("userId")} from ${sql("public.userTable")}`,
  "insert of one": (sql) => sql`insert into users ${sql.insert({ userId: 1, userName: "Ada" })}`,
  "insert of many, returning": (sql) => sql`insert into users ${sql.insert(users).returning("*")}`,
  "returning a fragment": (sql) => sql`insert into users ${sql.insert(users).returning(sql("userId"))}`,
  "update of one": (sql) => sql`update users set ${sql.update(users[0]!, ["userId"])} where id = ${1}`,
  "update of many": (sql) => sql`update users set name = data.name from ${sql.updateValues(users, "data")}`,
  "in, as a list": (sql) => sql`select * from users where id in ${sql.in([1, 2, 3])}`,
  "in, of a column": (sql) => sql`select * from users where ${sql.in("userId", [1, 2])}`,
  "in, of nothing": (sql) => sql`select * from users where ${sql.in("userId", [])}`,
  "and, or": (sql) => sql`select * from users where ${sql.and([sql`a = ${1}`, sql.or(["b", sql`c = ${2}`])])}`,
  "csv, join": (sql) =>
    sql`select 1 ${sql.csv("order by", ["a", sql`b`])} ${sql.join(" + ", true, "0")([sql`${1}`, sql`${2}`])}`,
  literal: (sql) => sql`select ${sql.literal("now()")}`,
  "a statement in a statement": (sql) => sql`select * from (${sql`select ${1}`}) s where x = ${2}`,
  unsafe: (sql) => sql.unsafe("select $1::int", [7]),
  "unsafe in a template": (sql) => sql`select ${1} from (${sql.unsafe("select $1", [2])}) s`,
  "on dialect": (sql) =>
    sql`select ${sql.onDialect({ pg: () => sql`pg`, sqlite: () => sql`no`, mysql: () => sql`no`, mssql: () => sql`no`, clickhouse: () => sql`no` })}
      ${sql.onDialectOrElse({ mysql: () => sql`no`, orElse: () => sql`else` })}`,
  failing: (sql) => sql`select fails`
}

const operations: Record<string, (statement: Statement.Statement<unknown>) => Effect.Effect<unknown, SqlError>> = {
  execute: (statement) => statement,
  values: (statement) => statement.values,
  raw: (statement) => statement.raw,
  withoutTransform: (statement) => statement.withoutTransform,
  unprepared: (statement) => statement.unprepared,
  stream: (statement) => Stream.runCollect(statement.stream),
  "stream, in part": (statement) => Stream.runHead(statement.stream)
}

const asStatement = (use: Use, sql: Statement.Constructor) => use(sql) as Statement.Statement<unknown>
const each = (template: Use) =>
  Object.values(operations).map(
    (perform): Use =>
      (sql) =>
        perform(asStatement(template, sql))
  )

describe("LightStatement", () => {
  for (const [name, template] of Object.entries(templates)) {
    it.effect(`does what the stock statement does: ${name}`, () =>
      Effect.forEach(each(template), (use) => expectAlike(use), { discard: true })
    )
  }

  it.effect("compiles, prints and nests as a fragment like the stock one", () =>
    Effect.sync(() => {
      for (const template of Object.values(templates)) {
        const stock = asStatement(template, makeStock([], []))
        const light = asStatement(template, makeLight([], []))
        expect(light.compile()).toEqual(stock.compile())
        expect(light.compile(true)).toEqual(stock.compile(true))
        expect(Statement.isFragment(light)).toBe(true)
        expect(JSON.parse(JSON.stringify(light, printed))).toEqual(JSON.parse(JSON.stringify(stock, printed)))
        expect(makeStock([], [])`select * from (${light})`.compile()[1]).toEqual(stock.compile()[1])
      }
    })
  )

  it.effect("runs anew each time, with the params it was made with", () =>
    Effect.gen(function* () {
      const calls: Array<Call> = []
      const statement = makeLight(calls, [])`select ${1}`
      yield* statement
      yield* Effect.all([statement, statement.values], { concurrency: 2 })
      expect(calls).toHaveLength(3)
    })
  )
})

const printed = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value)

describe("LightStatement and tracers", () => {
  for (const [name, perform] of Object.entries(operations)) {
    it.effect(`gives a tracer the span of the stock statement: ${name}`, () =>
      Effect.gen(function* () {
        const seen = yield* expectAlike((sql) => perform(sql`select ${sql("userId")}, ${1}`), undefined, true)
        expect(seen.spans.map(({ kind, name, parent }) => [name, kind, parent])).toEqual([
          ["sql.execute", "client", "caller"],
          ["caller", "internal", undefined]
        ])
        expect(seen.spans[0]!.attributes).toMatchObject({
          "db.system.name": "postgresql",
          "server.address": "here",
          "db.query.text": expect.stringContaining("select")
        })
        const failed = yield* expectAlike((sql) => perform(sql`select fails`), undefined, true)
        expect(failed.spans[0]!.failed).toBe(true)
      })
    )
  }

  it.effect("spans made by what runs below nest under it", () =>
    Effect.gen(function* () {
      const spans: Array<SeenSpan> = []
      const sql = LightStatement.makeConstructor({
        executor: {
          run: () => Effect.withSpan(Effect.succeed([]), "shard"),
          stream: () => Stream.empty,
          acquirer: Effect.dieMessage("no connection")
        },
        compiler,
        spanAttributes: [],
        transformRows: undefined
      })
      yield* Effect.withTracer(Effect.asVoid(sql`select 1`), recordingTracer(spans))
      expect(spans.map(({ name, parent }) => [name, parent])).toEqual([
        ["shard", "sql.execute"],
        ["sql.execute", undefined]
      ])
    })
  )

  it.effect("makes no span when nobody listens", () =>
    Effect.gen(function* () {
      let above: string | undefined = "unseen"
      const sql = LightStatement.makeConstructor({
        executor: {
          run: () =>
            Effect.map(Effect.option(Effect.currentSpan), (span) => {
              above = span._tag === "Some" ? span.value.name : undefined
              return []
            }),
          stream: () => Stream.empty,
          acquirer: Effect.dieMessage("no connection")
        },
        compiler,
        spanAttributes: [],
        transformRows: undefined
      })
      yield* Effect.withSpan(Effect.asVoid(sql`select 1`), "caller")
      expect(above).toBe("caller")
    })
  )
})

describe("LightStatement and transformers", () => {
  const tagging: Statement.Statement.Transformer = (statement, sql, _, span) =>
    Effect.sync(() => {
      span.attribute("tagged", true)
      return sql`/* tag */ ${statement}`
    })

  for (const [name, perform] of Object.entries(operations)) {
    it.effect(`sends what the transformer makes of it: ${name}`, () =>
      Effect.gen(function* () {
        const use: Use = (sql) => perform(sql`select ${sql("userId")}, ${1}`)
        const seen = yield* expectAlike(use, Statement.withTransformer(tagging))
        expect(seen.calls[0]![1]).toMatch(/^\/\* tag \*\/ select/)
        const traced = yield* expectAlike(use, Statement.withTransformer(tagging), true)
        expect(traced.spans[0]!.attributes).toMatchObject({
          tagged: true,
          "db.query.text": expect.stringContaining("/* tag */")
        })
      })
    )
  }

  it.effect("and nothing where it is disabled", () =>
    Effect.gen(function* () {
      const seen = yield* expectAlike(
        (sql) => Statement.withTransformerDisabled(sql`select 1`),
        Statement.withTransformer(tagging)
      )
      expect(seen.calls[0]![1]).toBe("select 1")
    })
  )
})
