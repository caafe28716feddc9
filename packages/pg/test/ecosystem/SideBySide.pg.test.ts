/** Call by call what `@effect/sql` and `@effect/sql-pg` do, on one PostgreSQL, on one shard and on four. */
import type * as Client from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { Result } from "pg"
import { expect } from "vitest"
import * as Shop from "./shop.js"
import { alike, inAnyOrder, layer as sides, same, type Side, Sides } from "./sides.js"

const collected = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), (chunk) => [...chunk])

/** The statement with the rows it gives: what it compiles to is part of the comparison. */
const both = <A>(statement: Statement.Statement<A>) =>
  Effect.map(statement, (rows) => ({ compiled: statement.compile(), rows }))

const bothInAnyOrder = <A>(statement: Statement.Statement<A>) =>
  Effect.map(both(statement), ({ compiled, rows }) => ({ compiled, rows: inAnyOrder(rows) }))

/**
 * The driver's result. Of its fields name and type: merged rows are of no table, and ids of tables differ from database to
 * database.
 */
const rawOf = (statement: Statement.Statement<unknown>) =>
  Effect.map(statement.raw, (raw) => {
    const result = raw as Result
    return {
      class: result.constructor.name,
      command: result.command,
      rowCount: result.rowCount,
      rows: result.rows,
      fields: result.fields.map(({ dataTypeID, format, name }) => ({ name, dataTypeID, format }))
    }
  })

