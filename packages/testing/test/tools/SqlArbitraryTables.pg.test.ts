/** Rows, reads and writes over the tables of a program: a shop of many tenants. */
import { expect, it } from "@effect/vitest"
import type * as Aggregates from "@shardlayer/core/merge/Aggregates"
import type * as Prune from "@shardlayer/core/plan/Prune"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as SqlArbitrary from "@shardlayer/testing/SqlArbitrary"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import pg from "pg"
import { afterEach, vi } from "vitest"

const broken = vi.hoisted(() => ({ sums: false, lists: false }))

vi.mock("@shardlayer/core/merge/Aggregates", async (original) => {
  const real = await original<typeof Aggregates>()
  return {
    ...real,
    make: (...[aggregate, ...rest]: Parameters<typeof Aggregates.make>) =>
      real.make(broken.sums && aggregate._tag === "Sum" ? { ...aggregate, _tag: "Max" } : aggregate, ...rest)
  }
})

vi.mock("@shardlayer/core/plan/Prune", async (original) => {
  const real = await original<typeof Prune>()
  return {
    ...real,
    keysOf: (...args: Parameters<typeof Prune.keysOf>) =>
      Either.map(real.keysOf(...args), (found) =>
        broken.lists && found._tag === "Keys" && found.keys.length > 1 ? { ...found, keys: found.keys.slice(1) } : found
      )
  }
})

afterEach(() => {
  broken.sums = false
  broken.lists = false
})

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { tenant: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    currencies: Table.reference(),
    tenants: Table.sharded({ key: "id", keyspace: "tenant" }),
    products: Table.sharded({ key: "tenant_id", keyspace: "tenant" }),
    orders: Table.sharded({ key: "tenant_id", keyspace: "tenant" }),
    lines: Table.sharded({ key: "tenant_id", keyspace: "tenant" }),
    settings: Table.single("shard_2")
  }
})

const schema = [
  "create type status as enum ('open', 'paid', 'sent')",
  "create domain email as text check (value ~ '@')",
  "create table currencies (code char(3) primary key, name text not null)",
  "create table tenants (id int8 primary key, mail email not null, since timestamptz not null, plan text not null check (plan in ('free', 'pro')))",
  `create table products (tenant_id int8 references tenants, id uuid, title varchar(12) not null, price numeric(10, 2) not null check (price > 0),
     tags text[] not null default '{}', details jsonb, primary key (tenant_id, id), unique (tenant_id, title))`,
  `create table orders (tenant_id int8, id int4, state status not null default 'open', placed timestamptz, "limit" int4, used int4,
     currency char(3) references currencies, primary key (tenant_id, id), foreign key (tenant_id) references tenants,
     check (used <= "limit"))`,
  `create table lines (tenant_id int8, order_id int4, nth int2, product uuid, amount int4 not null default 1 check (amount between 1 and 99),
     unit numeric(10, 2) not null, total numeric generated always as (amount * unit) stored, primary key (tenant_id, order_id, nth),
     foreign key (tenant_id, order_id) references orders, foreign key (tenant_id, product) references products (tenant_id, id))`,
  "create table settings (id int8 generated always as identity primary key, name text unique, place point not null default '(0,0)')",
  "create view paid as select tenant_id, id, placed from orders where state = 'paid'"
]

const sample = <A>(arbitrary: FastCheck.Arbitrary<A>, numRuns: number, seed = 5) =>
  FastCheck.sample(arbitrary, { numRuns, seed })

const codeOf = (cause: unknown): string => (cause instanceof pg.DatabaseError ? (cause.code ?? "") : String(cause))

/** The shop with rows. */
const filled = Effect.map(SqlArbitrary.introspect({ topology, schema }), (shop) => {
  const [one] = sample(SqlArbitrary.rows(shop), 1)
  return one ?? shop
})

const statementsOf = (shop: SqlArbitrary.ProgramSchema) =>
  FastCheck.oneof({ weight: 2, arbitrary: SqlArbitrary.statement(shop) }, SqlArbitrary.write(shop))

it.live("what is read of the tables, and what is left out", () =>
  Effect.gen(function* () {
    const shop = yield* SqlArbitrary.introspect({
      topology,
      schema,
      seed: ["insert into currencies values ('EUR', 'Euro')"],
      values: { "settings.name": ["of the program"] }
    })
    const { source, leftOut } = shop
    expect(leftOut).toEqual([
      "products.details: in no expression, its type or collation is not known",
      "settings.place: in no expression, its type or collation is not known"
    ])
    const table = (of: string) => source.tables.tables.find(({ name }) => name === of)
    const column = (of: string, named: string) => table(of)?.columns.find(({ name }) => name === named)
    expect(source.tables.enum).toEqual({ type: "status", labels: ["open", "paid", "sent"] })
    expect(table("currencies")?.rows).toEqual([["EUR", "Euro"]])
    expect(column("tenants", "plan")?.values).toEqual(["free", "pro"])
    expect(column("lines", "amount")).toMatchObject({ kind: "int4", given: "constant", openMax: 99, nullable: false })
    expect(column("lines", "total")).toMatchObject({ kind: "numeric", given: "computed", values: [] })
    expect(column("settings", "id")).toMatchObject({ given: "overridden", openMax: 30_000 })
    expect(column("products", "details")?.values).toContain('{"a": 1}')
    const prices = column("products", "price")?.values ?? []
    expect(prices.length).toBeGreaterThan(3)
    for (const price of prices) expect(Number(price)).not.toBeLessThanOrEqual(0)
    expect(column("products", "title")?.openMax).toBe(30_000)
    expect(column("settings", "name")?.values[0]).toBe("of the program")
    expect(table("orders")?.tied).toMatchObject([{ columns: ["used", "limit"] }])
    expect(column("tenants", "mail")?.values).toEqual(["@"])
  })
)

