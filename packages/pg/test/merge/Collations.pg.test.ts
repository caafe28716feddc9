/** Texts under every kind of collation: databases of C, ICU and libc, columns and clauses of others, against one PostgreSQL. */
import { describe, expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgServer from "@shardlayer/testing/PgServer"
import * as Effect from "effect/Effect"
import * as Sides from "./sides.js"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { k: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    a: Table.sharded({ key: "id", keyspace: "k" }),
    b: Table.sharded({ key: "id", keyspace: "k" }),
    r: Table.reference()
  }
})

const keysMax = 72

/** What collations disagree on: case, accents, digits, punctuation, blanks, letters that are composed or not, beyond the BMP. */
const texts = `
  a A b B ä Ä z Z é e\u0301 e E ß ss co-op coop CO-OP _a 10 9 1 010 ñ n\u0303 Ñ n \u{1f600} \uffee \ue000 \u{10ffff} ı i I İ ø o œ oe - . ' ´ ㋿ 令和`
  .trim()
  .split(/\s+/)
  .concat("a b", "a  b", " a", "", "ab")

const array = `array[${texts.map((text) => `'${text.replaceAll("'", "''")}'`).join(", ")}]`

const schema = (collate: string) => `
create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create collation digits (provider = icu, locale = 'en-u-kn-true');
create schema ext;
create collation ext."C" (provider = icu, locale = 'en-US');
create collation ext.upside (provider = icu, locale = 'en-u-kf-upper');
create domain loose_text as text collate loose;
create domain plain_text as text collate "C";
create table a (id int8 primary key, n int4, v text ${collate}, w varchar(20) ${collate}, c char(8) ${collate}, nm name);
create table b (id int8 primary key, a_id int8, v text ${collate}, w varchar(20) ${collate});
create table r (v text ${collate}, title text ${collate});`

const rows = `
insert into a select i, i % 4, t[i * 5 % 59 + 1], t[i % 53 + 1], t[i * 3 % 61 + 1], t[i * 5 % 59 + 1] from (select ${array} as t) x, generate_series(1, ${keysMax}) i;
insert into b select i, i * 7 % ${keysMax} + 1, t[i * 11 % 57 + 1], t[i % 43 + 1] from (select ${array} as t) x, generate_series(1, ${keysMax}) i;
insert into r select distinct on (t) t, upper(t) from unnest(${array}) with ordinality u(t, i) where i % 3 = 0;`

