/**
 * What must not compile: `tsc` checks this file, and an unused `@ts-expect-error` is an error.
 */
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlClient } from "@effect/sql/SqlClient"
import type { KeyInvalid, ShardError, ShardLocked, UnknownShard } from "@shardlayer/core/ShardError"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Effect from "effect/Effect"
import type * as Types from "effect/Types"
import { describe, expectTypeOf, it } from "vitest"
import { topology } from "./support.js"

const { countries, events, orders, seats, settings, shops, users } = topology.tables

declare const router: ShardRouter.ShardRouterService
const work: Effect.Effect<number, SqlError, SqlClient> = Effect.flatMap(SqlClient, (sql) => Effect.as(sql`select 1`, 1))

/** Never run: it is there for the compiler. */
const compiled = {
  fits: () => [
    router.locate(users, 7),
    router.locate(users, 7n),
    router.locate(users, "7"),
    router.locate(users, [7]),
    router.locate(events, "6f1c5b80-6cc6-4dbf-a5a4-1e4a0a6f2b11"),
    router.locate(seats, [1, "a"]),
    ShardRouter.forKey(shops, "eu")(work),
    router.forKey(work, orders, 7)
  ],
  doesNotFit: () => [
    // @ts-expect-error a uuid key is text
    router.locate(events, 7),
    // @ts-expect-error an int8 key is no boolean
    router.locate(users, true),
    // @ts-expect-error a key of two columns is a tuple
    router.locate(seats, 1),
    // @ts-expect-error ... of two
    router.locate(seats, [1]),
    // @ts-expect-error ... in the order of the key
    router.locate(seats, ["a", 1]),
    // @ts-expect-error forKey on a text key
    ShardRouter.forKey(shops, 7),
    // @ts-expect-error forKey on an int8 key
    router.forKey(work, orders, { id: 7 }),
    // @ts-expect-error forKey on a uuid key
    ShardRouter.forKey(events, 7n)(work),
    // @ts-expect-error a reference table has no key
    ShardRouter.forKey(countries, "DE"),
    // @ts-expect-error a single table has no key
    router.locate(settings, "theme"),
    // @ts-expect-error no such table
    ShardRouter.forKey(topology.tables.nobody, 1)
  ]
}

describe("types", () => {
  it("keeps errors and requirements of what is pinned", () => {
    expectTypeOf(ShardRouter.forKey(users, 7)(work)).toEqualTypeOf<
      Effect.Effect<number, SqlError | ShardLocked | KeyInvalid, SqlClient | ShardRouter.ShardRouter>
    >()
    expectTypeOf(ShardRouter.onShard(work, "shard_1")).toEqualTypeOf<
      Effect.Effect<number, SqlError | ShardLocked | UnknownShard, SqlClient | ShardRouter.ShardRouter>
    >()
    expectTypeOf(ShardRouter.onAllShards(work)).toEqualTypeOf<
      Effect.Effect<ReadonlyMap<ShardId, number>, SqlError | ShardLocked, SqlClient | ShardRouter.ShardRouter>
    >()
    expectTypeOf(ShardRouter.lockShard(work)).toEqualTypeOf<typeof work>()
    expectTypeOf(ShardRouter.unchecked(work)).toEqualTypeOf<typeof work>()
  })

  it("every error of the union is tagged and says whether to try again", () => {
    expectTypeOf<Types.Tags<ShardError>>().toBeString()
    expectTypeOf<ShardError["isRetryable"]>().toBeBoolean()
    expectTypeOf(compiled).toBeObject()
  })
})
