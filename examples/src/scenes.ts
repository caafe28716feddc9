/**
 * The statements that the demo tells: each shows one thing the router does, or refuses to do.
 *
 * A scene is written once, against a `SqlClient`: it runs on the routed client and, where it has an answer, on the
 * server that holds everything.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Statement } from "@effect/sql/Statement"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import type { Row } from "./compare.js"
import { topology } from "./schema.js"

/** How a program is run on the router: pinned to a key, in a transaction. */
type Around = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ShardError, R | ShardRouter.ShardRouter>

/**
 * - `Read`: one statement that changes nothing, so it can run twice: once planned, once from the plan cache. `inOrder`: its
 *   ORDER BY leaves no two rows alike, so the answers are compared row by row.
 * - `Program`: statements one after another; `around` pins them on the router and is left out elsewhere.
 * - `Refused`: fails with `error`, and nothing was sent.
 */
export type Scene =
  | {
      readonly _tag: "Read"
      readonly title: string
      readonly statement: (sql: SqlClient.SqlClient) => Statement<Row>
      readonly inOrder?: boolean
    }
  | {
      readonly _tag: "Program"
      readonly title: string
      readonly statements: (sql: SqlClient.SqlClient) => ReadonlyArray<Statement<Row>>
      readonly transaction?: boolean
      readonly around?: Around
    }
  | {
      readonly _tag: "Refused"
      readonly title: string
      readonly error: ShardError["_tag"]
      readonly statement: (sql: SqlClient.SqlClient) => Statement<Row>
      readonly around?: Around
    }

/** The rows of the last statement. */
export const run = (
  statements: ReadonlyArray<Statement<Row>>,
  sql: SqlClient.SqlClient,
  transaction: boolean
): Effect.Effect<ReadonlyArray<Row>, SqlError> => {
  const all = Effect.map(Effect.all(statements), (answers) => answers.at(-1) ?? [])
  return transaction ? sql.withTransaction(all) : all
}

const berlin = 2950159
const paris = 2988507
const lima = 3936456
const nairobi = 184745
const tokyo = 1850147

/** Between the first and one that another shard holds. */
export const transferred: ReadonlyArray<number> = [berlin, tokyo, paris, lima, nairobi]

