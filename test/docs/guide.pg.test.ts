/** The code of docs/guide.md runs as it stands there. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { expect, it } from "@effect/vitest"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as StartReport from "@shardlayer/core/topology/StartReport"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import type * as ShardMigrator from "@shardlayer/pg/ShardMigrator"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import type { SpanExporter } from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { vi } from "vitest"
import { addressed, page, printed } from "./page.js"

const guide = page("docs/guide.md")

type Database = Layer.Layer<PgRouter.Provided, unknown>
/** What an example is: anything over the router. */
type Program<A = unknown> = Effect.Effect<A, unknown, PgRouter.Provided>

const users = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    accounts: Table.sharded({ key: "id", keyspace: "user" })
  }
})
const generated = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user", generate: { id: Id.snowflake() } }),
    orders: Table.sharded({ key: "user_id", keyspace: "user" })
  }
})
const people = "create table users (id int8 primary key, name text, country text, online boolean)"
const six = `insert into users values (1, 'Ada', 'uk', true), (2, 'Grace', 'us', false), (3, 'Edsger', 'nl', true),
  (4, 'Barbara', 'us', true), (5, 'Tony', 'uk', false), (6, 'Radia', 'us', true)`

/** Six users on two shards, in databases of their own. */
const shop = (more = ""): Database =>
  PgCluster.layer({
    mode: "databases",
    topology: users,
    schema: Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.forEach([people, six, ...(more === "" ? [] : [more])], (text) => sql.unsafe(text))
    )
  })

const over = (database: Database) => Effect.provide(database)

const ask = (text: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<{ readonly [column: string]: unknown }>(text))

guide.runs<{ topology: Topology.Topology }>("topology ts", ({ topology }) =>
  Effect.gen(function* () {
    const router = yield* ShardRouter.ShardRouter
    const { stores, users } = topology.tables as Record<string, Table.Sharded<string, readonly ["text"]>>
    expect(yield* router.locate(users as never, 42 as never)).toBe("shard_3")
    expect(yield* router.locate(stores!, "at")).toBe("shard_1")
    expect(yield* router.locate(stores!, "ca")).toBe("shard_2")
    expect(yield* router.locate(stores!, "fr")).toBe("shard_3")
    yield* ask("insert into users values (42)")
    expect(yield* ShardRouter.onShard(ask("select id from users"), "shard_3")).toEqual([{ id: "42" }])
    yield* ask("insert into stores values ('at', 1), ('fr', 2)")
    expect(yield* ShardRouter.onShard(ask("select country from stores"), "shard_1")).toEqual([{ country: "at" }])
  }).pipe(
    over(
      PgCluster.layer({
        mode: "databases",
        topology,
        schema: `create table users (id int8 primary key); create table orders (user_id int8, id int8, primary key (user_id, id));
          create table stores (country text, id int8, primary key (country, id));
          create table countries (code text primary key)`
      })
    )
  )
)

guide.runs<{ Database: Database; rename: (id: number, name: string) => Program }>("the-router ts", (the) =>
  Effect.gen(function* () {
    const cluster = yield* addressed({ shards: 2 })
    for (const id of ["shard_1", "shard_2"]) yield* cluster.query(id, people)
    const renamed = Effect.zipRight(ask("insert into users (id, name) values (1, 'Ada')"), the.rename(1, "Augusta"))
    expect(yield* renamed.pipe(over(the.Database))).toEqual([{ id: "1", name: "Augusta" }])
  })
)

guide.runs<{ examples: Program<ReadonlyMap<string, ReadonlyArray<{ count: string }>>> }>(
  "choosing-the-shard-by-hand ts",
  ({ examples }) =>
    Effect.gen(function* () {
      const counts = yield* examples
      const numbers = [...counts.values()].map(([row]) => Number(row?.count))
      expect([...counts.keys()]).toEqual(["shard_1", "shard_2"])
      expect(numbers.reduce((sum, count) => sum + count)).toBe(6)
    }).pipe(over(shop()))
)

