/** Types that users and extensions make: each in every place where a type has a word, against one PostgreSQL. */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Sides from "./sides.js"
import * as Subjects from "./subjects.js"

const topologyOf = (subjects: ReadonlyArray<Subjects.Subject>, pureFunctions: ReadonlyArray<string> = []) =>
  Topology.make({
    shards: ["shard_1", "shard_2", "shard_3"],
    keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
    tables: Object.fromEntries(
      subjects.flatMap(({ name }) => [
        [`${name}_a`, Table.sharded({ key: "id", keyspace: "k" })],
        [`${name}_b`, Table.sharded({ key: "id", keyspace: "k" })]
      ])
    ),
    pureFunctions
  })

interface Case {
  readonly name: string
  readonly schema: string
  readonly searchPath?: ReadonlyArray<string>
  readonly pureFunctions?: ReadonlyArray<string>
  readonly locale?: "icu"
  readonly subjects: ReadonlyArray<Subjects.Subject>
  readonly more?: ReadonlyArray<string>
}

const both = { ordered: true, extreme: true }
const order = { ordered: true, extreme: false }
const none = { ordered: false, extreme: false }
const texts = ["'b'", "'B'", "'a'", "'Ä'", "'a b'", "'_a'", "'10'", "'9'"]

const cases: ReadonlyArray<Case> = [
  {
    name: "made by users",
    schema: `
create type mood as enum ('sad', 'ok', 'happy');
create schema "My Schema";
create type "My Schema"."Odd Type" as enum ('z', 'it''s', 'a"b', 'back\\\\slash');
create domain short as text check (length(value) < 20);
create domain loud as text collate "en-x-icu";
create domain cents as int4 check (value >= 0);
create domain price as numeric(10, 2);
create domain feeling as mood check (value <> 'ok');
create type pair as (name text, amount int4);
create type deep as (p pair, m mood);
create type textrange as range (subtype = text);
create type moodrange as range (subtype = mood);`,
    subjects: [
      { name: "mood", type: "mood", values: ["'happy'", "'sad'", "'ok'"], ...both },
      { name: "odd", type: `"My Schema"."Odd Type"`, values: ["'z'", "'it''s'", "'a\"b'"], ...both },
      { name: "short", type: "short", values: texts, ...both },
      { name: "loud", type: "loud", values: texts, ...both },
      { name: "cents", type: "cents", values: ["9", "10", "0"], ...both },
      { name: "price", type: "price", values: ["9", "10.5", "10.50", "0.001"], ...both },
      { name: "feeling", type: "feeling", values: ["'happy'", "'sad'"], ...both },
      {
        name: "pair",
        type: "pair",
        values: ["row('b', 1)", "row('B', 2)", "row('a,\"', null)", "row(null, 3)"],
        ...order
      },
      {
        name: "deep",
        type: "deep",
        values: ["row(row('b', 1)::pair, 'sad')", "row(row('B', 1)::pair, 'happy')", "row(null, 'ok')"],
        ...order
      },
      { name: "moods", type: "mood[]", values: ["'{sad,ok}'", "'{happy}'", "'{}'", "'{null,sad}'"], ...both },
      {
        name: "pairs",
        type: "pair[]",
        values: ["array[row('b', 1)::pair]", "array[row('B, \"x\"', 2)::pair, null]", "'{}'"],
        ...both
      },
      { name: "loudest", type: "loud[]", values: ["'{b}'", "'{B,a}'", "'{}'", "'{a}'"], ...both },
      { name: "span", type: "int4range", values: ["'[1,5)'", "'(0,4]'", "'empty'", "'[2,)'"], ...both },
      { name: "words", type: "textrange", values: ["'[a,c)'", "'[B,b]'", "'empty'", "'(,\"x y\")'"], ...both },
      { name: "moodspan", type: "moodrange", values: ["'[sad,ok)'", "'[sad,happy]'", "'empty'"], ...both },
      { name: "moodspans", type: "moodmultirange", values: ["'{[sad,ok)}'", "'{[sad,happy]}'", "'{}'"], ...both },
      { name: "called", type: "name", values: texts, ...order },
      { name: "letter", type: `"char"`, values: ["'b'", "'B'", "'a'"], ...order },
      { name: "bits", type: "bit(3)", values: ["'101'", "'001'"], ...order },
      { name: "place", type: "point", values: ["'(1,2)'", "'(0,0.1)'"], ...none }
    ]
  },
  {
    name: "of extensions",
    schema: `
create extension citext; create extension hstore; create extension ltree; create extension cube; create extension seg; create extension isn; create extension pg_trgm;`,
    subjects: [
      { name: "ci", type: "citext", values: texts, face: "lower(v::text)", ...both },
      { name: "cis", type: "citext[]", face: "lower(v::text)", values: ["'{b}'", "'{B,a}'", "'{}'", "'{A}'"], ...both },
      { name: "hs", type: "hstore", values: [`'a=>1,b=>NULL'`, `'"x y"=>"q\\"z"'`, `''`], ...order },
      { name: "lt", type: "ltree", values: ["'Top.Science'", "'Top'", "'top.science'", "'a_b.c'"], ...order },
      { name: "cu", type: "cube", values: ["'(1,2),(3,4)'", "'(0.1)'", "'(1e-300,2)'"], ...order },
      {
        name: "se",
        type: "seg",
        face: "round(lower(v)::numeric, 3)",
        values: ["'1.50'", "'1.5'", "'5(+-)0.3'", "'<0'"],
        ...order
      },
      { name: "isbns", type: "isbn", values: ["'0-393-04002-X'", "'0393043983'"], ...order }
    ],
    more: [
      "select id, v -> 'a' from hs_a order by v -> 'a', id",
      "select key, count(*) from hs_a, each(v) group by key order by key",
      "select n, count(*) from lt_a where v <@ 'Top' group by n order by n",
      "select id, similarity(v::text, 'top') from lt_a order by id",
      "select id from ci_a where v = 'B' order by id",
      "select id from ci_a where v like 'A%' order by id",
      "select id from ci_a where v::text % 'aa' order by id",
      "select max(id) from ci_a",
      "select replace(v, 'A', 'x'), count(*) from ci_a group by 1 order by 1",
      "select string_agg(v, ',' order by v, id) from ci_a"
    ]
  },
  {
    name: "of extensions away from the search path",
    schema: `
create schema ext; create extension citext schema ext; create extension hstore schema ext; create extension ltree schema ext;
create type ext."Mixed Case" as enum ('x', 'a'); create domain ext.ci as ext.citext;`,
    subjects: [
      { name: "ci", type: "ext.citext", values: texts, face: "lower(v::text)", ...both },
      { name: "dom", type: "ext.ci", values: texts, face: "lower(v::text)", ...both },
      { name: "hs", type: "ext.hstore", values: [`'a=>1,b=>NULL'`, `''`], ...order },
      { name: "lt", type: "ext.ltree", values: ["'Top.Science'", "'Top'", "'top.science'"], ...order },
      { name: "mixed", type: `ext."Mixed Case"`, values: ["'x'", "'a'"], ...both }
    ]
  }
]

for (const { locale, more = [], name, pureFunctions, schema, searchPath, subjects } of cases) {
  describe(`types ${name}`, () => {
    it.scopedLive(
      "are compared, grouped and handed on as one PostgreSQL does",
      () =>
        Effect.gen(function* () {
          const sides = yield* Sides.make({
            topology: topologyOf(subjects, pureFunctions),
            locale,
            searchPath,
            schema: `${schema}${subjects.map(Subjects.tables).join("")}`,
            rows: subjects.map(Subjects.rows).join(""),
            keysMax: Subjects.keysMax
          })
          const wrong: Array<string> = []
          for (const sql of [...subjects.flatMap(Subjects.statements), ...more]) {
            const found = yield* sides.compare(sql)
            if (found !== "") wrong.push(`${sql}\n  ${found}`)
          }
          ;(yield* Effect.promise(() => import("node:fs"))).writeFileSync(
            `/tmp/libctry/${name}.txt`,
            wrong.map((w) => w.slice(0, 900)).join("\n")
          )
          expect(wrong.length).toBe(0)
        }),
      300_000
    )
  })
}
