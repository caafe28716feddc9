/**
 * What a model's queries must not compile to: `tsc` checks this file, and an unused `@ts-expect-error` is an error.
 */
import * as Model from "@effect/sql/Model"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as ShardedModel from "@shardlayer/core/ShardedModel"
import type * as BigDecimal from "effect/BigDecimal"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { describe, expectTypeOf, it } from "vitest"
import { topology } from "./support.js"

class User extends Model.Class<User>("User")({
  id: Model.Generated(Schema.BigInt),
  name: Schema.String,
  status: Schema.Literal("new", "old"),
  nick: Model.FieldOption(Schema.String),
  age: Schema.NullOr(Schema.Int),
  active: Schema.Boolean,
  since: Schema.DateFromSelf
}) {}

class Seat extends Model.Class<Seat>("Seat")({ hall: Schema.Int, name: Schema.String, taken: Schema.Boolean }) {}

const users = ShardedModel.make(User, { table: topology.tables.users, key: "id" })
const seats = ShardedModel.make(Seat, { table: topology.tables.seats, key: ["hall", "name"] })

declare const Users: Effect.Effect.Success<typeof users>
declare const Seats: Effect.Effect.Success<typeof seats>
declare const sql: SqlClient
declare const filter: { readonly id?: bigint; readonly active: boolean }
const { gt, ne } = ShardedModel
const anyOf = ShardedModel.in

/** Never run: it is there for the compiler. */
const compiled = {
  fits: () => [
    Users.where({ id: 7n }).all,
    Users.where({ id: anyOf([7n, 8n]) }).all,
    Users.where({ active: true }).where({ id: 7n }).orderBy("name").limit(3).first,
    Users.where({ active: true }).scatter().all,
    Users.where({ active: true }).limit(3).scatter().stream,
    Users.onAllShards.count,
    Users.onShard("shard_1").where(sql`age > 3`).exists,
    Users.forKey(7n).paginate({ size: 3 }),
    Users.where(Users.and({ id: 7n }, Users.or({ age: gt(3) }, { status: "new" }))).all,
    Users.where(Users.or({ id: 7n, active: true }, { id: anyOf([8n]) })).all,
    Users.where({ nick: "x", status: ne("old"), id: 7n }).count,
    Seats.where({ hall: 1, name: "a" }).all,
    Seats.where({ hall: 1 }).where({ name: "a" }).all,
    Seats.forKey({ hall: 1, name: "a" }).count,
    Seats.findById({ hall: 1, name: "a" }),
    Users.scatter()
      .orderBy(sql`lower(nick)`, "desc")
      .paginate({ size: 3, before: "x" }),
    Users.where({ id: 7n }).updateAll({ active: false }),
    Users.where({ active: false }).scatter().deleteAll,
    Users.scatter()
      .groupBy("status")
      .aggregate({ users: ShardedModel.count, years: ShardedModel.sum("age"), nick: ShardedModel.max("nick") })
      .having({ users: gt(3), years: gt(3n), nick: "x" })
      .having(sql`min(age) > 3`).all
  ],
  needsTheKey: () => [
    // @ts-expect-error every row is a choice
    Users.all,
    // @ts-expect-error no key
    Users.where({ active: true }).all,
    // @ts-expect-error no key
    Users.where({ active: true }).orderBy("name").limit(10).first,
    // @ts-expect-error no key
    Users.where({ active: true }).count,
    // @ts-expect-error no key
    Users.where({ active: true }).stream,
    // @ts-expect-error no key
    Users.where({ active: true }).paginate({ size: 3 }),
    // @ts-expect-error no key
    Users.where({ active: true }).groupBy("name"),
    // @ts-expect-error no key
    Users.where({ active: true }).updateAll({ active: false }),
    // @ts-expect-error no key
    Users.where({ active: true }).deleteAll,
    // @ts-expect-error a range names no key
    Users.where({ id: gt(7n) }).all,
    // @ts-expect-error every key but one
    Users.where({ id: ne(7n) }).all,
    // @ts-expect-error one branch has no key
    Users.where(Users.or({ id: 7n }, { active: true })).all,
    // @ts-expect-error not that key
    Users.where(Users.not({ id: 7n })).all,
    // @ts-expect-error what a fragment names is not seen
    Users.where(sql`id = ${7}`).all,
    // @ts-expect-error the key may be left out
    Users.where(filter).all,
    // @ts-expect-error half of the key
    Seats.where({ hall: 1 }).all,
    // @ts-expect-error both halves, on different paths
    Seats.where(Seats.or({ hall: 1 }, { name: "a" })).all
  ],
  doesNotFit: () => [
    // @ts-expect-error no such field
    Users.where({ id: 7n, nope: 1 }),
    // @ts-expect-error another type
    Users.where({ id: "7" }),
    // @ts-expect-error another type
    Users.where({ age: gt("7") }),
    // @ts-expect-error no such status
    Users.where({ status: "gone" }),
    // @ts-expect-error no such status among them
    Users.where({ status: anyOf(["new", "gone"]) }),
    // @ts-expect-error patterns are for texts
    Users.where({ age: ShardedModel.like("7%") }),
    // @ts-expect-error no such field
    Users.orderBy("nope"),
    // @ts-expect-error what was limited is not refined
    Users.onAllShards.limit(3).where({ active: true }),
    // @ts-expect-error no pages of what was limited
    Users.onAllShards.limit(3).paginate({ size: 2 }),
    // @ts-expect-error rows that were counted out are not written
    Users.onAllShards.limit(3).updateAll({ active: false }),
    // @ts-expect-error rows that were counted out are not written
    Users.onAllShards.limit(3).deleteAll,
    // @ts-expect-error one way or the other
    Users.onAllShards.paginate({ size: 2, after: "x", before: "y" }),
    // @ts-expect-error no such field
    Users.onAllShards.updateAll({ nope: 1 }),
    // @ts-expect-error another type
    Users.onAllShards.updateAll({ active: "yes" }),
    // @ts-expect-error no such aggregate
    Users.onAllShards.groupBy("status").aggregate({ users: ShardedModel.count }).having({ nope: 1 }),
    // @ts-expect-error a count is a number
    Users.onAllShards.groupBy("status").aggregate({ users: ShardedModel.count }).having({ users: "3" }),
    // @ts-expect-error booleans have no sum
    Users.onAllShards.sum("active"),
    // @ts-expect-error dates have no sum
    Users.onAllShards.sum("since"),
    // @ts-expect-error a key of two fields is an object of both
    Seats.findById(1),
    // @ts-expect-error a key of two fields is an object of both
    Seats.forKey({ hall: 1 }),
    // @ts-expect-error the database makes the id
    Users.insert({ id: 7n, name: "x" }),
    // @ts-expect-error no such field
    ShardedModel.make(User, { table: topology.tables.users, key: "nope" }),
    // @ts-expect-error a reference table has no key
    ShardedModel.make(User, { table: topology.tables.countries, key: "id" })
  ]
}

