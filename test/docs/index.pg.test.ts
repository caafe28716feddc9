/** The code of the site's first page runs as it stands there. */
import { SqlClient } from "@effect/sql/SqlClient"
import { expect } from "@effect/vitest"
import type * as PgRouter from "@shardlayer/pg/PgRouter"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { addressed, page } from "./page.js"

const index = page("docs/index.md")
const ask = (text: string) => Effect.flatMap(SqlClient, (sql) => sql.unsafe(text))

index.runs<{
  Database: Layer.Layer<PgRouter.Provided, unknown>
  program: Effect.Effect<unknown, unknown, SqlClient>
}>("the-ordinary-client-over-several-databases ts", ({ Database, program }) =>
  Effect.gen(function* () {
    const cluster = yield* addressed({ shards: 2 })
    for (const { id } of cluster.shards) {
      yield* cluster.query(id, "create table users (id int8 primary key, name text)")
      yield* cluster.query(id, "create table orders (user_id int8, no int, cents int, primary key (user_id, no))")
    }
    const user = ask("insert into users values (7, 'Ada')")
    const orders = ask("insert into orders values (7, 1, 250), (7, 2, 500)")
    const done = Effect.all([user, orders, program])
    const [, , found] = yield* Effect.provide(done, Database)
    expect(found).toEqual({ user: { name: "Ada" }, best: [{ name: "Ada", cents: "750" }] })
  })
)

index.ends()
