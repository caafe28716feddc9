/**
 * Data of COPY in both directions: what comes out is, byte by byte, what one PostgreSQL writes, and what goes in is what
 * one PostgreSQL reads, wherever the pieces are cut.
 */
import { describe, expect, it } from "@effect/vitest"
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { t: Keyspace.hash({ key: ["text"] }), k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    texts: Table.sharded({ key: "k", keyspace: "t" }),
    facts: Table.sharded({ key: "id", keyspace: "k" }),
    countries: Table.reference()
  }
})

const schema = `
create table texts (n int, k text, v text);
create table facts (
  id int8 primary key, n numeric, f float8, at timestamptz, b bytea, list text[], j jsonb, word text,
  twice int8 generated always as (id * 2) stored, made timestamptz not null default '2026-01-01 00:00+00'
);
create table countries (code text primary key, name text);
`

const make = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 3, oracle: true, mode: "databases" })
  for (const { id } of cluster.nodes) yield* cluster.query(id, schema)
  const shards = cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 5 })] as const)
  const context = yield* Layer.build(PgRouter.layer({ topology, install: true, shards: Object.fromEntries(shards) }))
  const { url } = yield* cluster.node("oracle")
  const oracle = Context.get(yield* Layer.build(PgShard.layer({ url, maxConnections: 2 })), CurrentShardDriver)
  return { cluster, router: Context.get(context, ShardRouter.ShardRouter), oracle }
})

type World = Effect.Effect.Success<typeof make>

const rows = (world: World, table: string, ids: ReadonlyArray<string>) =>
  Effect.map(
    Effect.forEach(ids, (id) => world.cluster.query<{ r: string }>(id, `select t::text as r from ${table} t`)),
    (all) =>
      all
        .flat()
        .map(({ r }) => r)
        .sort()
  )

const shardIds = ["shard_1", "shard_2", "shard_3"]

/** COPY FROM STDIN on the one server. */
const byOracle = ({ oracle }: World, sql: string, data: Buffer) =>
  Effect.scoped(
    Effect.flatMap(oracle.reserve, (session) => {
      const parts = [data]
      return session.copyFrom!(sql, {
        take: () => parts.shift() ?? null,
        whenMore: () => {},
        sent: () => {}
      })
    })
  )

/** COPY TO of the one server. */
const written = ({ cluster }: World, what: string, options: string) =>
  Effect.gen(function* () {
    const [file] = yield* cluster.query<{ name: string }>(
      "oracle",
      "select current_setting('data_directory') || '/copied_' || pg_backend_pid() as name"
    )
    yield* cluster.query("oracle", `copy ${what} to '${file!.name}' ${options}`)
    const [read] = yield* cluster.query<{ data: Buffer }>(
      "oracle",
      `select pg_read_binary_file('${file!.name}') as data`
    )
    return read!.data
  })

const collected = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(stream), (chunks) => Buffer.concat(Chunk.toReadonlyArray(chunks)))

const cut = (data: Buffer, size: number) =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(data.length / size) }, (_, n) => data.subarray(n * size, n * size + size))
  )

const textData = [
  "1\tplain\tvalue",
  "2\t\\N\tkey is null",
  "3\t\tempty key",
  "4\ttab\\tnl\\ncr\\rbs\\\\ \\b\\f\\v\tx",
  "5\té漢🐘\t\\303\\251 \\xe6\\xbc\\xa2 \\101 \\x41 \\q",
  "6\t\\\\N\t\\\\.",
  "7\tNULL\t\\N",
  "8\tbackslash \\\nnewline\tcontinued",
  "9\ta\\\tb\tescaped tab",
  "10\t\\303\\251\tkey in bytes",
  "11\t \t  ",
  '12\t"\t,'
].join("\n")

const csvData = [
  "1,plain,value",
  "2,,key is null",
  '3,"",empty key',
  '4,"a,b","c""d"',
  '5,"two\nlines","and\r\nmore"',
  "6,é漢🐘,\\N",
  '7,in"ner, quo"tes,x',
  '8,"\\.",\\.x',
  '9, spaced , "kept" ',
  '10,"""",\t',
  '"11","NULL",NULL'
].join("\n")