layer(sides(Shop), { excludeTestServices: true, timeout: 120_000 })("side by side", (it) => {
  it.effect("templates: params of every kind, fragments, identifiers", () =>
    Effect.gen(function* () {
      yield* same((sql) => both(sql`select id, full_name from users where id = ${3}`))
      yield* same((sql) => both(sql`select * from users where id = ${null}`))
      yield* same((sql) => both(sql`select * from users order by id`))
      yield* same((sql) =>
        both(sql`select ${sql("full_name")} from ${sql("public.users")} as u where ${sql("u.id")} = ${1}`)
      )
      yield* same((sql) => {
        const mine = sql`select * from orders where user_id = ${2}`
        return both(sql`select o.id, total_cents from (${mine}) as o where total_cents > ${100} order by o.id`)
      })
      yield* same((sql) =>
        both(sql`select ${"text"} as text, ${1}::int as int, ${true}::boolean as bool, ${new Date(0)}::timestamptz as date,
          ${[1, 2]}::int[] as ints, ${Buffer.from("bytes")}::bytea as bytes, ${10n}::int8 as big, ${{ a: 1 }}::jsonb as json,
          ${["a", null]}::text[] as texts, ${undefined}::text as nothing`)
      )
    })
  )

  it.effect("forms: rows, raw, values, stream, unprepared, withoutTransform, compile, toJSON", () =>
    Effect.gen(function* () {
      for (const where of ["id = 3", "id in (3, 4, 5, 6)", "true", "id = null"]) {
        const text = `select id, balance, tags, born_at as "bornAt" from users where ${where} order by id`
        const statement = (sql: Client.SqlClient) => sql.unsafe(text)
        yield* same(statement)
        yield* same((sql) => rawOf(statement(sql)))
        yield* same((sql) => statement(sql).values)
        yield* same((sql) => collected(statement(sql).stream))
        yield* same((sql) => statement(sql).unprepared)
        yield* same((sql) => statement(sql).withoutTransform)
        yield* same((sql) => Effect.succeed([statement(sql).compile(), statement(sql).compile(true)]))
        yield* same((sql) => Effect.succeed((statement(sql) as unknown as { toJSON: () => unknown }).toJSON()))
      }
      yield* same((sql) => sql`select u.id, o.id from users u join orders o on o.user_id = u.id order by 1, 2`.values)
      yield* same((sql) => rawOf(sql`select count(*), sum(total_cents), avg(user_id), min(note) from orders`))
    })
  )

  it.effect("writes in each form", () =>
    Effect.gen(function* () {
      const user = (id: number) => ({ id, full_name: `form ${id}` })
      const some = [20, 21, 22, 23]
      yield* same((sql) => rawOf(sql`insert into users ${sql.insert(some.map(user))}`))
      yield* same((sql) => sql`insert into users ${sql.insert([30, 31].map(user)).returning("*")}`)
      yield* same((sql) => rawOf(sql`update users set active = false where ${sql.in("id", some)}`))
      yield* same((sql) => Effect.map(sql`update users set balance = 1 where id >= 20 returning id`.values, inAnyOrder))
      yield* same((sql) => collected(sql`delete from users where id = 20 returning id, full_name`.stream))
      yield* same((sql) => sql`delete from users where id = 21`.unprepared)
      yield* same((sql) => sql`delete from users where id = 21`.values)
      yield* same((sql) => rawOf(sql`delete from users where id >= 20`))
      yield* same((sql) => rawOf(sql`delete from users where id >= 20 returning id`))
      yield* same((sql) => sql`select id, active from users order by id`)
    })
  )

  it.effect(
    "insert: one row, several, returning text, identifier and fragment, undefined, values that are fragments",
    () =>
      Effect.gen(function* () {
        const user = (id: number) => ({ id, full_name: `insert ${id}`, country: undefined, active: id % 2 === 0 })
        yield* same((sql) => both(sql`insert into users ${sql.insert(user(40))}`))
        yield* same((sql) =>
          both(sql`insert into users ${sql.insert([41, 42, 43, 44].map(user)).returning("id, country")}`)
        )
        yield* same((sql) => both(sql`insert into users ${sql.insert(user(45)).returning(sql("full_name"))}`))
        yield* same((sql) => both(sql`insert into users ${sql.insert(user(46)).returning(sql`id + ${1} as next`)}`))
        yield* same((sql) =>
          both(
            sql`insert into users ${sql.insert({ ...user(47), profile: sql.json({ nested: [{ a: null }] }) })} returning profile`
          )
        )
        yield* same((sql) =>
          both(sql`insert into users ${sql.insert({ ...user(48), full_name: sql`${"param"}` })} returning full_name`)
        )
        yield* same((sql) =>
          both(
            sql`insert into users ${sql.insert([user(47), user(49)])} on conflict (id) do update set full_name = 'again' returning id, full_name`
          )
        )
        yield* same((sql) => sql`select * from users where id >= 40 order by id`)
        yield* same((sql) => sql`delete from users where id >= 40`)
      })
  )

  it.effect("update and updateValues", () =>
    Effect.gen(function* () {
      yield* same((sql) =>
        both(sql`update users set ${sql.update({ full_name: "new", active: false })} where id = ${1}`)
      )
      yield* same((sql) =>
        both(sql`update users set ${sql.update({ id: 1, full_name: "newer" }, ["id"])} where id = ${1} returning *`)
      )
      yield* same((sql) =>
        both(sql`update users set ${sql.update({ profile: sql.json({ a: [1] }), country: undefined })} where id = ${1}`)
      )
      const some = { active: true }
      yield* alike((sql) => bothInAnyOrder(sql`update users set ${sql.update(some).returning("id")}`))
      yield* same((sql) => bothInAnyOrder(sql`update users set ${sql.update(some).returning("id, active")}`))
      yield* same((sql) => bothInAnyOrder(sql`update users set ${sql.update(some).returning(sql("id"))}`))
      yield* same((sql) => bothInAnyOrder(sql`update users set ${sql.update(some).returning(sql`id + ${1} as next`)}`))
      const changes = [1, 2, 3, 4].map((id) => ({ id, name: `many ${id}` }))
      yield* same((sql) =>
        both(sql`update users set full_name = data.name from ${sql.updateValues(changes, "data")}
          where users.id = data.id::int`)
      )
      yield* same((sql) => sql`select id, full_name, active, profile, country from users order by id`)
    })
  )

  it.effect("in, and, or, csv, join, literal, unsafe, unsafeFragment", () =>
    Effect.gen(function* () {
      yield* same((sql) => both(sql`select id from users where id in ${sql.in([1, 2, 99])} order by id`))
      yield* same((sql) => both(sql`select id from users where ${sql.in("id", [1, 2, 99])} order by id`))
      yield* same((sql) => both(sql`select id from users where ${sql.in("id", [])} order by id`))
      yield* same((sql) =>
        both(sql`select id from users where ${sql.and([sql`id > ${2}`, "country = 'de'"])} order by id`)
      )
      yield* same((sql) =>
        both(sql`select id from users where ${sql.or([sql`id = ${2}`, sql`id = ${9}`])} order by id`)
      )
      yield* same((sql) =>
        both(sql`select id from users where ${sql.and([])} and ${sql.or([])} and ${sql.and(["id < 3"])} order by id`)
      )
      yield* same((sql) => both(sql`select id from users ${sql.csv("order by", [sql`country desc nulls last`, "id"])}`))
      yield* same((sql) =>
        both(
          sql`select ${sql.csv(["id", sql`${sql("full_name")}`])} from users ${sql.csv("order by", ["1"])} ${sql.csv([])}`
        )
      )
      yield* same((sql) =>
        both(sql`select ${sql.join(" || ", false)(["country", sql`${"!"}`, "id"])} as joined from users order by id`)
      )
      yield* same((sql) =>
        both(sql`select ${sql.join(" + ", true, "0")([])} as nothing, ${sql.join(" + ")(["1", "2"])} as three`)
      )
      yield* same((sql) => both(sql`select ${sql.literal("count(*)::int as n")} from ${sql.literal("users")}`))
      yield* same((sql) => both(sql.unsafe("select id from users where id = any($1) order by id", [[3, 1]])))
      yield* same((sql) => both(sql`select id from users where id = ${Statement.unsafeFragment("$1", [4])}`))
      yield* same((sql) =>
        both(sql`select 1 as one where ${Statement.and(["true", Statement.or(["false", sql`${1} = 1`])])}`)
      )
    })
  )

  it.effect("onDialect, onDialectOrElse, safe, withoutTransforms", () =>
    Effect.gen(function* () {
      const dialects = { sqlite: () => "s", pg: () => "pg", mysql: () => "m", mssql: () => "ms", clickhouse: () => "c" }
      yield* same((sql) => Effect.succeed([sql.onDialect(dialects), sql.onDialectOrElse({ orElse: () => "else" })]))
      yield* same((sql) => Effect.succeed(sql.onDialectOrElse({ orElse: () => "else", pg: () => "pg" })))
      yield* same((sql) => Effect.succeed([sql.safe === sql, sql.withoutTransforms() === sql]))
      yield* same((sql) => sql.safe`select id from users where id = ${1}`)
      yield* same((sql) => sql.withoutTransforms()`select id from users where id = ${1}`)
    })
  )

  it.effect("json, arrays, dates and bytes go in and come back", () =>
    Effect.gen(function* () {
      const values = [{ a: [1, { b: "ü" }] }, [1, 2], "text", 12.5, null, true]
      for (const [index, value] of values.entries()) {
        yield* same(
          (sql) =>
            sql`update users set profile = ${sql.json(JSON.stringify(value))} where id = ${index + 1} returning profile`
        )
        yield* same((sql) => sql`select ${sql.json(JSON.stringify(value))}::jsonb as value`)
      }
      yield* same(
        (sql) =>
          sql`update users set profile = ${sql.json({ deep: [1] })}, tags = ${["x", 'y"', null]}, avatar = ${Buffer.from([0, 255])}, born_at = ${new Date(1e12)} where id = 2 returning *`
      )
      yield* same(
        (sql) => sql`select profile, tags, avatar, born_at, '{{1,2},{3,4}}'::int[] as matrix from users order by id`
      )
      yield* same((sql) => sql`select id from users where profile @> ${sql.json({ deep: [1] })}`)
      yield* same((sql) => sql`select id from users where tags && ${["x", "tag 3"]} order by id`)
    })
  )

  it.effect("transformers of statements", () =>
    Effect.gen(function* () {
      const counting = Statement.withTransformer((statement, sql) => {
        return Effect.succeed(sql`select * from (${statement}) as inner_ where true`)
      })
      yield* same((sql) => counting(sql`select id from users where id = ${2}`))
      yield* same((sql) => counting(sql`select id from users where id = ${2}`.values))
      yield* same((sql) => counting(Statement.withTransformerDisabled(sql`select id from users where id = ${2}`)))
      yield* same((sql) => counting(collected(sql`select id from users where id = ${2}`.stream)))
      yield* same((sql) =>
        Effect.provide(
          Effect.suspend(() => sql`select id from users where id = ${2}`),
          Statement.setTransformer((_statement, sql) => Effect.succeed(sql`select 'replaced' as id`))
        )
      )
    })
  )

  it.effect("what the server says of a statement that fails", () =>
    Effect.gen(function* () {
      for (const text of [
        "insert into users (id, full_name) values (1, 'twice')",
        "insert into users (id, full_name) values (50, null)",
        "insert into users (id, full_name, balance) values (50, 'poor', -1)",
        "insert into users (id, full_name, country) values (50, 'far', 'xx')",
        "insert into users (id, full_name) values (50, 'a'), (51, 'b'), (52, 'c'), (1, 'twice')",
        "insert into users (id) values (1, 2)",
        "insert into orders (user_id, id, total_cents) values (999, 1, 1)",
        "update users set balance = balance - 1 where id in (1, 2, 3, 4)",
        "select 1 / 0",
        "select id / 0 from users where id = 1",
        "select id / 0 from users",
        "select 'x'::int",
        "select id from users where id = 'x'",
        "select full_name::int from users where id = 1",
        "select $1"
      ]) {
        const exit = yield* alike((sql) => sql.unsafe(text))
        expect([text, Exit.isFailure(exit)]).toEqual([text, true])
      }
      yield* alike((sql) => sql.unsafe("select $1::int", ["x"]))
      yield* alike((sql) => sql.unsafe("select 1", [1]))
      yield* alike((sql) => sql.unsafe("select $1::int, $2::int", [1]))
      yield* alike((sql) => sql.unsafe("select full_name from users where id = 1 and balance = $1", ["x"]))
      yield* alike((sql) => collected(sql.unsafe("select 1 / (id - 4) from users where id = 4").stream))
      yield* alike((sql) => sql.unsafe("select 1 / (id - 4) from users").values)
      yield* alike((sql) => sql.unsafe("select 1 / (id - 4) from users").raw)
      yield* same((sql) => sql`select id, full_name from users order by id`)
    })
  )

  it.effect("what the router says itself, before it asks any shard", () =>
    Effect.gen(function* () {
      const { four, one, plain } = yield* Sides
      const causeOn = ({ sql }: Side, text: string) =>
        Effect.map(Effect.flip(sql.unsafe(text, text.includes("$") ? ["x"] : [])), (error) => {
          const { _tag, code } = error.cause as { readonly _tag?: string; readonly code?: string }
          return [_tag, code].filter((said) => said !== undefined).join(" ")
        })
      for (const [text, sqlstate, routed] of [
        ["selec 1", "42601", "StatementInvalid 42601"],
        ["select id from users where id in ()", "42601", "StatementInvalid 42601"],
        ["select missing from users", "42703", "UnsupportedQuery SL2010"],
        ["select * from missing", "42P01", "UnsupportedQuery SL2002"],
        ["select missing(1)", "42883", "UnsupportedQuery SL5003"],
        ["select id from users where id = $1", "22P02", "KeyInvalid"]
      ] as const) {
        expect([text, yield* causeOn(plain, text)]).toEqual([text, sqlstate])
        // One shard alone is asked whatever it is.
        expect([text, yield* causeOn(one, text)]).toEqual([text, `StatementFailed ${sqlstate}`])
        expect([text, yield* causeOn(four, text)]).toEqual([text, routed])
      }
    })
  )

  it.effect("what differs in what is said: the message, fields of merged rows, the address", () =>
    Effect.gen(function* () {
      const { four, one, plain } = yield* Sides
      const messageOn = ({ sql }: Side) => Effect.map(Effect.flip(sql`select 1 / 0`), ({ message }) => message)
      expect(yield* messageOn(plain)).toBe("Failed to execute statement")
      for (const side of [one, four]) expect(yield* messageOn(side)).toBe("division by zero")
      const columnOn = ({ sql }: Side) =>
        Effect.map(sql`select full_name from users order by 1`.raw, (raw) => (raw as Result).fields[0]?.columnID)
      expect(yield* columnOn(plain)).toBe(2)
      expect(yield* columnOn(four)).toBe(0)
      expect(plain.sql.config.database).toBeDefined()
      expect(four.sql.config.database).toBeUndefined()
    })
  )

  it.effect("what is refused of several shards has its number", () =>
    Effect.gen(function* () {
      const { four, plain } = yield* Sides
      for (const [text, code] of [
        ["select pg_backend_pid()", "SL5002"],
        ["show work_mem", "SL1012"],
        ["select pg_notify('a', 'b')", "SL5002"],
        ["select id from users for update", "SL4010"]
      ] as const) {
        yield* plain.sql.unsafe(text)
        const { cause } = yield* Effect.flip(four.sql.unsafe(text))
        expect([text, cause]).toMatchObject([text, { _tag: "UnsupportedQuery", code }])
      }
    })
  )

  it.effect("a session of the program's own: several shards have none in common, a chosen one has", () =>
    Effect.gen(function* () {
      const { four, router } = yield* Sides
      const onSession = (sql: Client.SqlClient) =>
        Effect.scoped(
          Effect.flatMap(sql.reserve, (session) =>
            Effect.all({
              execute: session.execute("select $1::int as a", [1], undefined),
              transformed: session.execute("select 1 as a", [], (rows) => rows.map(() => ({ b: 2 }) as never)),
              unprepared: session.executeUnprepared("select code from countries order by code", [], undefined),
              values: session.executeValues("select 1 as a, 'b' as b", []),
              raw: Effect.map(session.executeRaw("select 1 as a", []), (result) => (result as Result).rows),
              stream: collected(session.executeStream("select generate_series(1, 300) as n", [], undefined))
            })
          )
        )
      yield* alike((sql, side) => (side === four ? router.onShard(onSession(sql), "shard_3") : onSession(sql)))
      expect(yield* Effect.flip(onSession(four.sql))).toMatchObject({ cause: { _tag: "ShardNotPinned" } })
    })
  )

  it.effect("lists of statements are for one shard", () =>
    Effect.gen(function* () {
      const { four, router } = yield* Sides
      const list = "select 1 as a; select code from countries order by code; select 2 as b"
      yield* same((sql, side) => (side === four ? router.onShard(sql.unsafe(list), "shard_2") : sql.unsafe(list)))
      expect(yield* Effect.flip(four.sql.unsafe(list))).toMatchObject({ cause: { _tag: "UnsupportedQuery" } })
    })
  )

  it.effect("spans have the names, attributes and events of @effect/sql, but for those of the one server", () =>
    Effect.gen(function* () {
      yield* same((sql) => spansOf(sql`select id from users where id = ${1}`))
      yield* same((sql) => spansOf(sql`select id from users`.values))
      yield* same((sql) => spansOf(collected(sql`select id from users`.stream)))
      yield* same((sql) => spansOf(sql`select id from users`.raw))
      yield* same((sql) => spansOf(sql`select id from users`.withoutTransform))
      yield* same((sql) => spansOf(sql`select id from users`.unprepared))
      yield* same((sql) => spansOf(sql.withTransaction(sql`select 1`)))
      yield* same((sql) => spansOf(sql.withTransaction(Effect.fail("no"))))
      yield* same((sql) => spansOf(sql.withTransaction(sql.withTransaction(sql`select id from users where id = 1`))))
      yield* same((sql) => spansOf(sql.withTransaction(Effect.ignore(sql.withTransaction(Effect.fail("no"))))))
    })
  )
})

const ofTheServer = ["db.namespace", "server.address", "server.port"]

/** Beside what that client says; where a statement ran is said on spans of other names, below. */
const isOurs = (name: string): boolean => name.startsWith("shardlayer.") || name === "db.response.returned_rows"

/** What a program makes visible of its statements and transactions, each span with its parent. */
const spansOf = (use: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const native = yield* Effect.tracer
    const made: Array<Tracer.Span> = []
    const span: Tracer.Tracer["span"] = (...args) => {
      const one = native.span(...args)
      if (one.name.startsWith("sql.")) made.push(one)
      return one
    }
    yield* Effect.withTracer(Effect.ignore(use), Tracer.make({ context: (run) => run(), span }))
    return made.map((one) => ({
      name: one.name,
      kind: one.kind,
      parent: Option.map(one.parent, (parent) => (parent._tag === "Span" ? parent.name : parent._tag)),
      status: one.status._tag,
      attributes: [...one.attributes].filter(([name]) => !ofTheServer.includes(name) && !isOurs(name)),
      events: (one as Tracer.Span & { readonly events: ReadonlyArray<readonly [string]> }).events.map(([name]) => name)
    }))
  })