guide.runs<{ busiest: Program }>("several-shards ts", ({ busiest }) =>
  Effect.gen(function* () {
    expect(yield* busiest).toEqual([
      { country: "us", users: "3" },
      { country: "uk", users: "2" },
      { country: "nl", users: "1" }
    ])
  }).pipe(over(shop()))
)

guide.runs<{ Database: Database }>("the-coordinator ts", ({ Database }) =>
  Effect.gen(function* () {
    const cluster = yield* addressed({ shards: 3 })
    vi.stubEnv("COMBINER_URL", process.env["SHARD_3_URL"])
    for (const id of ["shard_1", "shard_2"]) yield* cluster.query(id, people)
    const median = ask("select percentile_cont(0.5) within group (order by id) as median from users")
    // One by one: nothing is installed for transactions over several shards.
    const added = Effect.forEach([1, 2, 3, 4, 5, 6], (id) => ask(`insert into users (id) values (${id})`))
    const filled = Effect.zipRight(added, median)
    expect(yield* filled.pipe(over(Database))).toEqual([{ median: 3.5 }])
  })
)

guide.runs<{ program: Program<Record<string, unknown>> }>("models ts", ({ program }) =>
  Effect.gen(function* () {
    const found = yield* program
    expect(found).toMatchObject({
      total: 1,
      order: { left: { _tag: "RowNotFound" } },
      found: { value: { name: "Ada" } }
    })
  }).pipe(
    over(
      PgCluster.layer({
        mode: "databases",
        topology: generated,
        schema: `create table users (id int8 primary key, name text not null, active boolean not null, age int);
          create table orders (user_id int8, no int, price numeric not null, primary key (user_id, no))`
      })
    )
  )
)

guide.runs<{ topology: Topology.Topology; program: Program }>("ids ts", ({ program, topology }) =>
  Effect.gen(function* () {
    yield* program
    const users = yield* ask("select id, name from users")
    expect(users.map(({ name }) => name).sort()).toEqual(["Ada", "Edsger", "Grace"])
    expect(new Set(users.map(({ id }) => id)).size).toBe(3)
    const [order] = yield* ask("select o.id, o.token, u.name from orders o join users u on u.id = o.user_id")
    expect(order).toEqual({ id: "1", token: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/), name: "Edsger" })
  }).pipe(
    over(
      PgCluster.layer({
        mode: "databases",
        topology,
        schema: `create table users (id int8 primary key, name text);
          create table orders (user_id int8, id int8, token uuid, primary key (user_id, id))`
      })
    )
  )
)

guide.runs<{ search: (country: string) => Program }>("policies ts", ({ search }) =>
  Effect.gen(function* () {
    expect(yield* search("us")).toHaveLength(3)
  }).pipe(over(shop()))
)

guide.runs<{
  online: (router: ShardRouter.ShardRouterService, sql: SqlClient.SqlClient) => Effect.Effect<ReadonlyArray<unknown>>
}>("partial-rows ts", ({ online }) => {
  return Effect.gen(function* () {
    const [router, sql, cluster] = yield* Effect.all([
      ShardRouter.ShardRouter,
      SqlClient.SqlClient,
      PgCluster.PgCluster
    ])
    expect(yield* online(router, sql)).toHaveLength(4)
    yield* cluster.kill("shard_2")
    const left = yield* online(router, sql)
    expect(left).toEqual(yield* ShardRouter.onShard(ask("select id from users where online order by id"), "shard_1"))
  }).pipe(Effect.provide(PgCluster.layer({ topology: users, schema: Effect.andThen(ask(people), ask(six)) })))
})

guide.runs<{ sizes: Program; forget: Program }>("cached-answers ts", ({ forget, sizes }) =>
  Effect.gen(function* () {
    const before = yield* sizes
    // Not by the router, so it does not hear of it.
    const cluster = yield* PgCluster.PgCluster
    yield* cluster.query("shard_1", "truncate users")
    expect(yield* sizes).toEqual(before)
    yield* forget
    expect(yield* sizes).not.toEqual(before)
  }).pipe(
    Effect.provide(
      PgCluster.layer({ mode: "databases", topology: users, schema: Effect.andThen(ask(people), ask(six)) })
    )
  )
)

