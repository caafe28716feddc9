/**
 * What `Classify.pg.test.ts` runs: a table for each type of key, statements to be checked, and values in every spelling.
 */
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"

/** Tables `t_…` with a key column `k` of this type. */
export const keyColumns: { readonly [name: string]: { readonly type: string; readonly keyspace: KeyType } } = {
  int2: { type: "int2", keyspace: "int2" },
  int4: { type: "int4", keyspace: "int4" },
  int8: { type: "int8", keyspace: "int8" },
  wide: { type: "int4", keyspace: "int8" },
  text: { type: "text", keyspace: "text" },
  varchar: { type: "varchar", keyspace: "varchar" },
  short: { type: "varchar(3)", keyspace: "text" },
  code: { type: "short_text", keyspace: "text" },
  uuid: { type: "uuid", keyspace: "uuid" },
  bytea: { type: "bytea", keyspace: "bytea" },
  bool: { type: "bool", keyspace: "bool" },
  date: { type: "date", keyspace: "date" },
  timestamptz: { type: "timestamptz", keyspace: "timestamptz" },
  numeric: { type: "numeric", keyspace: "numeric" }
}

export const schemaSql = `
  create domain short_text as varchar(4);
  ${Object.entries(keyColumns)
    .map(([name, { type }]) => `create table t_${name} (k ${type}, v text);`)
    .join("\n")}
  create schema app;
  create table app."OddTable" ("K""ey" text primary key, v text);
  create table pairs (a int4, b text, v int4, primary key (a, b));
  create table stamped (k int8 primary key, v text);
  create function stamp() returns trigger language plpgsql as $$ begin new.k := new.k + 1000; return new; end $$;
  create trigger stamp before insert or update on stamped for each row execute function stamp();
  insert into t_int8 values (1, 'one'), (2, 'two'), (3, 'three');
  insert into t_text values ('a', 'one'), ('b', 'two');
  insert into t_timestamptz values ('2020-01-01 00:00:00+00', '1');
  insert into t_bytea values ('\\x0041ff', '1');
  insert into t_numeric values (1.50, '1');
  insert into t_bool values (true, '1'), (null, '2');
  insert into pairs values (1, 'x', 10), (2, 'y', 20);
  insert into app."OddTable" values ('k', 'one');`

interface Case {
  readonly sql: string
  readonly given?: ReadonlyArray<unknown>
  readonly tables: ReadonlyArray<string>
  /** The canonical keys of all written rows. */
  readonly keys: ReadonlyArray<KeyTuple>
}

export const checks: ReadonlyArray<Case> = [
  { sql: "insert into t_int8 (k) select 7", tables: ["t_int8"], keys: [["7"]] },
  {
    sql: "insert into t_int8 select k + $1, v || $2 from t_int8 where k > $3 -- more",
    given: [100, "!", 1],
    tables: ["t_int8"],
    keys: [["102"], ["103"]]
  },
  {
    sql: "insert into t_int8 (v, k) select v, k from t_int8 order by k desc limit 1;",
    tables: ["t_int8"],
    keys: [["3"]]
  },
  { sql: "insert into t_int8 values (1 + 1), (length('abc'))", tables: ["t_int8"], keys: [["2"], ["3"]] },
  {
    sql: "with s as (select 5 as n) insert into t_int8 as target select n from s /* end */",
    tables: ["t_int8"],
    keys: [["5"]]
  },
  { sql: "insert into t_int8 select k from t_int8 where false", tables: ["t_int8"], keys: [] },
  { sql: "insert into t_int8 select (random() * 0)::int8", tables: ["t_int8"], keys: [["0"]] },
  { sql: "insert into t_int8 (select 8) union all select 9", tables: ["t_int8"], keys: [["8"], ["9"]] },
  { sql: "insert into t_text table t_text", tables: ["t_text"], keys: [["a"], ["b"]] },
  { sql: "insert into t_text select 'é' || $1::text", given: ["\\'\n"], tables: ["t_text"], keys: [["é\\'\n"]] },
  {
    sql: "insert into t_timestamptz select k + interval '1.5 hours' from t_timestamptz",
    tables: ["t_timestamptz"],
    keys: [["2020-01-01 01:30:00+00"]]
  },
  { sql: "insert into t_bytea select k || k from t_bytea", tables: ["t_bytea"], keys: [["\\x0041ff0041ff"]] },
  { sql: "insert into t_numeric select k + 1 from t_numeric", tables: ["t_numeric"], keys: [["2.5"]] },
  { sql: "insert into t_bool select not k from t_bool", tables: ["t_bool"], keys: [["f"], [null]] },
  { sql: "insert into t_short (k) select 'ab'", tables: ["t_short"], keys: [["ab"]] },
  { sql: "insert into t_short (k) values ('abc  ')", tables: ["t_short"], keys: [["abc"]] },
  {
    sql: "insert into pairs select v, b, a from pairs on conflict do nothing",
    tables: ["pairs"],
    keys: [
      ["10", "x"],
      ["20", "y"]
    ]
  },
  {
    sql: "insert into pairs (a, b) values (1, 'x'), (9, 'z') on conflict (a, b) do update set b = excluded.b || '!'",
    tables: ["pairs"],
    keys: [
      ["1", "x!"],
      ["9", "z"]
    ]
  },
  { sql: "insert into stamped (k) values (1), (2)", tables: ["stamped"], keys: [["1001"], ["1002"]] },
  { sql: "update t_int8 set k = k + 10", tables: ["t_int8"], keys: [["11"], ["12"], ["13"]] },
  {
    sql: 'update t_int8 as "K" set k = t.v from pairs t where t.a = "K".k',
    tables: ["t_int8", "pairs"],
    keys: [["10"], ["20"]]
  },
  { sql: "update t_int8 k set k = x.k from (select 50 as k) x where k.k = 3", tables: ["t_int8"], keys: [["50"]] },
  { sql: "update t_int8 set k = $1 where k <> $1", given: [4], tables: ["t_int8"], keys: [["4"], ["4"], ["4"]] },
  { sql: "update pairs set a = 5 where a = 1", tables: ["pairs"], keys: [["5", "x"]] },
  { sql: "update pairs set (b, a) = (select 'q', v) where a = 2", tables: ["pairs"], keys: [["20", "q"]] },
  {
    sql: "update pairs set v = 1, b = upper(b)",
    tables: ["pairs"],
    keys: [
      ["1", "X"],
      ["2", "Y"]
    ]
  },
  { sql: 'update app."OddTable" set "K""ey" = "K""ey" || \'"\'', tables: ['app."OddTable"'], keys: [['k"']] },
  { sql: "update only t_int8 set k = -k where k = 1", tables: ["t_int8"], keys: [["-1"]] }
]

