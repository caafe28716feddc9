/**
 * Loads the suite's rows: each through the routed client and once into the oracle.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"

const countries = [
  ["at", "Austria"],
  ["de", "Germany"],
  ["jp", "Japan"],
  ["us", "United States"]
] as const
const names = ["Ada", "Barbara", "Grace", "Edsger", "Donald", "Tony", "Robin", "Leslie"] as const

export const userIds: ReadonlyArray<number> = [...Array.from({ length: 24 }, (_, index) => index + 1), 42, -7]

const user = (id: number) => ({
  id,
  name: names[Math.abs(id) % names.length],
  country: id % 5 === 0 ? null : countries[Math.abs(id) % countries.length]![0],
  balance: `${id * 10}.50`,
  born: `19${70 + (Math.abs(id) % 30)}-02-03`,
  seen: new Date(Date.UTC(2025, 0, 1 + (Math.abs(id) % 28), 12, 30, 15, 123)),
  tags: id % 3 === 0 ? null : ["a", `t${id}`],
  profile: id % 4 === 0 ? null : JSON.stringify({ level: id, nested: { list: [1, null, "x"] } }),
  avatar: Buffer.from([0, id & 255, 255]),
  active: id % 6 !== 0
})

const ordersOf = (id: number) =>
  Array.from({ length: Math.abs(id) % 4 }, (_, index) => ({
    user_id: id,
    id: index + 1,
    status: index === 0 ? "paid" : "new",
    total: `${id * (index + 1)}.25`
  }))

const itemsOf = (order: { readonly user_id: number; readonly id: number }) =>
  Array.from({ length: order.id }, (_, index) => ({
    user_id: order.user_id,
    order_id: order.id,
    line: index + 1,
    sku: `sku-${(order.user_id + index) % 5}`,
    quantity: index + order.id
  }))

export const devices = [
  "0b5c3a0e-6f1a-4c59-9e5e-000000000001",
  "0b5c3a0e-6f1a-4c59-9e5e-000000000002",
  "f47ac10b-58cc-4372-a567-0e02b2c3d479"
] as const
const slugs = ["hello", "straße", "日本", "", "O'Reilly"] as const

/** Statements for one client; the reference and single tables are apart. */
const rows = (sql: SqlClient) =>
  Effect.gen(function* () {
    for (const id of userIds) {
      yield* sql`insert into users ${sql.insert(user(id))}`
      const orders = ordersOf(id)
      if (orders.length === 0) continue
      yield* sql`insert into orders ${sql.insert(orders)}`
      for (const order of orders) yield* sql`insert into items ${sql.insert(itemsOf(order))}`
    }
    for (const [index, device] of devices.entries()) {
      for (let minute = 0; minute <= index; minute++) {
        yield* sql`insert into events (device, at, kind) values (${device}, ${new Date(Date.UTC(2025, 5, 1, 0, minute))}, ${`k${minute}`})`
      }
    }
    for (const slug of slugs) yield* sql`insert into notes (slug, body) values (${slug}, ${`about ${slug}`})`
    for (const hall of [1, 2, 3, 4, 5, 6])
      for (const name of ["A1", "A2", "B1"])
        yield* sql`insert into seats (hall, name, holder) values (${hall}, ${name}, ${hall})`
    for (const region of ["eu", "us"])
      yield* sql`insert into shops (region, id, name) values (${region}, 1, ${`first in ${region}`}), (${region}, 2, 'second')`
    for (const bucket of [-5, 99, 200])
      yield* sql`insert into metrics (bucket, id, value) values (${bucket}, 1, ${bucket / 2})`
    for (const tenant of ["acme", "globex"])
      yield* sql`insert into invoices (tenant, id, amount) values (${tenant}, 1, ${"10.5"})`
    yield* sql`insert into settings (name, value) values ('theme', 'dark'), ('locale', 'de')`
    yield* sql`insert into journal (id, entry) values (1, 'opened')`
  })

export const load = (router: ShardRouter.ShardRouterService, sql: SqlClient, oracle: SqlClient) =>
  Effect.gen(function* () {
    const reference = (sql: SqlClient) =>
      sql`insert into countries ${sql.insert(countries.map(([code, name]) => ({ code, name })))}`
    yield* ShardRouter.unchecked(router.onAllShards(reference(sql)))
    yield* reference(oracle)
    yield* rows(sql)
    yield* rows(oracle)
  })