describe("types of models", () => {
  it("rows, options and errors are those of the model", () => {
    type Failure = SqlError | ParseError
    type Of<T> = Effect.Effect<T, Failure>
    const all = () => Users.onAllShards
    expectTypeOf<ReturnType<typeof all>["all"]>().toEqualTypeOf<Of<ReadonlyArray<User>>>()
    expectTypeOf<ReturnType<typeof all>["first"]>().toEqualTypeOf<Of<Option.Option<User>>>()
    expectTypeOf<ReturnType<typeof all>["count"]>().toEqualTypeOf<Of<number>>()
    const reads = () => ({
      sum: all().sum("age"),
      nick: all().min("nick"),
      age: all().max("age"),
      groups: all()
        .groupBy("status")
        .aggregate({ users: ShardedModel.count, oldest: ShardedModel.max("age") }).all
    })
    type Reads = ReturnType<typeof reads>
    expectTypeOf<Reads["sum"]>().toEqualTypeOf<Of<Option.Option<BigDecimal.BigDecimal>>>()
    expectTypeOf<Reads["nick"]>().toEqualTypeOf<Of<Option.Option<string>>>()
    expectTypeOf<Reads["age"]>().toEqualTypeOf<Of<Option.Option<number>>>()
    type Group = Effect.Effect.Success<Reads["groups"]>[number]
    expectTypeOf<Group["status"]>().toEqualTypeOf<"new" | "old">()
    expectTypeOf<Group["users"]>().toEqualTypeOf<number>()
    expectTypeOf<Group["oldest"]>().toEqualTypeOf<Option.Option<number>>()
    expectTypeOf<ReturnType<(typeof Users)["update"]>>().toEqualTypeOf<
      Effect.Effect<User, Failure | ShardedModel.RowNotFound>
    >()
    expectTypeOf(compiled).toBeObject()
  })
})
