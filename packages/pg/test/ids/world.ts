import { SqlError } from "@effect/sql/SqlError"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export const keyspaces = { k: Keyspace.hash({ key: ["int8"] }), u: Keyspace.hash({ key: ["uuid"] }) }

export const tables = {
  users: Table.sharded({ key: "id", keyspace: "k", generate: { id: Id.snowflake() } }),
  orders: Table.sharded({
    key: "user_id",
    keyspace: "k",
    generate: { id: Id.sequence({ block: 10 }), token: Id.uuidv7() }
  }),
  docs: Table.sharded({ key: "id", keyspace: "u", generate: { id: Id.uuidv7() } }),
  safe: Table.sharded({ key: "id", keyspace: "k", generate: { id: Id.safeSnowflake() } }),
  counted: Table.sharded({ key: "id", keyspace: "k", generate: { id: Id.sequence({ block: 5, start: 100 }) } }),
  countries: Table.reference({ generate: { id: Id.sequence({ block: 5 }) } }),
  plain: Table.sharded({ key: "id", keyspace: "k" })
}

export const topology = Topology.make({ shards: ["shard_1", "shard_2", "shard_3"], keyspaces, tables })

export const schema = `
create table countries (id int primary key, name text);
create table users (id int8 primary key, name text default 'nobody', made timestamptz default now());
create table orders (
  user_id int8, id serial, item text, token uuid default gen_random_uuid(), primary key (user_id, id)
);
create table docs (title text, id uuid primary key default gen_random_uuid());
create table safe (id int8 primary key, name text);
create table counted (id bigserial primary key, name text);
create table plain (id bigserial primary key, name text);
create view named as select id, name from users;
`

export const cluster = Effect.gen(function* () {
  const made = yield* PgCluster.make({ shards: 3, meta: true, mode: "databases" })
  for (const { id } of made.shards) yield* made.query(id, schema)
  return made
})

type Cluster = Effect.Effect.Success<typeof cluster>

/** A router of its own over the cluster, whose tables lie on a database apart. */
export const routerOf = ({ node, shards }: Cluster, config: Partial<PgRouter.Config> = {}) =>
  Effect.gen(function* () {
    const meta = yield* node("meta")
    const context = yield* Layer.build(
      PgRouter.layer({
        topology,
        install: true,
        meta: PgShard.layer({ url: meta.url, maxConnections: 3, acquireTimeout: "2 seconds" }),
        shards: Object.fromEntries(
          shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 5, acquireTimeout: "3 seconds" })])
        ),
        ...config
      })
    )
    const router = Context.get(context, ShardRouter.ShardRouter)
    return { router, sql: router.client, context }
  })

export const failureOf = (error: ShardError | SqlError): ShardError => {
  const cause = error instanceof SqlError ? error.cause : error
  if (!isShardError(cause)) throw error
  return cause
}

/** How a statement fails: the code of a refusal, the SQLSTATE of a server's no, else the name of the error. */
export const codeOf = <A, R>(effect: Effect.Effect<A, ShardError | SqlError, R>) =>
  Effect.map(Effect.either(effect), (outcome) => {
    if (outcome._tag === "Right") return "none"
    const failure = failureOf(outcome.left)
    return failure._tag === "UnsupportedQuery" || failure._tag === "StatementFailed" ? failure.code : failure._tag
  })