/** Statements whose answer is one under any collation, deterministic or not. */
const statements = [
  "select id, v from a order by v, id",
  "select id, v from a order by v desc, id",
  "select v, id from a order by v nulls first, id limit 10",
  "select v, id from a order by v desc nulls last, id desc limit 7 offset 60",
  "select id, w from a order by w, id limit 11 offset 5",
  "select id, c from a order by c, id",
  "select id, nm from a order by nm, id",
  "select id, nm from a order by v::name, id",
  `select id, v from a order by v collate "C", id`,
  `select id, v from a order by v collate "en-x-icu", id`,
  `select id, v from a order by v collate "en-x-icu" desc, v collate "C", id limit 9`,
  `select id, v from a order by v collate digits, v collate "C", id`,
  `select id, v from a order by v collate ext."C", id`,
  `select id, v from a order by v collate ext.upside, id`,
  `select id, v from a order by v collate pg_catalog."C", id`,
  `select id, v from a order by v collate "C.utf8", id`,
  `select id, v from a order by v collate "POSIX", id limit 12`,
  `select id, v from a order by v collate ucs_basic, id`,
  `select id, v from a order by v collate pg_c_utf8, id`,
  `select id, v from a order by v collate pg_unicode_fast, id`,
  `select id, v from a order by v collate unicode, id`,
  `select id, v from a order by v collate loose, id`,
  "select id, v from a order by upper(v), id",
  "select id, v from a order by lower(v) desc, v || w, id",
  "select id, v from a order by v || 'x', id limit 20",
  "select id from a order by substr(v, 1, 1), id",
  "select id from a order by coalesce(v, w, 'x'), id",
  "select id from a order by case when n = 1 then v else w end, id",
  "select id, v from a order by id::text, v",
  "select id::text from a order by 1",
  "select id, v from a order by v::plain_text, id",
  "select id, v from a order by v::loose_text, id",
  "select count(distinct v::loose_text) from a",
  "select count(*) from (select distinct v::loose_text from a) x",
  "select upper(min(v::plain_text)) from a",
  "select count(distinct v) from a",
  "select n, count(distinct v), count(distinct w) from a group by n order by n",
  `select count(distinct v collate loose) from a`,
  `select count(distinct v collate "C") from a`,
  "select count(*) from (select distinct v, w from a) x",
  "select distinct n, length(v) from a order by 1, 2",
  "select count(*), sum(id) from a group by v order by 1, 2",
  "select count(*), min(id) from a group by lower(v) order by lower(v), 2",
  `select lower(v collate "C"), count(*) from a group by 1 order by 2 desc, min(id)`,
  "select count(*), min(id) from a group by v having count(*) > 1 order by v",
  "select count(*), sum(id) from a group by v, w order by 2, 1",
  `select count(*), sum(id) from a group by v collate "C" order by v collate "C" limit 5`,
  `select count(*), sum(id) from a group by v collate loose order by 2, 1`,
  `select min(v collate "C"), max(v collate "C") from a`,
  `select min(v collate "en-x-icu"), max(v collate ext.upside) from a`,
  "select n, count(*) from a where v = 'a' group by n order by n",
  "select id from a where v = 'A' order by id",
  "select id from a where v < 'b' order by id",
  "select id from a where v between 'a' and 'n' order by id",
  "select id from a where v > 'Z' and w <= 'ä' order by id",
  `select id from a where v < 'b' collate "C" order by id`,
  "select id from a where v in ('a', 'Ä', 'co-op') order by id",
  "select id from a where v like 'a%' order by id",
  "select id from a where c = 'a' order by id",
  "select count(*) from (select v from a union select v from b) x",
  "select count(*) from (select v from a union select title from r) x",
  "select count(*) from (select v from a except select v from b) x",
  "select count(*) from (select v from a intersect select w from b) x",
  "select count(*) from (select v from a intersect all select v from b) x",
  "select id from a where v in (select v from b where id < 20) order by id",
  "select id from a where v not in (select v from b where v is not null and id < 9) order by id",
  "select a.id, b.id from a join b on a.v = b.v order by 1, 2",
  "select a.id, b.id from a join b using (id) where a.v > b.v order by 1, 2",
  "select a.id, b.id from a join b on a.v = b.w and a.w < b.v order by 1, 2",
  "select a.id, r.title from a join r on r.v = a.v order by r.title, a.id",
  "select a.id from a left join r using (v) where r.title is null order by a.v, a.id",
  "select r.title, count(a.id), sum(a.id) from r left join a on a.v = r.v group by r.title order by r.title, 2, 3",
  "select id, rank() over (order by v), dense_rank() over (order by v desc) from a order by id",
  "select id, count(*) over (partition by v) from a order by id",
  "select id, count(*) over (order by v) from a order by v, id",
  "select n, row_number() over (partition by n order by v, id), id from a order by n, v, id",
  "select string_agg(id::text, ',' order by v, id) from a",
  "select n, string_agg(id::text, ',' order by v desc, id) from a group by n order by n",
  "select array_agg(id order by w, id) from a",
  `select string_agg(v, ',' order by v collate "C", id) from a`,
  "select id from a where v >= all (select v from b where id in (3, 4, 5)) order by id",
  "select id, (select count(*) from b where b.v < a.v) from a order by id",
  "select a.id from a where exists (select from b where b.v = a.v and b.id % 3 = 0) order by a.id",
  "select greatest(v, w), id from a where v <> w order by 1, 2",
  "select id, v > w from a order by id",
  "select id, v > w as x from a order by v > w, id",
  "select max(v) over (order by id), id from a where v in ('10', '9', 'z') order by id",
  "select count(*) from (select max(v) as m from a) x join b on b.v >= x.m",
  "with x as (select v, count(*) as c from a group by v) select sum(c) from x where v >= 'b'",
  "select n, mode() within group (order by v) from a where v = '10' group by n order by n",
  "select rank('m') within group (order by v) from a",
  "select n, rank('co-op') within group (order by v desc) from a group by n order by n",
  "select count(*) from a group by rollup (v) order by 1 desc limit 3",
  "select count(*), grouping(v) from a group by cube (v, n) order by 2, 1",
  `select id, v from (select id, v from a order by v, id limit 15) x order by v desc, id`,
  `select x.v, x.id from (select v, id from a union all select v, id from b) x order by x.v, x.id limit 12`,
  "select v, id from a union all select w, id from b order by 2, 1 limit 40",
  "select v, id from a union all select 'const', 0 order by 1, 2 limit 30",
  "select id, nm from a order by nm desc, id limit 13",
  "select id, rank() over (order by nm), rank() over (order by v::name) from a order by id",
  "select count(distinct nm) from a",
  "select max(nm::text) from a where id < 2",
  "select id from a order by v = 'a', v, id limit 15",
  "select id from a order by initcap(v) collate loose, id limit 15",
  'select id from a order by (v || w) collate ext."C", id'
]