it.live("a statement of the schema that fails is an error of its own", () =>
  Effect.gen(function* () {
    const failed = yield* Effect.flip(SqlArbitrary.introspect({ topology, schema: ["create table t (a nothing)"] }))
    expect(failed).toMatchObject({ _tag: "SchemaFailed", sql: "create table t (a nothing)" })
    expect(failed.message).toContain('type "nothing" does not exist')
  })
)

it.live("nearly every statement is one that one PostgreSQL takes", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const shop = yield* filled
      const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
      const run = (sql: string, params?: ReadonlyArray<unknown>) => cluster.query("shard_1", sql, params)
      for (const sql of [...shop.schema, ...shop.seed]) yield* run(sql)
      const failed: Array<string> = []
      const statements = [...sample(SqlArbitrary.statement(shop), 200), ...sample(SqlArbitrary.write(shop), 200)]
      for (const { params, sql } of statements) {
        yield* Effect.catchTag(run(sql, params), "ServerQueryFailed", ({ cause }) =>
          Effect.sync(() => void failed.push(codeOf(cause)))
        )
      }
      // Of reads some fail on purpose.
      expect(failed.length).toBeLessThan(statements.length / 25)
      const codes = new Set(["23503", "23505", "23514"])
      expect(failed.filter((one) => codes.has(one)).length).toBeLessThan(200 / 20)
    })
  )
)

it.live("one PostgreSQL and shards answer them alike", () =>
  Effect.gen(function* () {
    const shop = yield* filled
    const statements = sample(statementsOf(shop), 60)
    const report = yield* Oracle.differential({ ...shop, statements })
    expect(report.compared).toBeGreaterThan(40)
    expect(report.compared + report.refused.length + report.undetermined.length).toBe(60)
  })
)

it.live("rows shrink to those that others refer to", () =>
  Effect.gen(function* () {
    const shop = yield* SqlArbitrary.introspect({ topology, schema })
    const rows = SqlArbitrary.rows(shop)
    expect(sample(rows, 3)).toEqual(sample(rows, 3))
    const countOf = ({ source }: SqlArbitrary.ProgramSchema, of: string) =>
      source.tables.tables.find(({ name }) => name === of)?.rows.length ?? 0
    const { counterexample } = FastCheck.check(
      FastCheck.property(rows, (one) => countOf(one, "lines") < 2),
      { seed: 1 }
    )
    const [shrunk] = counterexample ?? []
    if (shrunk === undefined) throw new Error("no rows have two lines")
    expect(countOf(shrunk, "lines")).toBe(2)
    expect(countOf(shrunk, "settings")).toBe(0)
    expect(countOf(shrunk, "orders")).toBeLessThanOrEqual(2)
    const tenants = countOf(shrunk, "tenants")
    expect(tenants).toBeGreaterThan(0)
    expect(tenants).toBeLessThanOrEqual(countOf(shrunk, "orders"))
    // They still go in.
    const [line] = sample(SqlArbitrary.write(shrunk), 1)
    expect((yield* Oracle.differential({ ...shrunk, statements: line === undefined ? [] : [line] })).compared).toBe(1)
  })
)

/** The first statement that differs, cut as far as it still does. */
const foundBy = (shop: SqlArbitrary.ProgramSchema, sides: Oracle.Sides, broken: () => void, numRuns: number) =>
  Effect.map(
    Effect.promise(async () => {
      broken()
      const holds = FastCheck.asyncProperty(SqlArbitrary.statement(shop), async (statement) => {
        const answered = await Effect.runPromise(Effect.either(sides.statements([statement])))
        return Either.isRight(answered)
      })
      return FastCheck.check(holds, { seed: 2, numRuns })
    }),
    ({ counterexample }) => counterexample?.[0]
  )

it.live(
  "mistakes of the router are found in them, and shrink to short statements",
  () =>
    Effect.scoped(
      Effect.gen(function* () {
        const shop = yield* filled
        const sides = yield* Oracle.make(shop)
        const sum = yield* foundBy(shop, sides, () => (broken.sums = true), 2_000)
        expect(sum?.sql).toMatch(/sum\(|avg\(|count\(/)
        expect(sum?.sql.length).toBeLessThan(100)
        broken.sums = false
        const list = yield* foundBy(shop, sides, () => (broken.lists = true), 2_000)
        expect(list?.sql).toMatch(/tenant_id|tenants/)
        expect(list?.sql.length).toBeLessThan(250)
      })
    ),
  180_000
)