export const scenes: ReadonlyArray<Scene> = [
  {
    _tag: "Read",
    title: "A point read: the key names the shard",
    statement: (sql) => sql`SELECT name, country, population FROM places WHERE city_id = ${tokyo}`
  },
  {
    _tag: "Read",
    title: "A list of keys: only the shards that hold them are asked",
    statement: (sql) => sql`SELECT city_id, name FROM places WHERE city_id IN ${sql.in([berlin, paris, nairobi])}`
  },
  {
    _tag: "Read",
    title: "The same with an array: one parameter, however many keys",
    statement: (sql) => sql`SELECT city_id, name FROM places WHERE city_id = ANY(${[berlin, paris, lima, tokyo]})`
  },
  {
    _tag: "Read",
    title: "A join with a reference table: every shard has a copy",
    statement: (sql) => sql`
      SELECT p.name, c.name AS country, c.continent, c.capital = p.name AS is_capital
      FROM places p JOIN countries c ON c.code = p.country
      WHERE p.city_id = ${nairobi}`
  },
  {
    _tag: "Read",
    title: "No key: all shards at once, rows one after another",
    statement: (sql) => sql`
      SELECT p.name, c.name AS country, p.population
      FROM places p JOIN countries c ON c.code = p.country
      WHERE p.population > ${10_000_000}`
  },
  {
    _tag: "Read",
    title: "The ten largest of all: each shard gives its first ten, merged as they come",
    inOrder: true,
    statement: (sql) => sql`SELECT name, country, population FROM places ORDER BY population DESC, city_id LIMIT 10`
  },
  {
    _tag: "Read",
    title: "A page far down: samples say where it begins, what is skipped stays on the shards",
    inOrder: true,
    statement: (sql) => sql`
      SELECT city_id, name, population FROM places ORDER BY population DESC, city_id LIMIT 10 OFFSET ${100_000}`
  },
  {
    _tag: "Read",
    title: "Groups over all shards: each sums up its own, equal groups are added",
    inOrder: true,
    statement: (sql) => sql`
      SELECT c.continent, count(*) AS places, sum(p.population) AS people, avg(p.population) AS average
      FROM places p JOIN countries c ON c.code = p.country
      GROUP BY c.continent ORDER BY people DESC`
  },
  {
    _tag: "Read",
    title: "Different values: each shard gives its own once, they are counted once",
    statement: (sql) => sql`SELECT count(DISTINCT country) AS countries FROM places`
  },
  {
    _tag: "Read",
    title: "A median needs every row: one PostgreSQL finishes over what the shards give",
    inOrder: true,
    statement: (sql) => sql`
      SELECT c.continent, percentile_cont(0.5) WITHIN GROUP (ORDER BY p.population) AS median
      FROM places p JOIN countries c ON c.code = p.country
      WHERE p.population > ${10_000}
      GROUP BY c.continent ORDER BY median DESC, c.continent`
  },
  {
    _tag: "Read",
    title: "A join that is not on the key (larger than their capital): the rows it is about are brought together",
    inOrder: true,
    statement: (sql) => sql`
      SELECT p.name, p.population, c.name AS capital, c.population AS capital_population
      FROM places p JOIN places c ON c.country = p.country
      WHERE c.feature = 'PPLC' AND p.population > ${5_000_000} AND p.population > c.population
      ORDER BY p.population DESC, p.city_id, c.city_id`
  },
  {
    _tag: "Read",
    title: "Reference tables alone: any SQL, any one shard",
    statement: (sql) => sql`
      SELECT continent, count(*) AS countries FROM countries GROUP BY continent ORDER BY countries DESC, continent`
  },
  {
    _tag: "Program",
    title: "A write by key",
    statements: (sql) => [
      sql`UPDATE places SET population = population + ${1} WHERE city_id = ${berlin} RETURNING name, population`
    ]
  },
  {
    _tag: "Program",
    title: "A transaction: it begins where its first statement goes, and holds to that shard",
    transaction: true,
    statements: (sql) => [
      sql`
        INSERT INTO population_changes (city_id, change, before, after)
        SELECT city_id, 1, population, population + 35 FROM places WHERE city_id = ${lima}`,
      sql`UPDATE places SET population = population + 35 WHERE city_id = ${lima} RETURNING name, population`
    ]
  },
  {
    _tag: "Read",
    title: "Two sharded tables joined on their key, on one shard: grouping and order are PostgreSQL's own",
    statement: (sql) => sql`
      SELECT p.name, count(*) AS changes, max(c.after) AS population
      FROM places p JOIN population_changes c ON c.city_id = p.city_id
      WHERE p.city_id = ${lima}
      GROUP BY p.name ORDER BY p.name`
  },
  {
    _tag: "Program",
    title: "forKey: everything inside must be about this one place",
    around: (effect) => ShardRouter.forKey(topology.tables.places, lima)(effect),
    statements: (sql) => [
      sql`INSERT INTO population_changes ${sql.insert({ city_id: lima, change: 2, before: 7737037, after: 7737037 })}`,
      sql`SELECT change, before, after FROM population_changes WHERE city_id = ${lima} ORDER BY change`
    ]
  },
  {
    _tag: "Refused",
    title: "Inside forKey, another place's rows are out of reach",
    error: "KeyNotPinned",
    around: (effect) => ShardRouter.forKey(topology.tables.places, lima)(effect),
    statement: (sql) => sql`SELECT name FROM places WHERE city_id = ${paris}`
  },
  {
    _tag: "Refused",
    title: "For each place one that is larger, but which one? PostgreSQL takes any; the router asks",
    error: "UnsupportedQuery",
    statement: (sql) => sql`
      SELECT p.name, (SELECT q.name FROM places q WHERE q.population > p.population LIMIT 1) AS larger
      FROM places p`
  },
  {
    _tag: "Refused",
    title: "A write of several shards is atomic; one that needs the rows of others is refused",
    error: "UnsupportedQuery",
    statement: (sql) => sql`
      UPDATE places SET population = 0 WHERE population < (SELECT avg(population) FROM places)`
  },
  {
    _tag: "Refused",
    title: "A row put by hand where the router would not look for it",
    error: "RowBelongsElsewhere",
    around: (effect) => ShardRouter.onShard(effect, "shard_1"),
    statement: (sql) => sql`INSERT INTO population_changes (city_id, change, before, after) VALUES (${tokyo}, 1, 0, 0)`
  }
]