const field = {
  text: fc.constantFrom(
    "a",
    "",
    "\\N",
    "é漢🐘",
    "b\\tc",
    "d\\\te",
    "\\\n",
    "\\\\",
    "\\x41",
    "\\303\\251",
    "\\q",
    " x ",
    "\\134"
  ),
  csv: fc.constantFrom(
    "a",
    "",
    '""',
    "é漢🐘",
    '"b,c"',
    '"d\ne"',
    '"f""g"',
    'h"i"j',
    '" "',
    "\\N",
    '"\r\n"',
    " x ",
    '""""'
  )
}

/** Files of rows that are mostly right. */
const drawn = (["text", "csv"] as const).flatMap((format) => {
  const separator = format === "text" ? "\t" : ","
  const row = fc
    .tuple(fc.nat(99).map(String), field[format], field[format], fc.nat(400))
    .map(([n, k, v, odd]) => [odd === 0 ? "x" : odd === 1 ? ` ${n} ` : n, k, v, ...(odd === 2 ? ["more"] : [])])
  const file = fc.record({
    rows: fc.array(row, { minLength: 1, maxLength: 40 }),
    newline: fc.constantFrom("\n", "\n", "\r\n", "\r"),
    cuts: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
    ending: fc.constantFrom("", "\n", "\n", "\n\\.\n", "\\", '"')
  })
  return fc.sample(file, { numRuns: 40, seed: 20261127 }).map(({ cuts, ending, newline, rows: given }) => {
    const text = given.map((fields) => fields.join(separator)).join("\n") + ending
    // An end of a line that is part of a value stays what it is.
    return { format, cuts, data: Buffer.from(format === "csv" ? text : text.replaceAll(/(?<!\\)\n/g, newline)) }
  })
})

