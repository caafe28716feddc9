/**
 * What the router does not answer: a typed refusal with its number, its place and a hint, and no shard touched.
 *
 * `^` in a text marks the place that the refusal must name; it is not part of the statement.
 */
import { UnsupportedQuery } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"
import { failureOf, Routing } from "./Routing.js"
import { shard1, shard2, userOn } from "./schema.js"
import type { It } from "./It.js"
import { expectInPlace } from "./writes.js"

const on1 = userOn(shard1, 1)
const on2 = userOn(shard2, 1)

const refused: Record<string, ReadonlyArray<readonly [code: string, text: string]>> = {
  "statement kinds": [
    ["SL1001", "select 1; select 2"],
    ["SL1001", `select * from users where id = ${on1}; ^delete from users where id = ${on1}`],
    ["SL1001", `select 1; ^insert into notes (slug) values ('x')`],
    ["SL1010", "create foreign table far (id int8) server other"],
    ["SL1010", "create schema more create table inside (id int8)"],
    ["SL1010", "alter table users detach partition old concurrently"],
    ["SL1011", "begin"],
    ["SL1011", "commit"],
    ["SL1011", "rollback"],
    ["SL1011", "savepoint a"],
    ["SL1012", "set statement_timeout = 1000"],
    ["SL1012", "reset all"],
    ["SL1013", "prepare q as select 1"],
    ["SL1013", "execute q"],
    ["SL1013", "deallocate q"],
    ["SL1014", "declare c cursor for select * from users"],
    ["SL1014", "fetch next from c"],
    ["SL1015", "listen jobs"],
    ["SL1015", "notify jobs"],
    ["SL1016", "lock table users in exclusive mode"],
    ["SL1017", "copy users to stdout"],
    ["SL1017", "copy users from stdin"],
    ["SL1018", "explain select * from users"],
    ["SL1019", "checkpoint"],
    ["SL1019", "create role somebody"],
    ["SL1022", "do $$ begin null; end $$"],
    ["SL1022", "call clean()"],
    ["SL1023", "select * into copied from users"],
    ["SL1023", "create table copied as select * from users"],
    ["SL1023", "create temporary table scratch (a int)"],
    ["SL1024", "commit prepared 'x'"],
    ["SL1024", "prepare transaction 'x'"],
    ["SL1025", "alter table users add column x int; ^create index concurrently users_x on users (x)"],
    ["SL1025", "create index concurrently on ^users (name)"]
  ],
  tables: [
    ["SL2001", "select * from ^stray"],
    ["SL2001", `select * from users u join ^stray s on s.id = u.id where u.id = ${on1}`],
    ["SL2001", "insert into ^stray (id) values (1)"],
    ["SL2001", "delete from ^stray"],
    ["SL2001", "create table ^fresh (id int8 primary key)"],
    ["SL2001", "alter table ^stray add column x int"],
    ["SL2002", "select * from ^nowhere"],
    ["SL2003", `delete from ^active_users where id = ${on1}`],
    ["SL2003", "insert into ^active_users (id, name) values (1, 'x')"],
    ["SL2006", `select ^ctid from users where id = ${on1}`],
    ["SL2006", `select tableoid from users where id = ${on1}`],
    ["SL2007", "select * from ^pg_catalog.pg_class"],
    ["SL2007", "select * from ^pg_stat_activity"],
    ["SL2007", "select * from ^information_schema.tables"],
    ["SL2008", "select * from settings, journal"],
    ["SL2009", `select * from ^secured where user_id = ${on1}`],
    ["SL2010", `select ^nickname from users where id = ${on1}`],
    ["SL2012", "select * from users tablesample system (10) repeatable (1)"]
  ],
  keys: [
    ["SL3001", "insert into tokens (note) values ('x')"],
    ["SL3001", "insert into tokens (id) values (default)"],
    ["SL3003", "insert into orders (user_id, id) values (1, 2) on conflict (user_id, id) do update set user_id = ^3"]
  ],
  "several shards": [
    ["SL4010", "select * from users for update"],
    ["SL4011", "select id, random() from users"],
    ["SL4012", "update users set name = (select max(value) from ^settings)"],
    ["SL4022", "select * from users u where balance > (select o.id from orders o where o.id <> u.balance limit ^1)"]
  ],
  "hidden code": [
    ["SL5001", `select ^shout(name) from users where id = ${on1}`],
    ["SL5001", "select shout('x')"],
    ["SL5002", "select pg_backend_pid()"],
    ["SL5002", "select pg_advisory_lock(1)"],
    ["SL5002", "select set_config('a.b', 'c', false)"],
    ["SL5002", "select pg_notify('a', 'b')"],
    ["SL5002", "select nextval('tickets_id_seq')"],
    ["SL5002", "select query_to_xml('select * from users', true, true, '')"],
    ["SL5003", "select nonsense(1)"],
    ["SL5006", "select 'x'::nonsense"]
  ],
  writes: [
    ["SL6001", "update ^users set name = (select max(status) from orders)"],
    ["SL6001", "delete from ^users where name in (select status from orders)"],
    [
      "SL6014",
      "with gone as (delete from ^orders returning user_id) delete from users where id not in (select user_id from gone) and id in (select user_id from orders)"
    ],
    ["SL6013", `update users set id = ${on2} where id = ${on1}`],
    ["SL6002", "update ^countries set name = gen_random_uuid()::text"],
    ["SL6002", "update countries set name = random()::text"],
    ["SL6002", "delete from countries where code in (select name from users)"],
    ["SL6003", `insert into audited (user_id) values (${on1})`],
    ["SL6003", `update audited set note = 'x' where user_id = ${on1}`],
    ["SL6004", `insert into ruled (user_id) values (${on1})`],
    ["SL2009", `insert into secured (user_id) values (${on1})`],
    ["SL6005", `insert into comments (user_id, id, author) values (${on1}, 1, ${on1})`],
    ["SL6006", `insert into logins (user_id, id, name) values (${on1}, 1, 'x')`],
    ["SL6007", `insert into tickets (user_id, title) values (${on1}, 'x')`],
    ["SL6010", `insert into checked (user_id, note) values (${on1}, 'X')`],
    ["SL6005", `insert into authors (user_id, book) values (${on1}, 'x')`],
    ["SL6011", "delete from books where slug = 'x'"],
    ["SL6011", `delete from people where id = ${on1}`],
    ["SL6008", `insert into users (id, name) values (${on1}, 'x') on conflict (name) do nothing`],
    ["SL6009", `select * from users u join countries c on c.code = u.country where u.id = ${on1} for update`]
  ]
}