const plan = guide.text("explain text")
const analyzed = guide.text("explain text 2")

/** Times, costs and how many rows there happened to be. */
const shaped = (text: string) => text.replaceAll(/\d+(\.\d+)?/g, "0").replaceAll(/ +/g, " ")

guide.runs<{ program: Program }>("explain ts", ({ program }) =>
  Effect.gen(function* () {
    const [text = "", withTimes = ""] = yield* printed(program)
    expect(`${text}\n`).toBe(plan)
    // What stands in for what was left out ends a shard's plan.
    const [answer = "", ...ran] = analyzed.split(/\n(?=ran:)/)
    expect(shaped(withTimes)).toContain(shaped(answer))
    for (const part of ran) expect(shaped(withTimes)).toContain(shaped(part.split("…")[0]!.trimEnd()))
  }).pipe(over(shop("insert into users (id, name) select n, 'n' || n from generate_series(7, 900) n")))
)

guide.runs<{ transfer: (from: number, to: number, amount: number) => Program }>("transactions ts", ({ transfer }) =>
  Effect.gen(function* () {
    yield* ask("insert into accounts select n, 100 from generate_series(1, 8) n")
    const router = yield* ShardRouter.ShardRouter
    const shards = yield* Effect.forEach([1, 3], (id) => router.locate(users.tables.accounts, id))
    expect(new Set(shards).size).toBe(2)
    yield* transfer(1, 3, 30)
    expect(yield* ask("select id, balance from accounts where balance <> 100 order by id")).toEqual([
      { id: "1", balance: 70 },
      { id: "3", balance: 130 }
    ])
    expect(yield* router.inDoubt).toEqual([])
  }).pipe(over(shop("create table accounts (id int8 primary key, balance int)")))
)

guide.runs<{ patient: <A, R>(effect: Effect.Effect<A, SqlError, R>) => Effect.Effect<A, SqlError, R> }>(
  "errors ts",
  ({ patient }) =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      let tries = 0
      const tried = (text: string) =>
        Effect.suspend(() => {
          tries += 1
          return ask(text)
        })
      yield* cluster.kill("shard_1")
      yield* Effect.fork(Effect.delay(cluster.restart("shard_1"), "200 millis"))
      expect(yield* patient(tried("select count(*)::int as n from users"))).toEqual([{ n: 6 }])
      expect(tries).toBeGreaterThan(1)

      tries = 0
      const wrong = yield* Effect.flip(patient(tried("select 1 / (id - id) as n from users")))
      expect(wrong).toMatchObject({ cause: { _tag: "StatementFailed" } })
      expect(tries).toBe(1)
    }).pipe(Effect.provide(PgCluster.layer({ topology: users, schema: Effect.andThen(ask(people), ask(six)) })))
)

guide.runs<{ names: Program }>("prepared-statements ts", ({ names }) =>
  Effect.gen(function* () {
    expect(yield* names).toEqual([[{ name: "Ada" }], [{ name: "Grace" }], [{ name: "Edsger" }]])
  }).pipe(over(shop()))
)

const document = guide.text("configuration-and-the-look-at-start json")

/** The document of the guide as a file, the shards empty but for its tables. */
const configured = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "shardlayer-docs-"))),
    (made) => Effect.promise(() => rm(made, { recursive: true }))
  )
  const file = join(folder, "topology.json")
  yield* Effect.promise(() => writeFile(file, document))
  vi.stubEnv("TOPOLOGY_FILE", file)
  const cluster = yield* addressed({ shards: 2 })
  const tables = `create table users (id int8 primary key, name text); create table countries (code text primary key)`
  yield* cluster.query("shard_1", `${tables}; create table settings (key text primary key)`)
  yield* cluster.query("shard_2", tables)
  return { cluster, folder }
})

