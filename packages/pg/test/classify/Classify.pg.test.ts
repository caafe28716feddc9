/**
 * Classifications against a real server: a `Check` does what its statement does and tells the stored keys; `Keys` are
 * the keys that the server stores, for constants and parameters of every spelling.
 */
import { describe, expect, layer } from "@effect/vitest"
import type { PinnedPlan } from "@shardlayer/core/plan/Plan"
import * as Prune from "@shardlayer/core/plan/Prune"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as CatalogCheck from "@shardlayer/pg/planner/CatalogCheck"
import { catalogQuery } from "@shardlayer/pg/planner/CatalogQuery"
import * as CatalogReader from "@shardlayer/pg/planner/CatalogReader"
import * as Classify from "@shardlayer/pg/planner/Classify"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as SchemaView from "@shardlayer/pg/planner/SchemaView"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Pg from "pg"
import { checks, expressions, keyColumns, params, schemaSql } from "./statements.js"

const topology = Topology.validate({
  shards: ["shard_1"],
  keyspaces: {
    ...Object.fromEntries(KeyType.all.map((type) => [type, Keyspace.hash({ key: [type] })])),
    pair: Keyspace.hash({ key: ["int4", "text"] })
  },
  tables: {
    ...Object.fromEntries(
      Object.entries(keyColumns).map(([name, { keyspace }]) => [`t_${name}`, Table.sharded({ key: "k", keyspace })])
    ),
    "app.OddTable": Table.sharded({ key: 'K"ey', keyspace: "text" }),
    pairs: Table.sharded({ key: ["a", "b"], keyspace: "pair" }),
    stamped: Table.sharded({ key: "k", keyspace: "int8" })
  }
}).pipe(Either.getOrThrowWith((invalid) => invalid))

/** A session on the database, and the classification of texts by its catalog. */
const world = Effect.gen(function* () {
  const cluster = yield* PgCluster.PgCluster
  const node = yield* cluster.createDatabase("shard_1")
  const { database, host, port, username } = node
  const client = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Pg.Client({ host, port, database, user: username })
      await client.connect()
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )
  yield* Effect.promise(() => client.query(schemaSql))
  const parser = yield* Parser.make
  const rows = yield* PgCluster.query<{ catalog: string }>(node, catalogQuery, [null])
  const catalogs = [CatalogReader.decode(topology.shards[0]!, rows[0]?.catalog ?? "")]
  const problems = CatalogCheck.check(topology, catalogs)
  expect(problems).toEqual(new Map())
  const view = SchemaView.make({ topology, catalogs, problems, searchPath: ["public"] })
  const verdictOf = (sql: string): PinnedPlan["verdict"] =>
    Classify.classify(Either.getOrThrow(parser.parse(sql)), view).plan.verdict
  return { client, verdictOf }
})

const values = async (client: Pg.Client, text: string, given: ReadonlyArray<unknown> = []) =>
  (await client.query<Array<unknown>>({ text, values: [...given], rowMode: "array" })).rows

/** What the statement makes of the tables, and its answer; nothing stays. */
const outcome = async (
  client: Pg.Client,
  text: string,
  given: ReadonlyArray<unknown>,
  tables: ReadonlyArray<string>
) => {
  await client.query("begin")
  try {
    // The same volatile values each time.
    await client.query("select setseed(0.5)")
    const result = await client.query<Array<unknown>>({ text, values: [...given], rowMode: "array" })
    const after: Array<unknown> = []
    for (const table of tables) after.push(await values(client, `select t::text from ${table} t order by 1`))
    return { after, result }
  } finally {
    await client.query("rollback")
  }
}

const sessions: { readonly [name: string]: ReadonlyArray<string> } = {
  "pinned settings": [],
  "a session whose settings were changed": [
    "set timezone = 'Asia/Kathmandu'",
    "set bytea_output = 'escape'",
    "set extra_float_digits = 0"
  ]
}