/** Those that give equal texts a face, where no two different ones are equal. */
const faces = [
  "select distinct v from a order by v",
  "select distinct v from a order by v desc limit 5 offset 2",
  "select distinct on (v) v, id from a order by v, id",
  "select distinct on (upper(v)) v, id from a order by upper(v), v, id",
  "select v, count(*) from a group by v order by v",
  "select v, n, sum(id) from a group by v, n order by n desc, v limit 11",
  "select v, count(*) as c from a group by v order by c desc, v limit 6",
  "select min(v), max(v) from a",
  "select n, min(v), max(w), min(c) from a group by n order by n",
  "select max(upper(v)), min(v || w) from a",
  "select n, max(v) from a group by n order by max(v), n",
  "select v from a union select v from b order by v",
  "select v from a union select w from b order by 1 desc limit 8",
  "select v from a except select v from b order by 1",
  "select v from a intersect select v from b order by v",
  "select array_agg(distinct v order by v) from a",
  "select string_agg(distinct v, ',' order by v) from a",
  "select percentile_disc(0.5) within group (order by v) from a",
  "select n, percentile_disc(array[0.1, 0.9]) within group (order by v desc) from a group by n order by n",
  "select v, grouping(v), count(*) from a group by rollup (v) order by 2, 1",
  "select id, first_value(v) over (order by v, id), lag(w) over (order by w, id) from a order by id",
  "select id from a where v like 'A%' or w ilike 'é%' order by v, id",
  "select id from a where v similar to '(a|A)%' and w ~ '^[a-z]' order by w, id",
  "select position('a' in v), id from a order by 1, v, 2",
  "select replace(v, 'a', 'b'), count(*) from a group by 1 order by 1"
]

const columns = [
  { name: "the database's", collate: "", loose: false },
  { name: `"C"`, collate: `collate "C"`, loose: false },
  { name: `ICU "en-x-icu"`, collate: `collate "en-x-icu"`, loose: false },
  { name: "one of another schema", collate: `collate ext.upside`, loose: false },
  { name: "one of another schema that is called C", collate: `collate ext."C"`, loose: false },
  { name: "a nondeterministic one", collate: "collate loose", loose: true }
]

for (const locale of ["C", "icu", "libc", "libc:C.UTF-8"] as const) {
  const isMissing = !PgServer.hasLocale(locale)
  const missing = isMissing ? ": the locale is not installed" : ""
  describe.skipIf(isMissing)(`a database under ${PgServer.localeName(locale)}${missing}`, () => {
    for (const { collate, loose, name } of locale === "C" || locale === "libc" ? columns : columns.slice(0, 1)) {
      it.scopedLive(
        `and texts under ${name} collation`,
        () =>
          Effect.gen(function* () {
            const sides = yield* Sides.make({ topology, locale, schema: schema(collate), rows, keysMax })
            const wrong: Array<string> = []
            for (const sql of loose ? statements : [...statements, ...faces]) {
              const found = yield* sides.compare(sql)
              if (found !== "") wrong.push(`${sql}\n  ${found}`)
            }
            expect(wrong).toEqual([])
          }),
        300_000
      )
    }
  })
}
