/**
 * A sales report over all shards: `npm run example:report`.
 *
 * A mail-order company has its customers, and with each customer the orders, on four PostgreSQL servers; the products are
 * few, and on all of them. Ten questions about everything are asked in the SQL that one server would be asked in. Below
 * each stands which way it took: what your process adds up, what one of the servers finishes, and what it takes for that.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Statement } from "@effect/sql/Statement"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type { Row } from "./compare.js"
import { runIfMain } from "./runMain.js"
import * as Tell from "./tell.js"

/** Customers and their orders share a key, so they share a server. */
export const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3", "shard_4"],
  keyspaces: { customer: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    customers: Table.sharded({ key: "id", keyspace: "customer" }),
    orders: Table.sharded({ key: "customer", keyspace: "customer" }),
    products: Table.reference()
  }
})

export const schema: ReadonlyArray<string> = [
  "CREATE TABLE products (id int4 PRIMARY KEY, name text NOT NULL, category text NOT NULL, price numeric(8, 2) NOT NULL)",
  "CREATE TABLE customers (id int8 PRIMARY KEY, name text NOT NULL, country text NOT NULL, advised_by int8)",
  `CREATE TABLE orders (
     customer int8 REFERENCES customers, no int4, placed date NOT NULL, product int4 NOT NULL REFERENCES products,
     pieces int4 NOT NULL, PRIMARY KEY (customer, no)
   )`
]

interface Question {
  readonly title: string
  readonly ask: (sql: SqlClient.SqlClient) => Statement<Row>
}

export const questions: ReadonlyArray<Question> = [
  {
    title: "Turnover by country. Each shard adds up its own; what they say is added up here",
    ask: (sql) => sql`
      SELECT c.country, count(*) AS orders, sum(o.pieces * p.price) AS turnover
      FROM orders o JOIN customers c ON c.id = o.customer JOIN products p ON p.id = o.product
      GROUP BY c.country ORDER BY turnover DESC`
  },
  {
    title: "The best customers. All of a customer is on one shard: the best five of each are enough",
    ask: (sql) => sql`
      SELECT c.id, c.name, sum(o.pieces * p.price) AS turnover
      FROM customers c JOIN orders o ON o.customer = c.id JOIN products p ON p.id = o.product
      GROUP BY c.id, c.name ORDER BY turnover DESC, c.id LIMIT 5`
  },
  {
    title:
      "How many different customers, products and countries. Each shard gives its different ones; they are counted here",
    ask: (sql) => sql`
      SELECT count(DISTINCT o.customer) AS customers, count(DISTINCT o.product) AS products,
             count(DISTINCT c.country) AS countries
      FROM orders o JOIN customers c ON c.id = o.customer`
  },
  {
    title: "The median order and the upper tenth. A percentile needs every value",
    ask: (sql) => sql`
      SELECT p.category, percentile_cont(0.5) WITHIN GROUP (ORDER BY o.pieces * p.price) AS median,
             percentile_disc(0.9) WITHIN GROUP (ORDER BY o.pieces * p.price) AS upper_tenth
      FROM orders o JOIN products p ON p.id = o.product
      GROUP BY p.category ORDER BY p.category`
  },
  {
    title: "By country and category, with subtotals and a total. ROLLUP over the groups of all shards",
    ask: (sql) => sql`
      SELECT c.country, p.category, sum(o.pieces) AS pieces
      FROM orders o JOIN customers c ON c.id = o.customer JOIN products p ON p.id = o.product
      GROUP BY ROLLUP (c.country, p.category) ORDER BY c.country NULLS LAST, p.category NULLS LAST`
  },
  {
    title: "Month by month, with the sum so far and the change. Windows over sums of all shards",
    ask: (sql) => sql`
      SELECT month, turnover, sum(turnover) OVER (ORDER BY month) AS so_far,
             turnover - lag(turnover) OVER (ORDER BY month) AS change
      FROM (
        SELECT date_trunc('month', o.placed)::date AS month, sum(o.pieces * p.price) AS turnover
        FROM orders o JOIN products p ON p.id = o.product GROUP BY 1
      ) AS months ORDER BY month`
  },
  {
    title: "The best product of each country. A rank among groups of all shards",
    ask: (sql) => sql`
      SELECT country, product, pieces FROM (
        SELECT c.country, p.name AS product, sum(o.pieces) AS pieces,
               rank() OVER (PARTITION BY c.country ORDER BY sum(o.pieces) DESC, p.name) AS place
        FROM orders o JOIN customers c ON c.id = o.customer JOIN products p ON p.id = o.product
        GROUP BY c.country, p.name
      ) AS ranked WHERE place = 1 ORDER BY country`
  },
  {
    title: "Customers by name, as people sort them. Only PostgreSQL knows its collations: it merges",
    ask: (sql) => sql`
      SELECT name, country FROM customers WHERE id <= ${40} ORDER BY name COLLATE "en-x-icu", id LIMIT 8`
  },
  {
    title: "Norwegians whom a foreigner advised. Two customers, two shards: the rows it takes are brought together",
    ask: (sql) => sql`
      SELECT c.id, c.name, a.name AS advised_by
      FROM customers c JOIN customers a ON a.id = c.advised_by
      WHERE c.country = ${"NO"} AND a.country <> ${"NO"} ORDER BY c.id`
  },
  {
    title: "One customer's year. The key is named, so one server answers: what most of a program's questions are like",
    ask: (sql) => sql`
      SELECT extract(quarter FROM o.placed) AS quarter, count(*) AS orders, sum(o.pieces * p.price) AS turnover
      FROM orders o JOIN products p ON p.id = o.product
      WHERE o.customer = ${7} GROUP BY 1 ORDER BY 1`
  }
]

