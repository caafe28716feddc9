/** Types that users and extensions make: each in every place where a type has a word, against one PostgreSQL. */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgCluster from "@shardlayer/testing/PgCluster"
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
  readonly subjects: ReadonlyArray<Subjects.Subject>
  /** Those that are in `refused` only. */
  readonly quiet?: ReadonlyArray<Subjects.Subject>
  readonly more?: ReadonlyArray<string>
  /** With their codes. */
  readonly refused?: ReadonlyArray<readonly [string, string]>
}

const both = { ordered: true, extreme: true }
const order = { ordered: true, extreme: false }
const none = { ordered: false, extreme: false }
const texts = ["'b'", "'B'", "'a'", "'Ä'", "'a b'", "'_a'", "'10'", "'9'"]

const madeByUsers = `
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
create type moodrange as range (subtype = mood);`

/** The other way around. */
const backwards = `
create function mood_order(a mood, b mood) returns int language plpgsql immutable as $$ begin return -enum_cmp(a, b); end $$;
${[
  ["lt", "<", ">"],
  ["le", "<=", ">="],
  ["eq", "=", "="],
  ["ge", ">=", "<="],
  ["gt", ">", "<"]
]
  .map(
    ([name, operator, opposite]) => `
create function mood_${name}(a mood, b mood) returns bool language sql immutable as $$ select enum_cmp(a, b) ${opposite} 0 $$;
create operator ${operator} (leftarg = mood, rightarg = mood, function = mood_${name});`
  )
  .join("")}
create operator class mood_backwards default for type mood using btree as
  operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 mood_order(mood, mood);`

const cases: ReadonlyArray<Case> = [
  {
    name: "made by users",
    schema: madeByUsers,
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
      }
    ],
    // A row of no type cannot be sent on; its columns can.
    more: ["select id from mood_a order by row(v, n), id"]
  },
  {
    name: "made of these: arrays and ranges; and some of PostgreSQL's own",
    schema: madeByUsers,
    subjects: [
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
  },
  {
    name: "with code of users",
    searchPath: ["public", "app"],
    pureFunctions: [
      ...["mood_order", "mood_lt", "mood_le", "mood_eq", "mood_ge", "mood_gt", "pair_of", "label", "upper", "of_short"],
      ...["of_text"]
    ]
      .map((name) => `public.${name}`)
      .concat("app.twice", "app.add", "app.total", "app.cat", "app.joined", "app.near"),
    schema: `
create schema app;
create type mood as enum ('sad', 'ok', 'happy'); ${backwards}
create function app.twice(i int) returns int language sql immutable as $$ select i * 2 $$;
create function app.hidden(i int) returns int8 language plpgsql stable as $$ begin return (select count(*) from turned_a); end $$;
create function app.add(s int, v int) returns int language sql immutable as $$ select coalesce(s, 0) + coalesce(v, 0) $$;
create aggregate app.total(int) (sfunc = app.add, stype = int, combinefunc = app.add);
create function app.cat(s text, v text) returns text language sql immutable as $$ select concat_ws(',', s, v) $$;
create aggregate app.joined(text) (sfunc = app.cat, stype = text);
create function app.near(a int, b int) returns bool language sql immutable as $$ select abs(a - b) < 2 $$;
create operator app.=~= (leftarg = int, rightarg = int, function = app.near);
create domain short as text;
create function label(s short) returns text language sql immutable as $$ select 'short' $$;
create function label(s text) returns text language sql immutable as $$ select 'text' $$;
create function upper(s short) returns text language sql immutable as $$ select 'short' $$;
create function of_short(a short, b int) returns text language sql immutable as $$ select 'short' $$;
create function of_text(a text, b int) returns text language sql immutable as $$ select 'text' $$;
create operator ~+~ (leftarg = short, rightarg = int, function = of_short);
create operator ~+~ (leftarg = text, rightarg = int, function = of_text);
create type pair as (name text, amount int4);
create function pair_of(t text) returns pair language sql immutable as $$ select row(t, 0)::pair $$;
create cast (text as pair) with function pair_of(text);`,
    subjects: [
      { name: "turned", type: "mood", values: ["'happy'", "'sad'", "'ok'"], ordered: true, extreme: true },
      { name: "little", type: "short", values: ["'b'", "'a'"], ...none }
    ],
    quiet: [{ name: "pairs", type: "pair", values: ["row('b', 1)"], ...none }],
    more: [
      "select twice(n), count(*) from turned_a group by twice(n) order by 1",
      "select app.twice(n), id from turned_a order by app.twice(n) desc, id limit 4",
      "select total(n) from turned_a",
      "select v, total(n), app.total(n) from turned_a group by v order by v",
      "select total(n) filter (where n > 2), sum(n), total(distinct n) from turned_a",
      "select joined(v::text order by v, id) from turned_a where n = 1",
      "select n, joined(v::text order by id) from turned_a group by n order by n",
      "select total(n) over (order by id), id from turned_a order by id limit 5",
      "select id from turned_a where n =~= 3 order by id",
      "select a.id, b.id from turned_a a join turned_b b on a.n operator(app.=~=) b.a_id::int where a.id < 20 order by 1, 2",
      "select n, total(n) from turned_a group by n having total(n) > 8 order by total(n), n",
      "select label(v), id from little_a order by id",
      "select upper(v), v ~+~ 1, id from little_a order by id limit 5"
    ],
    refused: [
      ["SL5001", "select hidden(n) from turned_a"],
      ["SL4017", "select label(v), count(*) from little_a group by v"],
      ["SL4017", "select upper(v), rank() over (order by id) from little_a"],
      ["SL4017", "select a.v ~+~ 1 from little_a a join little_b b on b.a_id = a.n"],
      ["SL4017", "select pg_typeof(v)::text, count(*) from little_a group by v"],
      ["SL4018", "select v, rank() over (order by id) from pairs_a"],
      ["SL4018", "select id, v from pairs_a order by v, id"]
    ]
  },
  {
    name: "whose order is code that nobody declares pure",
    schema: `create type mood as enum ('sad', 'ok', 'happy'); ${backwards}`,
    subjects: [],
    quiet: [{ name: "turned", type: "mood", values: ["'ok'"], ...none }],
    refused: [
      ["SL5005", "select id, v from turned_a order by v, id"],
      ["SL5005", "select count(distinct v) from turned_a"]
    ]
  }
]