const expectRefused = (code: string, marked: string) =>
  Effect.gen(function* () {
    const { log, reached, router, sql } = yield* Routing
    const place = marked.indexOf("^")
    const text = marked.replace("^", "")
    log.length = 0
    const error = yield* failureOf((sql) => sql.unsafe(text))
    expect(error).toBeInstanceOf(UnsupportedQuery)
    if (!(error instanceof UnsupportedQuery)) return
    expect(`${error.code} ${error.reason}`).toMatch(new RegExp(`^${code} `))
    expect(error.sql).toBe(text)
    expect(error.hint.length).toBeGreaterThan(10)
    expect(error.isRetryable).toBe(false)
    if (place >= 0) expect(error.offset).toBe(place)
    // In every form the same, and in a transaction too.
    expect(yield* Effect.flip(router.query(sql.unsafe(text)))).toEqual(error)
    expect(yield* Effect.flip(Stream.runDrain(router.stream(sql.unsafe(text))))).toEqual(error)
    expect(yield* failureOf((sql) => sql.unsafe(text).raw)).toEqual(error)
    expect(yield* failureOf((sql) => sql.withTransaction(sql.unsafe(text)))).toEqual(error)
    expect(reached(text)).toEqual([])
    expect(log.filter(({ sql }) => ["BEGIN", "COMMIT", "ROLLBACK"].includes(sql))).toEqual([])
  })

export const refusals = (it: It): void => {
  describe("refusals", () => {
    for (const [group, statements] of Object.entries(refused)) {
      describe(`refusals of ${group}`, () => {
        for (const [code, text] of statements) it.effect(`${code} ${text}`, () => expectRefused(code, text))
      })
    }

    it.effect("by parameters, a row that would leave its shard is refused as well", () =>
      Effect.gen(function* () {
        const { log } = yield* Routing
        log.length = 0
        expect(yield* failureOf((sql) => sql`update users set id = ${on2} where id = ${on1}`)).toMatchObject({
          code: "SL6013"
        })
        expect(log.filter(({ sql }) => /^(delete|update|insert)/.test(sql))).toEqual([])
      })
    )

    it.effect("text that is no SQL says where", () =>
      Effect.gen(function* () {
        const { reached } = yield* Routing
        const error = yield* failureOf((sql) => sql.unsafe("select * fron users"))
        expect(error).toMatchObject({
          _tag: "StatementInvalid",
          code: "42601",
          sql: "select * fron users",
          isRetryable: false
        })
        expect(error.message).toContain("line 1, column")
        expect(reached("select * fron users")).toEqual([])
      })
    )

    it.effect("offsets count UTF-16 units, as editors do", () =>
      expectRefused("SL2001", "select '日本🎉' as x, * from ^stray")
    )

    it.effect("and the tables are as they were", () => expectInPlace())
  })
}
