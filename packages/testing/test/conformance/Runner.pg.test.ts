// The conformance runner on a small set of its own: what it counts, and that it finds what is wrong.
import { expect, it } from "@effect/vitest"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as Effect from "effect/Effect"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Cases from "../../src/internal/conformance/Cases.js"
import * as Cluster from "../../src/internal/conformance/Cluster.js"
import type { Outcome } from "../../src/internal/conformance/Outcome.js"
import * as Report from "../../src/internal/conformance/Report.js"
import * as Runner from "../../src/internal/conformance/Runner.js"
import * as Session from "../../src/internal/conformance/Session.js"
import * as PgCluster from "../../src/PgCluster.js"

const setup = `
create table users (id int primary key, name text);
create table countries (code text primary key, name text);
create table notes (id int primary key, text text);
create table boxes (id char(4) primary key);
insert into users select i, 'user ' || i from generate_series(1, 40) i;
insert into countries values ('de', 'Germany'), ('fr', 'France');
insert into notes values (1, 'one'), (2, 'two');
insert into boxes values ('a'), ('b');
`

const shards = {
  distributed: { users: { key: "id", type: "integer" }, boxes: { key: "id", type: "character(4)" } },
  reference: ["countries"],
  local: ["notes"]
}

/** Name, kind, compare, tables, statement; the expected verdict is part of the name. */
type Line = readonly [name: string, kind: string, compare: string, tables: ReadonlyArray<string>, sql: string]

const statements: ReadonlyArray<Line> = [
  ["point.exact", "select", "set", ["users"], "select * from users where id = 7;"],
  ["names.exact", "select", "set", ["users"], "select id, name, id from users where id = 7;"],
  ["scatter.exact", "select", "set", ["users"], "select name from users where id > 3;"],
  ["count.exact", "select", "set", ["users"], "select count(*) from users;"],
  ["reference.exact", "select", "seq", ["countries"], "select * from countries order by code;"],
  ["local.exact", "select", "set", ["notes"], "select text from notes;"],
  ["unproven.exact", "select", "set", ["boxes"], "select count(*) from boxes;"],
  ["error.exact", "select", "error", ["users"], "select 1 / (id - 7) from users where id = 7;"],
  ["insert.exact", "insert", "cmd", ["users"], "insert into users values (41, 'forty-one');"],
  ["duplicate.exact", "insert", "error", ["users"], "insert into users values (41, 'again');"],
  ["returning.exact", "update", "set", ["users"], "update users set name = 'x' where id = 1 returning id, name;"],
  ["all.refused", "delete", "cmd", ["users"], "delete from users where id = (select max(id) from users);"],
  ["alter.skipped", "ddl", "cmd", ["notes"], "alter table notes add column at timestamptz default now();"],
  ["create.exact", "ddl", "cmd", [], "create table later (id int primary key, at timestamptz default now());"],
  ["later.exact", "insert", "cmd", ["later"], "insert into later (id) values (1);"],
  ["later.same.exact", "select", "set", ["later"], "select * from later;"],
  ["begin.exact", "tx", "cmd", [], "begin;"],
  ["first.exact", "update", "cmd", ["users"], "update users set name = 'first' where id = 3;"],
  ["savepoint.exact", "tx", "cmd", [], "savepoint a;"],
  ["second.exact", "update", "cmd", ["users"], "update users set name = 'second' where id = 3;"],
  ["back.exact", "tx", "cmd", [], "rollback to a;"],
  ["again.exact", "select", "set", ["users"], "select name from users where id = 3;"],
  ["other.refused", "delete", "cmd", ["users"], "delete from users where name < (select min(name) from users);"],
  ["release.exact", "tx", "cmd", [], "release a;"],
  ["commit.exact", "tx", "cmd", [], "commit;"],
  ["kept.exact", "select", "set", ["users"], "select name from users where id = 3;"],
  ["broken.begin.exact", "tx", "cmd", [], "begin;"],
  ["broken.exact", "insert", "error", ["users"], "insert into users values (3, 'there');"],
  ["aborted.exact", "select", "error", ["users"], "select name from users where id = 3;"],
  ["broken.commit.exact", "tx", "cmd", [], "commit;"],
  ["aside.begin.skipped", "tx", "cmd", [], "begin;"],
  ["aside.skipped", "ddl", "cmd", [], "create table aside (id int);"],
  ["aside.insert.skipped", "insert", "cmd", ["aside"], "insert into aside values (1);"],
  ["aside.commit.skipped", "tx", "cmd", [], "commit;"],
  ["aside.read.exact", "select", "set", ["aside"], "select * from aside;"],
  ["temporary.exact", "ddl", "cmd", [], "create or replace temp view seen as select 1 as one;"],
  ["view.exact", "select", "set", ["seen"], "select * from seen;"],
  [
    "same.names.exact",
    "update",
    "set",
    ["users"],
    "update users set name = 'y' where id = 2 returning id, name, id + 1 as id;"
  ],
  ["sequence.exact", "ddl", "cmd", [], "create sequence numbers;"],
  ["next.refused", "select", "set", [], "select nextval('numbers');"],
  ["drop.exact", "ddl", "cmd", ["boxes"], "drop table boxes;"],
  ["other.key.exact", "ddl", "cmd", ["boxes"], "create table boxes (id int primary key);"],
  ["placed.exact", "insert", "cmd", ["boxes"], "insert into boxes values (5);"],
  ["anew.exact", "select", "set", ["boxes"], "select count(*) from boxes;"],
  ["set.skipped", "set", "cmd", [], "set timezone = 'Europe/Berlin';"]
]