describe("data of COPY", () => {
  it.scopedLive(
    "in PostgreSQL's forms is stored as one PostgreSQL stores it, wherever its pieces are cut",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const { cluster, router } = world
        const columns = ["n", "k", "v"]
        const compared = (format: "text" | "csv", given: string, header: boolean | "match" = false) =>
          Effect.gen(function* () {
            const data = Buffer.from(given)
            for (const id of ["oracle", ...shardIds]) yield* cluster.query(id, "truncate texts")
            yield* byOracle(world, `copy texts (n, k, v) from stdin (format ${format}, header ${header})`, data)
            const expected = yield* rows(world, "texts", ["oracle"])
            for (const size of [1, 2, 3, 7, 64, 100_000]) {
              for (const id of shardIds) yield* cluster.query(id, "truncate texts")
              yield* router.copyFrom("texts", columns, cut(data, size), { format, header })
              expect([size, yield* rows(world, "texts", shardIds)]).toEqual([size, expected])
            }
            const keys = yield* router.client<{ k: string | null }>`select distinct k from texts where k is not null`
            for (const { k } of keys) {
              expect([k, (yield* router.client`select 1 from texts where k = ${k}`).length > 0]).toEqual([k, true])
            }
          })
        yield* compared("text", textData)
        yield* compared("text", `${textData}\n`)
        yield* compared("text", `${textData}\n\\.\nignored`)
        yield* compared("text", "1\ta\tlast\\")
        yield* compared("text", "1\ta\tlast\\\\")
        yield* compared("text", "1\ta\tb\r\n2\tc\td\r\n")
        yield* compared("text", "1\ta\tb\r2\tc\td\r")
        yield* compared("text", `n\tk\tv\n1\ta\tb`, "match")
        yield* compared("csv", csvData)
        yield* compared("csv", `${csvData}\n`)
        yield* compared("csv", `x,y,z\n${csvData}\n`, true)
        yield* compared("csv", `"n",k,v\r\n1,"a\r\nb",c\r\n2,d,\r\n`, "match")
        yield* compared("csv", "")
      }),
    120_000
  )

  it.scopedLive(
    "that is drawn at random is stored, or refused, as one PostgreSQL does it",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const { cluster, router } = world
        const outcomes = { stored: 0, refused: 0, stricter: 0 }
        for (const { cuts, data, format } of drawn) {
          for (const id of ["oracle", ...shardIds]) yield* cluster.query(id, "truncate texts")
          const one = yield* Effect.either(byOracle(world, `copy texts (n, k, v) from stdin (format ${format})`, data))
          const pieces = Stream.unfold<{ readonly from: number; readonly turn: number }, Uint8Array>(
            { from: 0, turn: 0 },
            ({ from, turn }) => {
              const to = from + cuts[turn % cuts.length]!
              return from < data.length
                ? Option.some([data.subarray(from, to), { from: to, turn: turn + 1 }])
                : Option.none()
            }
          )
          const routed = yield* Effect.either(router.copyFrom("texts", ["n", "k", "v"], pieces, { format }))
          const seen = [data.toString("latin1"), yield* rows(world, "texts", shardIds)]
          if (Either.isRight(routed)) {
            outcomes.stored++
            expect(seen).toEqual([seen[0], yield* rows(world, "texts", ["oracle"])])
            expect(Either.isRight(one)).toBe(true)
            continue
          }
          expect(seen).toEqual([seen[0], []])
          if (Either.isLeft(one)) outcomes.refused++
          else {
            outcomes.stricter++
            // What versions of PostgreSQL read differently.
            expect(routed.left).toMatchObject({ _tag: "CopyRowInvalid", reason: expect.stringContaining("\\.") })
          }
        }
        expect(outcomes.stored).toBeGreaterThan(25)
        expect(outcomes.refused).toBeGreaterThan(5)
      }),
    120_000
  )

  it.scopedLive("that PostgreSQL would not take, or that cannot be split, is refused by its row", () =>
    Effect.gen(function* () {
      const world = yield* make
      const { router } = world
      const copied = (format: "text" | "csv", given: Uint8Array | string, header: boolean | "match" = false) =>
        Effect.flip(router.copyFrom("texts", ["n", "k", "v"], Stream.make(Buffer.from(given)), { format, header }))
      const invalid: ReadonlyArray<readonly ["text" | "csv", Uint8Array | string, number, string]> = [
        ["text", "1\ta\tb\n2\ta\n", 2, "2 fields"],
        ["text", "1\ta\tb\r\n2\ta\tb\n", 2, "another way"],
        ["text", "1\ta\tb\\.\n", 1, "end of all data"],
        ["text", Buffer.from([0x31, 9, 0xff, 9, 0x61, 10]), 1, "UTF-8"],
        ["csv", '1,"a,b\n2,c,d\n', 1, "quoted field"],
        ["csv", "1,a,b\n\\.\n", 2, "quote it"],
        ["csv", "1,a,b\n2,a,b,c\n", 2, "4 fields"]
      ]
      for (const [format, given, row, reason] of invalid) {
        expect(yield* copied(format, given)).toMatchObject({
          _tag: "CopyRowInvalid",
          row,
          reason: expect.stringContaining(reason)
        })
      }
      expect(yield* copied("csv", "n,k,w\n1,a,b\n", "match")).toMatchObject({ _tag: "CopyRowInvalid" })
      // What a server finds is told by the row of the input: lines within values count for it alone.
      const many = Array.from({ length: 3_000 }, (_, n) => (n === 2_500 ? `x,"k\n${n}",v` : `${n},"k\n${n}","v"`)).join(
        "\n"
      )
      expect(yield* copied("csv", `1,plain,v\n${many}`)).toMatchObject({ _tag: "StatementFailed", code: "22P02" })
      expect(
        yield* copied("text", many.replaceAll(',"k\n', "\tk").replaceAll('"', "").replaceAll(",", "\t"))
      ).toMatchObject({
        row: 2_501
      })
      expect(yield* rows(world, "texts", shardIds)).toEqual([])
    })
  )

  it.scopedLive(
    "comes out as one PostgreSQL writes it",
    () =>
      Effect.gen(function* () {
        const world = yield* make
        const { cluster, router } = world
        const sql = router.client
        const awkward = [
          "",
          " ",
          "\\N",
          "\\.",
          "\\",
          "\t",
          "\n",
          "\r",
          "\b\f\v\u0001",
          '"',
          ",",
          'a,"b"\nc',
          "é漢🐘",
          "NULL"
        ]
        const facts = Array.from({ length: 300 }, (_, id) => [
          id,
          id % 5 === 0 ? null : id / 7,
          id % 3 === 0 ? "NaN" : id / 3,
          new Date(id * 1e9 + 0.5),
          Buffer.from([id % 256, 92, 9]),
          [awkward[id % awkward.length], null],
          JSON.stringify({ a: awkward[id % awkward.length] }),
          awkward[id % awkward.length]
        ])
        const columns = ["id", "n", "f", "at", "b", "list", "j", "word"]
        yield* router.copyFrom("facts", columns, Stream.fromIterable(facts))
        for (const row of facts) {
          const places = columns.map((_, at) => `$${at + 1}`).join(", ")
          yield* cluster.query("oracle", `insert into facts (${columns.join(", ")}) values (${places})`, row)
        }
        for (const format of ["text", "csv"] as const) {
          for (const header of [false, true]) {
            const options = `(format ${format}, header ${header})`
            const same = (what: string, given: Buffer, ordered: boolean) =>
              Effect.map(written(world, what, options), (expected) => {
                const lines = (data: Buffer) =>
                  ordered ? data.toString() : data.toString().split("\n").sort().join("\n")
                expect([what, lines(given)]).toEqual([what, lines(expected)])
              })
            const query = (text: string) => router.copyTo(sql.unsafe(text), { format, header })
            yield* same("facts", yield* collected(router.copyTo("facts", { format, header })), false)
            yield* same(
              "facts (word, id)",
              yield* collected(router.copyTo({ id: "facts" }, { format, header, columns: ["word", "id"] })),
              false
            )
            const ordered = [
              "select word, id, at, list from facts order by id desc",
              'select count(*) as "how, many", sum(n) from facts',
              'select word, count(*), min(at) from facts group by word order by word collate "C" nulls first',
              "select string_agg(word, ';' order by id) from facts where id < 20",
              "select word from facts where id = 3",
              "select a.id, b.word from facts a join facts b on b.id = a.id + 1 order by a.id limit 20",
              "select 1 as one, null as none, '' as empty"
            ]
            for (const text of ordered) yield* same(`(${text})`, yield* collected(query(text)), true)
          }
        }
        // Back in again.
        yield* router.copyFrom("texts", ["k", "v"], router.copyTo(sql`select word, id from facts`, { format: "csv" }), {
          format: "csv"
        })
        expect(yield* sql`select count(*)::int as n from texts`).toEqual([{ n: 300 }])

        const seen = yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`delete from facts where id >= 10`
            return (yield* collected(router.copyTo("facts"))).toString().split("\n").length - 1
          })
        )
        expect(seen).toBe(10)
        expect(yield* Effect.flip(collected(router.copyTo(sql`delete from facts`)))).toMatchObject({
          _tag: "OperationRefused"
        })
        expect(yield* Effect.flip(collected(router.copyTo("nowhere")))).toMatchObject({ _tag: "UnsupportedQuery" })
        expect(yield* Effect.flip(sql`copy facts to stdout`)).toMatchObject({
          cause: { code: "SL1017", hint: expect.stringContaining("router.copyTo") }
        })
        const one = yield* router.onShard(collected(router.copyTo("facts")), "shard_2")
        const [own] = yield* cluster.query<{ n: number }>("shard_2", "select count(*)::int as n from facts")
        expect(one.toString().split("\n").length - 1).toBe(own!.n)
        expect(own!.n).toBeGreaterThan(0)
      }),
    120_000
  )
})