guide.runs<{ Database: Database }>("configuration-and-the-look-at-start ts", ({ Database }) =>
  Effect.gen(function* () {
    yield* configured
    const added = Effect.zipRight(ask("insert into users values (1, 'Ada')"), ask("select name from users order by id"))
    expect(yield* added.pipe(over(Database))).toEqual([{ name: "Ada" }])
  })
)

guide.runs<{ preflight: Effect.Effect<void, unknown> }>("the-look-at-start ts", ({ preflight }) =>
  Effect.gen(function* () {
    const { folder } = yield* configured
    const [from, exitCode] = [process.cwd(), process.exitCode]
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        process.chdir(from)
        process.exitCode = exitCode
      })
    )
    process.chdir(folder)
    const [report] = yield* printed(preflight)
    expect(report).toMatch(/^0 errors, \d+ warnings? \(2 shards, epoch 1\)/)
    expect(process.exitCode).toBe(0)
  })
)

const report = guide.text("the-look-at-start text")

it.scopedLive("the-look-at-start text", () =>
  Effect.gen(function* () {
    const settings = { max_prepared_transactions: 0 }
    const cluster = yield* PgCluster.make({ shards: 2, mode: "databases", shared: false, settings })
    for (const id of ["shard_1", "shard_2"]) {
      yield* cluster.query(
        id,
        `create table accounts (id int8 primary key, email text, constraint accounts_email_key unique (email));
        create table notes (user_id int8, id int8, unique (user_id, id))`
      )
    }
    const shards = Object.fromEntries(cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url })]))
    const two = Topology.make({ shards: ["shard_1", "shard_2"], keyspaces: {}, tables: {} })
    yield* Effect.scoped(Layer.build(PgRouter.layer({ topology: two, shards, install: true })))
    const found = yield* PgRouter.report({
      topology: Topology.make({
        shards: ["shard_1", "shard_2", "shard_3"],
        keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
        tables: {
          accounts: Table.sharded({ key: "id", keyspace: "user" }),
          notes: Table.sharded({ key: "user_id", keyspace: "user" })
        }
      }),
      shards: {
        ...shards,
        shard_3: PgShard.layer({ url: Redacted.make("postgres://postgres@127.0.0.1:1/shop") })
      }
    })
    expect(StartReport.format(found).replace("127.0.0.1:1", "10.0.0.3:5432") + "\n").toBe(report)
  })
)

guide.runs<{ load: Effect.Effect<number, unknown, PgRouter.Provided | FileSystem.FileSystem> }>(
  "loading-data ts",
  ({ load }) => {
    const files = new Map([["users.csv", "id,name\n3,Edsger\n4,Barbara\n"]])
    const disk = FileSystem.layerNoop({
      stream: (name) => Stream.make(new TextEncoder().encode(files.get(name))),
      sink: (name) =>
        Sink.forEach((bytes: Uint8Array) =>
          Effect.sync(() => files.set(name, (files.get(name) ?? "") + new TextDecoder().decode(bytes)))
        )
    })
    return Effect.gen(function* () {
      expect(yield* load).toBe(2)
      const [header, ...rows] = files.get("all.csv")!.trimEnd().split("\n")
      expect([header, ...rows.sort()]).toEqual(["id,name", "1,Ada", "2,Grace", "3,Edsger", "4,Barbara"])
    }).pipe(
      Effect.provide(disk),
      over(
        PgCluster.layer({
          mode: "databases",
          topology: users,
          schema: "create table users (id int8 primary key, name text)"
        })
      )
    )
  }
)

const archiving = guide.text("parts-of-one-statement sql")
const archived = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }), order: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    orders: Table.sharded({ key: "user_id", keyspace: "user" }),
    orders_archive: Table.sharded({ key: "id", keyspace: "order" })
  }
})

