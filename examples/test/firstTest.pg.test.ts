import "@shardlayer/testing/vitest"
import { Keyspace, Table, Topology } from "@shardlayer/core"
import { Expect, Oracle } from "@shardlayer/testing"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
  tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
})
const schema = ["CREATE TABLE users (id int8 PRIMARY KEY, name text NOT NULL)"]
const seed = ["INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger')"]

it.live("counts as one PostgreSQL does", () =>
  Oracle.differential({ topology, schema, seed, statements: ["SELECT count(*) FROM users"] })
)

it.scopedLive("reads a user from one shard", () =>
  Effect.gen(function* () {
    const { provide, sql } = yield* Oracle.make({ topology, schema, seed })
    expect(yield* provide(Expect.plan(sql`SELECT name FROM users WHERE id = ${1}`))).toBeSingleShard()
  })
)
