/** `SqlResolver` as it is: batches over all shards, in transactions, under pins, cached. */
import * as SqlResolver from "@effect/sql/SqlResolver"
import type { SqlClient } from "@effect/sql/SqlClient"
import { layer } from "@effect/vitest"
import * as ShardResolver from "@shardlayer/core/ShardResolver"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Request from "effect/Request"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import * as People from "./people.js"
import { alike, layer as sides, same, Sides } from "./sides.js"

const { InsertPerson, Person } = People

const together = { batching: true, concurrency: "unbounded" } as const

const Visit = Schema.Struct({ personId: Schema.Number, at: Schema.Number, place: Schema.String })

/** The resolvers of `@effect/sql`'s README and one of each kind besides, with the batches that they are given. */
const service = (sql: SqlClient) =>
  Effect.gen(function* () {
    const batches: Array<ReadonlyArray<unknown>> = []
    const noted =
      <I, A>(run: (requests: Array<I>) => A) =>
      (requests: Array<I>) => {
        batches.push(requests)
        return run(requests)
      }
    const insertPerson = yield* SqlResolver.ordered("InsertPerson", {
      Request: InsertPerson,
      Result: Person,
      execute: noted((requests) => sql`INSERT INTO people ${sql.insert(requests)} RETURNING people.*`)
    })
    const personById = yield* SqlResolver.findById("GetPersonById", {
      Id: Schema.Number,
      Result: Person,
      ResultId: (_) => _.id,
      execute: noted((ids) => sql`SELECT * FROM people WHERE ${sql.in("id", ids)}`)
    })
    const visitsOf = yield* SqlResolver.grouped("VisitsOf", {
      Request: Schema.Number,
      RequestGroupKey: (id) => id,
      Result: Visit,
      ResultGroupKey: (visit) => visit.personId,
      execute: noted((ids) => sql`SELECT * FROM visits WHERE ${sql.in("person_id", ids)} ORDER BY at`)
    })
    const visit = yield* SqlResolver.void("Visit", {
      Request: Visit,
      execute: noted((visits) => sql`INSERT INTO visits ${sql.insert(visits)}`)
    })
    return { batches, insertPerson, personById, visitsOf, visit }
  })

/** A cache that no other test has filled. */
const withOwnCache = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Request.makeCache({ capacity: 1_000, timeToLive: "60 seconds" }), (cache) =>
    Effect.withRequestCache(effect, cache)
  )

const ids = [1, 2, 3, 4, 5, 6, 7, 8]