it.scopedLive("parts-of-one-statement sql", () =>
  Effect.gen(function* () {
    yield* ask("insert into orders select i % 5, i, '2026-01-01'::date + i::int from generate_series(1, 20) i")
    yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(archiving, ["2026-01-11"]))
    expect(yield* ask("select count(*)::int as n, min(created_at)::text as least from orders")).toEqual([
      { n: 11, least: "2026-01-11" }
    ])
    expect(yield* ask("select id from orders_archive order by id")).toEqual(
      Array.from({ length: 9 }, (_, index) => ({ id: String(index + 1) }))
    )
  }).pipe(
    over(
      PgCluster.layer({
        mode: "databases",
        topology: archived,
        schema: `create table orders (user_id int8, id int8, created_at date, primary key (user_id, id));
          create table orders_archive (user_id int8, id int8 primary key, created_at date)`
      })
    )
  )
)

const changes = guide.text("changing-the-schema sql")
const many = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }), countries: Table.reference() }
})

it.scopedLive("changing-the-schema sql", () =>
  Effect.gen(function* () {
    yield* ask(changes)
    yield* ask("insert into users values (1, 'Ada', 'calm'), (2, 'Grace', 'wild')")
    expect(yield* ask("select name, mood from users order by id")).toEqual([
      { name: "Ada", mood: "calm" },
      { name: "Grace", mood: "wild" }
    ])
    const copies = yield* ShardRouter.onAllShards(ask("select name from countries"))
    expect(Object.fromEntries(copies)).toEqual({ shard_1: [{ name: "Germany" }], shard_2: [{ name: "Germany" }] })
  }).pipe(
    over(
      PgCluster.layer({
        mode: "databases",
        topology: many,
        schema: "create table countries (code text primary key, name text)"
      })
    )
  )
)

guide.runs<{ migrate: Program<ShardMigrator.Report> }>("changing-the-schema ts", ({ migrate }) =>
  Effect.gen(function* () {
    expect((yield* migrate).applied.map(({ id }) => id)).toEqual([1, 2])
    expect((yield* migrate).applied).toEqual([])
    const indexes = yield* ShardRouter.onAllShards(
      ask("select indexname from pg_indexes where indexname = 'users_name'")
    )
    expect([...indexes.values()]).toEqual([[{ indexname: "users_name" }], [{ indexname: "users_name" }]])
  }).pipe(over(PgCluster.layer({ mode: "databases", topology: many })))
)

guide.runs<{ test: Effect.Effect<unknown, unknown> }>("testing ts", ({ test }) => test)

const spans: Array<string> = []
const exporter: SpanExporter = {
  export: (ended, done) => {
    spans.push(...ended.map(({ name }) => name))
    done({ code: 0 })
  },
  shutdown: () => Promise.resolve()
}

guide.runs<{ Tracing: Layer.Layer<never> }>(
  "spans ts",
  ({ Tracing }) =>
    Effect.gen(function* () {
      yield* ask("select name from users where id = 1").pipe(Effect.provide(Tracing), over(shop()))
      expect(spans).toEqual(expect.arrayContaining(["shardlayer.statement", "sql.execute"]))
    }),
  { exporter }
)

guide.runs<{ Observed: Layer.Layer<PgRouter.Provided, unknown> }>(
  "metrics ts",
  ({ Observed }) =>
    Effect.gen(function* () {
      yield* ask("select name from users where id = 1")
      const page = yield* Effect.promise(() => fetch("http://localhost:9464/metrics").then((answer) => answer.text()))
      expect(page).toMatch(/shardlayer_statements_total\{[^}]*outcome="success"[^}]*\}/)
    }).pipe(Effect.provide(Observed)),
  { Database: shop() }
)

guide.runs<{ slowParts: Effect.Effect<void> }>("events ts", ({ slowParts }) =>
  Effect.gen(function* () {
    const warned: Array<string> = []
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ message }) => void warned.push(String(message)))
    )
    const watching = yield* Effect.fork(slowParts.pipe(Effect.provide(logger)))
    yield* Effect.yieldNow()
    yield* ShardRouter.onShard(ask("select pg_sleep(0.2)"), "shard_1").pipe(
      Effect.repeat({ until: () => warned.length > 0, times: 5 })
    )
    expect(warned[0]).toMatch(/^statement on shard_1: \d+(\.\d+)? ms$/)
    yield* Fiber.interrupt(watching)
  }).pipe(over(shop()))
)

guide.ends()
