/** A table of one shard, in a statement whose rows are on others: answered as by one PostgreSQL, or refused; the table is nowhere else. */
import { expect, it } from "@effect/vitest"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as Effect from "effect/Effect"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { tenant: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    orders: Table.sharded({ key: "tenant_id", keyspace: "tenant" }),
    colours: Table.reference(),
    settings: Table.single("shard_2")
  }
})

const setup: Oracle.Setup = {
  topology,
  schema: [
    "create table orders (tenant_id int8, id int4, primary key (tenant_id, id))",
    "create table colours (id int8 primary key)",
    "create table settings (id int8)"
  ],
  seed: [
    "insert into orders values (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)",
    "insert into colours values (1), (2)",
    "insert into settings values (7), (8)"
  ]
}

const unread = "with unread as (select id from settings)"

it.live("in a CTE that nothing reads", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const sides = yield* Oracle.make(setup)
      const answered = yield* sides.statements([
        `${unread} select id from colours`,
        `${unread} insert into orders values (9, 9)`,
        `${unread} insert into orders values (10, 9), (11, 9), (12, 9)`,
        "with unread as (select id from orders) select id from settings",
        "with unread as (select id from orders where tenant_id = 4) select id from orders where tenant_id = 1",
        `with settings as (select 1), unread as (select * from settings) select count(*) from orders`,
        `${unread} select count(*) from orders`,
        `${unread}, again as (select * from unread) (select id from orders) except all (select tenant_id from orders)`
      ])
      expect(answered).toEqual({ compared: 8, refused: [], undetermined: [] })
      const refused = yield* sides.statements([
        `select id from orders where exists (${unread} select 1 from colours)`,
        `${unread} update orders set id = id + 1`,
        `${unread} delete from orders where id > 3`
      ])
      expect(refused.refused.map(({ code }) => code)).toEqual(["SL4017", "SL4012", "SL4012"])
    })
  )
)

it.live("in the values of rows", () =>
  Effect.gen(function* () {
    const statements = [21, 22, 23, 24].map(
      (tenant) => `insert into orders values (${tenant}, (select count(*) from settings))`
    )
    const report = yield* Oracle.differential({
      ...setup,
      statements: [
        ...statements,
        "insert into orders select id, id from settings",
        "insert into orders select * from nowhere"
      ]
    })
    expect(report.compared).toBe(5)
    expect(report.refused.map(({ code }) => code)).toEqual(["SL2002"])
  })
)
