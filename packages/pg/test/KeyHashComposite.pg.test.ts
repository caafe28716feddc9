// Keys of several columns, NULL parts among them, and the slot expression where it will stand: in a CHECK constraint.
import { describe, expect, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as fc from "fast-check"
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import { slotExpression } from "@shardlayer/pg/SlotExpression"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as KeyArbitrary from "../../core/test/topology/KeyArbitrary.js"

const count = 2000
const keys: ReadonlyArray<ReadonlyArray<KeyType>> = [
  ["int8"],
  ["bytea"],
  ["int8", "text"],
  ["timestamptz", "date"],
  ["uuid", "bool", "numeric"],
  ["text", "int4", "bytea", "date"],
  ["varchar", "int2", "timestamptz", "numeric", "uuid", "int8"]
]

/** A third of the parts is NULL; in a key of one column too. */
const sample = (types: ReadonlyArray<KeyType>, seed: number): ReadonlyArray<KeyValue.KeyTuple> =>
  fc
    .sample(fc.tuple(...types.map((type) => fc.option(KeyArbitrary.spelled(type), { freq: 2 }))), {
      numRuns: count,
      seed
    })
    .map((texts) => Either.getOrThrow(KeyValue.decode(types, texts)))

layer(PgCluster.layer({ shards: 1, mode: "databases" }), { excludeTestServices: true })("composite keys", (it) => {
  for (const [number, types] of keys.entries()) {
    for (const slots of [1, 16, 16384, 65536]) {
      it.effect(`(${types.join(", ")}) falls into the slot of ${slots} that a partitioned table agrees to`, () =>
        Effect.gen(function* () {
          const cluster = yield* PgCluster.PgCluster
          const seed = Math.floor(Math.random() * 2 ** 31)
          const tuples = sample(types, seed)
          const places = tuples.map((tuple) => KeyHash.slot(types, tuple, slots))
          const columns = types.map((_, index) => `k${index}`)
          const table = `composite_${number}_${slots}`
          yield* cluster.query(
            "shard_1",
            `create table ${table} (${columns.map((column, index) => `${column} ${types[index]}`).join(", ")})
             partition by hash (${columns.join(", ")})`
          )
          const rows = yield* cluster.query<{ readonly slot: number; readonly fits: boolean }>(
            "shard_1",
            `select ${slotExpression(types, columns, slots)} as slot,
                    satisfies_hash_partition('${table}'::regclass, ${slots}, place, ${columns.join(", ")}) as fits
             from unnest($1::int[], ${types.map((_, index) => `$${index + 2}::text[]`).join(", ")})
                  with ordinality as input(place, ${columns.map((column) => `t${column}`).join(", ")}, n),
                  lateral (select ${types.map((type, index) => `tk${index}::${type} as k${index}`).join(", ")}) as key
             order by n`,
            [places, ...types.map((_, index) => tuples.map((tuple) => tuple[index] ?? null))]
          )
          const wrong = rows.findIndex((row, index) => !row.fits || row.slot !== places[index])
          expect(rows).toHaveLength(count)
          expect(rows[wrong], `sample ${wrong} of seed ${seed}: ${places[wrong]}`).toBeUndefined()
        })
      )
    }
  }

  it.effect("a key of NULLs is in slot 0", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      expect(KeyHash.slot(["int8"], [null], 16384)).toBe(0)
      expect(KeyHash.slot(["int8", "text"], [null, null], 16384)).toBe(0)
      const one = slotExpression(["int8"], ["null::int8"], 16384)
      const two = slotExpression(["int8", "date"], ["null::int8", "null::date"], 16384)
      expect(yield* cluster.query("shard_1", `select ${one} as one, ${two} as two`)).toEqual([{ one: 0, two: 0 }])
    })
  )

  describe("in a CHECK constraint", () => {
    it.effect("keeps out exactly the rows of other slots, for every type", () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.PgCluster
        for (const [number, types] of keys.entries()) {
          const tuples = sample(types, number).slice(0, 200)
          const columns = types.map((_, index) => `"K ${index}"`)
          const table = `checked_${number}`
          yield* cluster.query(
            "shard_1",
            `create table ${table} (n int, ${columns.map((column, index) => `${column} ${types[index]}`).join(", ")},
               constraint own_slots check (${slotExpression(types, columns, 16384)} < 8192))`
          )
          const insert = `insert into ${table} select $1, ${types.map((type, index) => `$${index + 2}::text::${type}`).join(", ")}`
          for (const [index, tuple] of tuples.slice(0, 20).entries()) {
            const inside = KeyHash.slot(types, tuple, 16384) < 8192
            const result = yield* Effect.either(cluster.query("shard_1", insert, [index, ...tuple]))
            expect(Either.isRight(result), KeyValue.format(tuple)).toBe(inside)
            if (Either.isLeft(result)) expect(result.left).toMatchObject({ cause: { code: "23514" } })
          }
        }
      })
    )

    it.effect("an index can be built on it", () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.PgCluster
        const expression = slotExpression(["timestamptz", "text"], ["at", "name"], 16384)
        yield* cluster.query("shard_1", "create table indexed (at timestamptz, name text)")
        yield* cluster.query("shard_1", `create index indexed_slot on indexed (${expression})`)
        yield* cluster.query("shard_1", "insert into indexed values (now(), 'a'), (null, 'b'), ('infinity', null)")
        expect(
          yield* cluster.query("shard_1", `select count(*)::int as n from indexed where ${expression} >= 0`)
        ).toEqual([{ n: 3 }])
      })
    )
  })

  it.effect("text hashes by its bytes under any deterministic collation", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      const texts = KeyArbitrary.sample("text", 500, 7)
      const places = texts.map((text) => KeyHash.slot(["text"], [text], 16384))
      for (const collation of ["C", "ucs_basic", "und-x-icu", "sv-x-icu"]) {
        const table = `collated_${collation.replaceAll("-", "_")}`
        yield* cluster.query("shard_1", `create table ${table} (k text collate "${collation}") partition by hash (k)`)
        const rows = yield* cluster.query(
          "shard_1",
          `select count(*)::int as wrong from unnest($1::text[], $2::int[]) as input(k, place)
           where not satisfies_hash_partition('${table}'::regclass, 16384, place, k)
              or ${slotExpression(["text"], [`k collate "${collation}"`], 16384)} <> place`,
          [texts, places]
        )
        expect(rows).toEqual([{ wrong: 0 }])
      }
    })
  )
})

describe("slotExpression", () => {
  it("refuses keys and slot counts it cannot compute", () => {
    expect(() => slotExpression([], [], 16384)).toThrow(RangeError)
    expect(() => slotExpression(["int8"], ["a", "b"], 16384)).toThrow(RangeError)
    expect(() => slotExpression(["int8"], ["a"], 1000)).toThrow(RangeError)
    expect(() => slotExpression(["int8"], ["a"], 131072)).toThrow(RangeError)
  })
})