/** All of them are asked with `LONG=1`; else each type has every third, and each statement some of the types. */
const shareOf = (subject: Subjects.Subject, place: number): ReadonlyArray<string> =>
  Subjects.statements(subject).filter((_, index) => process.env["LONG"] !== undefined || (index + place) % 3 === 0)

const answersAreRight = ({ more = [], pureFunctions, quiet = [], refused = [], schema, searchPath, subjects }: Case) =>
  Effect.gen(function* () {
    const made = [...subjects, ...quiet]
    const sides = yield* Sides.make({
      topology: topologyOf(made, pureFunctions),
      searchPath,
      schema: `${schema}${made.map(Subjects.tables).join("")}`,
      rows: made.map(Subjects.rows).join(""),
      keysMax: Subjects.keysMax
    })
    const wrong: Array<string> = []
    for (const sql of [...subjects.flatMap(shareOf), ...more]) {
      const found = yield* sides.compare(sql)
      if (found !== "") wrong.push(`${sql}\n  ${found}`)
    }
    expect(wrong).toEqual([])
    for (const [code, sql] of refused) expect(yield* sides.ask(sql), sql).toMatchObject({ _tag: "Refused", code })
  })

describe("types are compared, grouped and handed on as one PostgreSQL does", () => {
  for (const each of cases) it.scopedLive(each.name, () => answersAreRight(each), 300_000)

  // Of the servers that npm brings, none has it.
  it.scopedLive(
    "of PostGIS, where it is installed",
    (context) =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 1, mode: "databases" })
        const found = yield* cluster.query("shard_1", "select from pg_available_extensions where name = 'postgis'")
        if (found.length === 0) return context.skip("PostGIS is not installed")
        const values = ["'POINT(1 2)'", "'POINT(0.1 2)'", "'LINESTRING(0 0, 1 1)'"]
        const subject = { name: "place", type: "geometry", values, ...order }
        yield* answersAreRight({ name: "", schema: "create extension postgis;", subjects: [subject] })
      }),
    300_000
  )
})