/** The answers, on whatever client. */
export const answers: Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, SqlError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => Effect.forEach(questions, ({ ask }) => ask(sql))
)

export const report = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* Tell.heading("400 customers and their orders, through the router")
  for (const statement of schema) yield* sql.unsafe(statement)
  yield* fill
  yield* Tell.statement(sql`SELECT count(*) AS orders, min(placed) AS first, max(placed) AS last FROM orders`)
  for (const { ask, title } of questions) {
    yield* Tell.heading(title)
    yield* Tell.statement(ask(sql))
  }
})

/** The same rows wherever it runs, and as many as an INSERT takes well. */
export const fill: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO products ${sql.insert(products)}`
  for (const some of Arr.chunksOf(customers, 200)) yield* sql`INSERT INTO customers ${sql.insert(some)}`
  for (const some of Arr.chunksOf(orders, 1_000)) yield* sql`INSERT INTO orders ${sql.insert(some)}`
})

const products = ["Kettle", "Lamp", "Rug", "Atlas", "Novel", "Cookbook", "Tea", "Coffee", "Honey"].map(
  (name, index) => ({
    id: index + 1,
    name,
    category: ["house", "books", "food"][Math.floor(index / 3)],
    price: (4.5 + index * 3.35).toFixed(2)
  })
)

const firstNames = ["Åsa", "Zoë", "Émile", "Ana", "Öykü", "Eva", "andrea", "Łucja", "Bo", "Ángel"]
const lastNames = ["Berg", "de Vries", "Ørsted", "Nuñez", "O’Hara", "Özil", "Andersen", "Dvořák", "Muller", "Müller"]

const customers = Array.from({ length: 400 }, (_, index) => ({
  id: index + 1,
  name: `${firstNames[(index * 3) % 10]} ${lastNames[(index * 7 + Math.floor(index / 10)) % 10]}`,
  country: ["NO", "DE", "ES", "TR", "PL", "NO", "DE"][index % 7],
  advised_by: index % 3 === 0 ? null : 1 + ((index * 31) % 400)
}))

const orders = customers.flatMap(({ id }) =>
  Array.from({ length: 5 + (id % 17) }, (_, index) => ({
    customer: id,
    no: index + 1,
    placed: new Date(Date.UTC(2025, 0, 1 + ((id * 13 + index * 29) % 365))).toISOString().slice(0, 10),
    product: 1 + ((id + index * index) % products.length),
    pieces: 1 + ((id * 7 + index * 3) % 6)
  }))
)

/** Four servers of its own, and the router over them. */
runIfMain(import.meta.url, Effect.provide(report, PgCluster.layer({ topology })))