layer(PgCluster.layer({ shards: 1, mode: "databases" }), { excludeTestServices: true, timeout: 60_000 })(
  "classification",
  (it) => {
    describe("Check", () => {
      it.scoped("does what the statement does, and returns the keys as they are stored", () =>
        Effect.gen(function* () {
          const { client, verdictOf } = yield* world
          for (const settings of Object.values(sessions)) {
            for (const setting of settings) yield* Effect.promise(() => client.query(setting))
            for (const { given = [], keys, sql, tables } of checks) {
              const verdict = verdictOf(sql)
              if (verdict._tag !== "Check") throw new Error(`${sql}: ${JSON.stringify(verdict)}`)
              const plain = yield* Effect.promise(() => outcome(client, sql, given, tables))
              const checked = yield* Effect.promise(() => outcome(client, verdict.check, given, tables))
              expect(checked.after, sql).toEqual(plain.after)
              expect(checked.result.rows.length, sql).toBe(plain.result.rowCount)
              expect(verdict.command, sql).toBe(plain.result.command)
              const types = topology.keyspaces[verdict.keyspace]?.key ?? []
              const found = checked.result.rows.map((row) =>
                types.map((type, index) => Either.getOrThrow(KeyValue.canonical(type, row[index])))
              )
              expect(found.sort(), sql).toEqual([...keys].sort())
            }
          }
        })
      )
    })

    describe("Keys", () => {
      it.scoped("are those that the server stores, for every key type, expression and parameter", () =>
        Effect.gen(function* () {
          const { client, verdictOf } = yield* world
          const seen = { keys: 0, check: 0, stored: 0 }
          for (const [name, { keyspace }] of Object.entries(keyColumns)) {
            yield* Effect.promise(() => client.query(`truncate t_${name}; insert into t_${name} (v) values ('one')`))
            for (const sql of statements(name)) {
              const verdict = verdictOf(sql)
              if (verdict._tag === "Check") seen.check++
              else if (verdict._tag !== "Keys") throw new Error(`${sql}: ${verdict._tag}`)
              else {
                seen.keys++
                const [row] = verdict.writes[0]?.rows ?? []
                for (const given of sql.includes("$1") ? params : [undefined]) {
                  const values = given === undefined ? [] : [given]
                  const expected = Prune.keysOf(row!, [keyspace], values)
                  const stored = yield* Effect.promise(() => storedKey(client, `${sql} returning k::text`, values))
                  // A key that the router cannot read, or a value that the server refuses, writes no row.
                  if (Either.isLeft(expected) || stored === undefined) continue
                  seen.stored++
                  const key = Either.getOrThrow(KeyValue.canonical(keyspace, stored))
                  expect(expected.right, `${sql} with ${String(given)}`).toEqual({ _tag: "Keys", keys: [[key]] })
                }
              }
            }
          }
          // The comparison is not empty: many of each kind.
          expect(seen.keys).toBeGreaterThan(150)
          expect(seen.check).toBeGreaterThan(150)
          expect(seen.stored).toBeGreaterThan(300)
        })
      )
    })
  }
)

/** Each expression inserted; those with a parameter assigned, too, where PostgreSQL finds its type in another order. */
const statements = (table: string): ReadonlyArray<string> => [
  ...expressions.map((expression) => `insert into t_${table} (k) values (${expression})`),
  ...expressions
    .filter((expression) => expression.startsWith("$1"))
    .map((expression) => `update t_${table} set k = ${expression}`)
]

/** The key that the statement stored, or undefined if the server refused it; nothing stays. */
const storedKey = async (client: Pg.Client, sql: string, given: ReadonlyArray<unknown>): Promise<unknown> => {
  await client.query("begin")
  try {
    const [row] = await values(client, sql, given)
    return row?.[0]
  } catch {
    return undefined
  } finally {
    await client.query("rollback")
  }
}