const writeSet = (folder: string): void => {
  const set = join(folder, "group", "small")
  mkdirSync(set, { recursive: true })
  writeFileSync(join(set, "set.json"), JSON.stringify({ session: ["SET timezone='UTC'"] }))
  writeFileSync(join(set, "setup.sql"), setup)
  writeFileSync(join(set, "shards.json"), JSON.stringify(shards))
  const metas = statements.map(([name, kind, cmp, tables]) => JSON.stringify({ name, kind, cmp, tables }))
  writeFileSync(join(set, "meta.jsonl"), `${metas.join("\n")}\n`)
  const queries = statements.map(([name, , , , sql]) => `-- @q ${name}\n-- from: here\n${sql}\n`)
  writeFileSync(join(set, "queries.sql"), `-- a comment\n${queries.join("\n")}`)
}

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "shardlayer-cases-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** The set, on two shards. */
const opened = Effect.gen(function* () {
  const path = yield* folder
  writeSet(path)
  const [set] = Cases.load(path, ["group/sm"])
  const [layout] = set?.layouts ?? []
  if (set === undefined || layout === undefined) return yield* Effect.dieMessage("the set is gone")
  const server = yield* PgCluster.make({ shards: 1, mode: "databases", shared: false })
  const address = yield* server.node("shard_1")
  const cluster = yield* Cluster.make({ address, set, layout, shards: 2, families: false })
  return { path, address, options: { set, layout, cluster, parser: yield* Parser.make } }
})

const tags = (outcomes: ReadonlyArray<Outcome>) =>
  outcomes.map((outcome) => `${outcome.case.name} ${outcome.verdict._tag.toLowerCase()}`)

it.scopedLive("counts each statement, and keeps both sides together", () =>
  Effect.gen(function* () {
    const { options } = yield* opened
    const outcomes = yield* Runner.run(options)
    expect(tags(outcomes)).toEqual(statements.map(([name]) => `${name} ${name.split(".").at(-1)}`))
    expect(options.cluster.notes()).toEqual([expect.stringContaining("boxes (id) stays on one shard")])
    const summary = Report.summarize(outcomes)
    expect(summary.select).toEqual({ statements: 16, exact: 15, refused: 1, wrong: 0, failed: 0, skipped: 0 })
    expect(summary.dml).toMatchObject({ refused: 2, skipped: 1 })
    expect(Object.values(summary.refusals).reduce((sum, times) => sum + times, 0)).toBe(3)
    expect(summary.strategies).toMatchObject({ CoLocatedScatter: 1 })
    expect(Report.isClean(summary)).toBe(true)
  })
)

it.scopedLive("finds rows that are not there, and writes down both answers", () =>
  Effect.gen(function* () {
    const { address, options, path } = yield* opened
    const shard = yield* Session.open(address, "case_shard_1")
    const [lost] = yield* shard.run(
      "delete from users where id in (select min(id) from users where id > 7) returning id"
    )
    const outcomes = yield* Runner.run(options)
    // The scatter misses a row; the first write makes the tables be compared, and what differs is mended.
    expect(tags(outcomes).filter((tag) => tag.endsWith("wrong"))).toEqual([
      "scatter.exact wrong",
      "count.exact wrong",
      "insert.exact.tables wrong"
    ])
    expect(Report.isClean(Report.summarize(outcomes))).toBe(false)

    const [file] = Report.writeFindings(path, "small@2", outcomes)
    const text = readFileSync(join(path, file ?? ""), "utf8")
    expect(text).toContain("36 rows instead of 37")
    expect(text).toContain(`user ${lost?.[0]}`)
  })
)
