/** Names and types that a client changes on the way: as `@effect/sql-pg` does, on one shard and on four. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import pg from "pg"
import { expect } from "vitest"
import * as Shop from "./shop.js"
import { layer as sides, same, Sides } from "./sides.js"

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

const collected = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), (chunk) => [...chunk])

/** On one shard, on several and on none: each is merged in another way. */
const wheres = ["user_id = 3", "true", "user_id in (1, 2, 3, 4) and id = 1", "user_id = null"]

const everyForm = (sql: PgClient.PgClient) =>
  Effect.gen(function* () {
    for (const where of wheres) {
      const text = `select user_id, id, total_cents, note from orders where ${where} order by user_id, id`
      yield* same((own) => own.unsafe(text))
      yield* same((own) => own.unsafe(text).values)
      yield* same((own) => own.unsafe(text).withoutTransform)
      yield* same((own) => own.unsafe(text).unprepared)
      yield* same((own) => collected(own.unsafe(text).stream))
      yield* same((own) => Effect.map(own.unsafe(text).raw, (raw) => (raw as pg.QueryResult).rows))
      yield* same((own) => own.withoutTransforms().unsafe(text))
      yield* same((own) => own.withoutTransforms().safe.unsafe(text))
      yield* same((own) => own.safe.unsafe(text))
    }
    yield* same((own) => own`select country as country_code, count(*) as user_count from users group by 1 order by 1`)
    expect(sql.withoutTransforms().withoutTransforms()).toBe(sql.withoutTransforms())
  })

/** Names that a program writes in its own way, and json whose properties are names, too. */
const written = Effect.gen(function* () {
  const deep = { innerName: [{ listName: 1 }, [{ deepName: 2 }], "plainText"], snake_name: null }
  yield* same((sql) => sql`insert into orders ${sql.insert({ userId: 1, id: 9, totalCents: 5 }).returning("*")}`)
  yield* same((sql) => sql`update orders set ${sql.update({ totalCents: 6, id: 9 }, ["id"])} where id = 9 returning *`)
  yield* same((sql) => sql`select ${sql("totalCents")} from orders where ${sql("orders.userId")} = 1 order by 1`)
  yield* same((sql) => sql`select ${sql("totalCents")} from orders where ${sql.in("userId", [1, 2])} order by 1`)
  yield* same((sql) => Effect.succeed(sql`select ${sql("totalCents")}`.compile(true)))
  yield* same((sql) => Effect.succeed(sql.withoutTransforms()`select ${sql("totalCents")}`.compile()))
  yield* same((sql) =>
    sql`update users set profile = ${sql.json(deep)} where id in (1, 2) returning id, profile`.raw.pipe(Effect.asVoid)
  )
  yield* same((sql) => sql`select profile from users where id in (1, 2)`)
  yield* same((sql) => sql`select profile from users where id in (1, 2)`.withoutTransform)
  yield* same(
    (sql) => sql`insert into users ${sql.insert({ id: 60, fullName: "json", profile: sql.json(deep) })} returning *`
  )
  yield* same((sql) => sql`select array_agg(profile order by id) as all_profiles from users where id in (1, 60)`)
  yield* same((sql) => sql`delete from orders where id = 9 returning user_id`)
  yield* same((sql) => sql`delete from users where id = 60 returning full_name`)
})

const names = { transformQueryNames: snake, transformResultNames: camel }

const clients: Readonly<Record<string, NonNullable<Parameters<typeof sides>[0]["client"]>>> = {
  "names both ways": names,
  "names both ways, json left alone": { ...names, transformJson: false },
  "names of results alone": { transformResultNames: camel },
  "names of queries alone": { transformQueryNames: snake }
}

for (const [name, client] of Object.entries(clients)) {
  layer(sides({ ...Shop, client }), { excludeTestServices: true, timeout: 120_000 })(name, (it) => {
    it.effect("rows in every form", () => Effect.flatMap(Sides, ({ four }) => everyForm(four.sql)))
    if (client.transformQueryNames !== undefined) it.effect("names and json that a program writes", () => written)
  })
}

const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: "text") =>
    oid === pg.types.builtins.INT8
      ? (text: string) => BigInt(text)
      : oid === pg.types.builtins.NUMERIC
        ? Number
        : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser
}

layer(sides({ ...Shop, client: { types } }), { excludeTestServices: true, timeout: 120_000 })("types", (it) => {
  it.effect("are read as the program says", () =>
    Effect.gen(function* () {
      for (const where of wheres) {
        const text = `select user_id, total_cents, total_cents / 3.0 as third from orders where ${where} order by user_id, id`
        yield* same((sql) => sql.unsafe(text))
        yield* same((sql) => sql.unsafe(text).values)
        yield* same((sql) => collected(sql.unsafe(text).stream))
      }
      yield* same((sql) => sql`select count(*), sum(total_cents), avg(total_cents), max(total_cents) from orders`)
      yield* same((sql) => sql`select balance, count(*) from users group by balance order by balance desc`)
      yield* same((sql) => sql`update orders set note = 'seen' where user_id = 1 returning total_cents`)
      yield* same((sql) => sql`select array_agg(total_cents order by user_id, id) as list from orders`)
    })
  )
})
