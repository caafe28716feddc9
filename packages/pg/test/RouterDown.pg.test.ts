/**
 * One shard's server dies: its statements fail by name, those of other shards go on, and it heals.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import { type ShardError, ShardUnavailable } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { describe, expect } from "vitest"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    countries: Table.reference(),
    settings: Table.single("shard_2")
  }
})

const idOn = (shard: string): number => {
  for (let id = 1; ; id++) {
    const owner = Resolver.owner(topology, topology.keyspaces.user, [String(id)])
    if (owner._tag === "Shard" && owner.shard === shard) return id
  }
}
const [on1, on2, on3] = [idOn("shard_1"), idOn("shard_2"), idOn("shard_3")]

const routerOver = (cluster: PgCluster.PgCluster["Type"]) =>
  Effect.map(
    Layer.build(
      PgRouter.layer({
        topology,
        shards: Object.fromEntries(
          cluster.shards.map(({ id, url }) => [
            id,
            PgShard.layer({ url, maxConnections: 3, connectTimeout: "2 seconds" })
          ])
        )
      })
    ),
    (context) => ({ router: Context.get(context, ShardRouter.ShardRouter), sql: Context.get(context, SqlClient) })
  )

const expectDown = (shard: string, effect: Effect.Effect<unknown, ShardError>) =>
  Effect.map(Effect.flip(effect), (error) => {
    expect(error).toBeInstanceOf(ShardUnavailable)
    expect(error).toMatchObject({ shard })
  })

describe("a shard that is down", () => {
  it.scopedLive(
    "is named, others go on, and it heals",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 3, mode: "servers" })
        const { router, sql } = yield* routerOver(cluster)
        yield* router.onAllShards(
          Effect.all([
            sql`create table users (id int8 primary key, name text)`,
            sql`create table countries (code text primary key)`,
            sql`create table settings (name text primary key)`
          ])
        )
        yield* ShardRouter.unchecked(router.onAllShards(sql`insert into countries values ('de')`))
        for (const id of [on1, on2, on3]) yield* sql`insert into users (id, name) values (${id}, 'x')`

        yield* cluster.kill("shard_2")
        yield* expectDown("shard_2", router.query(sql`select * from users where id = ${on2}`))
        yield* expectDown("shard_2", router.query(sql`select * from settings`))
        yield* expectDown("shard_2", router.query(sql`select * from users`))
        yield* expectDown("shard_2", Stream.runDrain(router.stream(sql`select * from users`)))
        yield* expectDown("shard_2", router.query(sql`update users set name = 'y' where id = ${on2}`))
        expect(yield* Effect.flip(sql.withTransaction(sql`insert into users (id) values (${on2})`))).toMatchObject({
          cause: { _tag: "ShardUnavailable", shard: "shard_2" }
        })
        expect(yield* Effect.flip(router.onAllShards(sql`select 1`))).toMatchObject({ cause: { shard: "shard_2" } })

        for (const id of [on1, on3]) {
          expect(yield* sql`update users set name = 'y' where id = ${id} returning id`).toEqual([{ id: String(id) }])
          expect(yield* sql.withTransaction(sql`select name from users where id = ${id}`)).toEqual([{ name: "y" }])
        }
        expect((yield* sql`select id from users where ${sql.in("id", [on1, on3])}`).length).toBe(2)
        // Reference reads go past it, every turn.
        for (let read = 0; read < 9; read++) expect(yield* sql`select code from countries`).toEqual([{ code: "de" }])

        yield* cluster.restart("shard_2")
        const healed = yield* sql`select name from users where id = ${on2}`.pipe(
          Effect.retry({ times: 20, schedule: Schedule.spaced("50 millis") })
        )
        expect(healed).toEqual([{ name: "x" }])
        expect((yield* sql`select id from users`).length).toBe(3)
      }),
    60_000
  )

  it.scopedLive(
    "at start: the router comes up and plans for the others",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({ shards: 3, mode: "servers" })
        for (const { id } of cluster.shards)
          yield* cluster.query(id, "create table users (id int8 primary key, name text)")
        yield* cluster.query("shard_1", "create table countries (code text primary key)")
        yield* cluster.query("shard_3", "create table countries (code text primary key)")
        yield* cluster.kill("shard_2")
        const { router, sql } = yield* routerOver(cluster)
        yield* sql`insert into users (id, name) values (${on1}, 'a')`
        expect(yield* sql`select name from users where id = ${on1}`).toEqual([{ name: "a" }])
        yield* expectDown("shard_2", router.query(sql`select name from users where id = ${on2}`))
        for (let read = 0; read < 6; read++) expect(yield* sql`select code from countries`).toEqual([])
        // What differs is reported once the shard is back.
        yield* cluster.restart("shard_2")
        const mismatch = yield* Effect.flip(router.check)
        expect(mismatch).toMatchObject({ _tag: "SchemaMismatch" })
        expect(mismatch.message).toMatch(/shard_2.*countries|countries.*shard_2/)
      }),
    60_000
  )
})