/** Values as a program may write them into VALUES. */
export const expressions: ReadonlyArray<string> = [
  "1",
  "-1",
  "0",
  "007",
  "1.0",
  "1.5",
  "1e2",
  "-0.0",
  "32768",
  "3000000000",
  "99999999999999999999",
  "0x1F",
  "1_000",
  "'1'",
  "' 1 '",
  "'+1'",
  "'1.0'",
  "'abc'",
  "''",
  "'abc   '",
  "'a '",
  "'é😀'",
  "E'a\\nb'",
  "U&'\\0041'",
  "$$a$$",
  "N'a'",
  "1::int2",
  "1::int4",
  "1::int8",
  "'1'::int4",
  "1::text",
  "1::numeric",
  "1.5::numeric",
  "1.5::int4",
  "1.5::float8",
  "'1'::numeric::int8",
  "'abc'::text",
  "'abc'::varchar",
  "'abcdef'::varchar(2)",
  "'a '::char(3)",
  "'a'::name",
  "text 'abc'",
  "varchar(2) 'abc'",
  "cast('abc' as text)",
  "true",
  "false",
  "'t'",
  "'yes'",
  "'of'",
  "'1'::bool",
  "1::bool",
  "bool 'on'",
  "not true",
  "'2020-01-02'",
  "date '2020-01-02'",
  "'2020-1-2'",
  "'20200102'",
  "'01/02/2020'",
  "'today'",
  "current_date",
  "'infinity'",
  "'-infinity'",
  "'2020-01-02 03:04:05+02'",
  "'2020-01-02T03:04:05.123456Z'",
  "'2020-01-02 03:04:05'",
  "timestamptz '2020-01-02 03:04:05-05:30'",
  "timestamp '2020-01-02 03:04:05'",
  "'now'",
  "'2020-01-02 03:04:05.6789999+00'",
  "'0044-03-15 BC'",
  "'epoch'",
  "'0A0B0C0D-0000-0000-0000-000000000000'",
  "'{0a0b0c0d00000000000000000000000f}'",
  "uuid '0a0b0c0d-0000-0000-0000-000000000000'",
  "'\\x41'",
  "'\\xFF 00'",
  "E'\\\\x4142'",
  "'a\\\\b'",
  "'\\101'",
  "bytea '\\x00'",
  "b'101'",
  "x'1F'",
  "'NaN'",
  "'1.50'",
  "'1e-3'",
  "'Infinity'",
  "1.50::numeric",
  "numeric(5,1) '1.26'",
  "null",
  "null::int4",
  "null::text",
  "default",
  "(select 1)",
  "length('abc')",
  "'a' || 'b'",
  "('abc')",
  "(1)",
  "+1",
  "- 1",
  "-(1)",
  "coalesce(1, 2)",
  "'abc' collate \"C\"",
  "array[1]",
  "row(1)",
  "case when true then 1 end",
  "$1",
  "($1)",
  "$1::int2",
  "$1::int4",
  "$1::int8",
  "$1::text",
  "$1::varchar",
  "$1::varchar(2)",
  "$1::char(3)",
  "$1::numeric",
  "$1::float8",
  "$1::bool",
  "$1::uuid",
  "$1::bytea",
  "$1::date",
  "$1::timestamptz",
  "$1::timestamp",
  "$1::text::int8",
  "$1::int8::text",
  "$1::int4::int8",
  "$1::varchar::text",
  "$1 || ''",
  "lower($1)"
]

/** Parameters as a program may pass them. */
export const params: ReadonlyArray<unknown> = [
  1,
  -7,
  1.5,
  1e21,
  "1",
  " 2 ",
  "+3",
  "007",
  "1.0",
  "abc",
  "abc  ",
  "abcd",
  "abcd   ",
  "",
  "é😀é",
  "t",
  "off",
  true,
  false,
  null,
  123n,
  "2020-01-02",
  "2020-01-02 03:04:05+02",
  "2020-01-02 03:04:05",
  "infinity",
  new Date("2020-01-02T03:04:05.678Z"),
  "0A0B0C0D-0000-0000-0000-000000000000",
  "\\x41FF",
  "\\101",
  Buffer.from([0, 255]),
  "NaN",
  "1e3",
  "1.50"
]