layer(sides(People), { excludeTestServices: true, timeout: 120_000 })("SqlResolver", (it) => {
  it.effect("ordered, void, findById, grouped: one batch each, whatever shards its rows are on", () =>
    Effect.gen(function* () {
      yield* same((sql) =>
        Effect.gen(function* () {
          const { batches, insertPerson, personById, visit, visitsOf } = yield* service(sql)
          const names = ids.map((id) => ({ name: `person ${id}` }))
          const made = yield* Effect.forEach(names, insertPerson.execute, together)
          const visits = ids.flatMap((id) =>
            [1, 2, 3].slice(id % 3).map((at) => ({ personId: id, at, place: `place ${at}` }))
          )
          yield* Effect.forEach(visits, visit.execute, together)
          const found = yield* Effect.forEach([...ids, 99], personById.execute, together)
          const groups = yield* Effect.forEach([...ids, 99], visitsOf.execute, together)
          return { made, found, groups, batches, all: yield* sql`SELECT * FROM visits ORDER BY person_id, at` }
        })
      )
    })
  )

  it.effect("concurrent fibers, each with a batch of its own", () =>
    Effect.gen(function* () {
      yield* same((sql) =>
        Effect.gen(function* () {
          const { personById, visitsOf } = yield* service(sql)
          const one = (from: number) =>
            Effect.forEach(
              ids.slice(from),
              (id) => Effect.zip(personById.execute(id), visitsOf.execute(id), { batching: true, concurrent: true }),
              together
            )
          return yield* Effect.forEach([0, 2, 4, 6], one, { concurrency: "unbounded" })
        })
      )
    })
  )

  it.effect("a batch that fails is that failure for each of its requests; one that misses rows, a mismatch", () =>
    Effect.gen(function* () {
      const twice = { personId: 1, at: 1, place: "again" }
      yield* alike((sql) =>
        Effect.flatMap(service(sql), ({ visit }) =>
          Effect.forEach([twice, { ...twice, personId: 2 }], visit.execute, together)
        )
      )
      yield* alike((sql) =>
        Effect.flatMap(
          SqlResolver.ordered("Short", {
            Request: Schema.Number,
            Result: Schema.Struct({ id: Schema.Number }),
            execute: (wanted) => sql`SELECT id FROM people WHERE ${sql.in("id", wanted)}`
          }),
          ({ execute }) => Effect.mapError(Effect.forEach([1, 99], execute, together), ({ _tag }) => _tag)
        )
      )
      yield* same((sql) => sql`SELECT count(*) FROM visits`)
    })
  )

  it.effect("in a transaction a batch sees its rows, and is undone with it", () =>
    Effect.gen(function* () {
      yield* same((sql) =>
        Effect.gen(function* () {
          const { insertPerson, personById } = yield* service(sql)
          const names = [1, 2, 3, 4].map((n) => ({ name: `inside ${n}` }))
          const inside = Effect.gen(function* () {
            const made = yield* Effect.forEach(names, insertPerson.execute, together)
            const found = yield* Effect.forEach(made, ({ id }) => personById.execute(id), together)
            return yield* Effect.fail(found.map(Option.map(({ name }) => name)))
          })
          const beside = personById.execute(1)
          const [seen] = yield* Effect.all([Effect.flip(sql.withTransaction(inside)), beside], together)
          return [seen, yield* sql`SELECT name FROM people WHERE name LIKE 'inside%'`]
        })
      )
    })
  )

  it.effect("cached, populated, invalidated", () =>
    Effect.gen(function* () {
      yield* same((sql) =>
        Effect.gen(function* () {
          const { batches, personById } = yield* service(sql)
          const get = (id: number) => personById.execute(id).pipe(Effect.withRequestCaching(true))
          const first = yield* Effect.forEach([1, 2, 1], get, together)
          const again = yield* Effect.forEach([1, 2, 3], get, together)
          yield* personById.cacheInvalidate(1)
          const anew = yield* get(1)
          const nobody = Effect.zipRight(personById.cachePopulate(7, Option.none()), get(7))
          return { first, again, anew, nobody: yield* Effect.withRequestCaching(nobody, true), batches }
        }).pipe(withOwnCache)
      )
    })
  )

  it.effect("under pins each request is its shard's, batched or cached", () =>
    Effect.gen(function* () {
      const { four, router } = yield* Sides
      const { personById } = yield* service(four.sql)
      const { people } = People.topology(["shard_1", "shard_2", "shard_3", "shard_4"]).tables
      const owners = new Map(
        yield* Effect.forEach(ids, (id) => Effect.map(router.locate(people, id), (shard) => [id, shard] as const))
      )
      const shards = [...new Set(owners.values())]
      expect(shards.length).toBeGreaterThan(1)
      // Every person on every shard, all at once: found where it lives, and nowhere else.
      const asks = shards.flatMap((shard) => ids.map((id) => ({ shard, id })))
      const ask = ({ id, shard }: (typeof asks)[number]) => router.onShard(personById.execute(id), shard)
      const isHere = asks.map(({ id, shard }) => owners.get(id) === shard)
      for (const options of [together, { concurrency: "unbounded" } as const, {}]) {
        const run = Effect.map(Effect.forEach(asks, ask, options), (found) => found.map(Option.isSome))
        expect(yield* run).toEqual(isHere)
        expect(yield* Effect.zipRight(run, run).pipe(Effect.withRequestCaching(true), withOwnCache)).toEqual(isHere)
      }
      // Inside of a pin requests are batched as ever.
      const { batches, personById: counted } = yield* service(four.sql)
      yield* Effect.forEach(
        shards,
        (shard) => router.onShard(Effect.forEach(ids, counted.execute, together), shard),
        together
      )
      expect(batches).toEqual(shards.map(() => ids))
    })
  )

  it.scoped("a data loader's batches keep to their shards and transactions", () =>
    Effect.gen(function* () {
      const { four, router } = yield* Sides
      const { sql } = four
      const { batches, personById } = yield* service(sql)
      const loader = yield* ShardResolver.dataLoader(personById, { window: "20 millis" })
      const load = personById.makeExecute(loader)
      const shards = ["shard_1", "shard_2", "shard_3", "shard_4"]
      const apart = yield* Effect.forEach(shards, (shard) =>
        Effect.fork(
          Effect.forEach(ids, (id) => Effect.fork(router.onShard(load(id), shard)).pipe(Effect.flatMap(Fiber.join)), {
            concurrency: "unbounded"
          })
        )
      )
      const found = yield* Effect.forEach(apart, Fiber.join)
      expect(found.map((people) => people.filter(Option.isSome).length).reduce((sum, n) => sum + n)).toBe(ids.length)
      expect(batches.map((batch) => batch.length)).toEqual(shards.map(() => ids.length))
      const inside = sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`UPDATE people SET name = 'changed'`
          const seen = yield* Effect.forEach(ids, load, { concurrency: "unbounded" })
          return yield* Effect.fail(seen.map(Option.map(({ name }) => name)))
        })
      )
      const [changed, outside] = yield* Effect.all(
        [Effect.flip(inside), Effect.zipRight(Effect.sleep("10 millis"), load(1))],
        { concurrency: 2 }
      )
      expect(changed).toEqual(ids.map(() => Option.some("changed")))
      expect(outside).toMatchObject({ value: { name: "person 1" } })
    })
  )
})
