// The order and the identity of values against the server's own, for every kind and in several time zones.
import { describe, expect, layer } from "@effect/vitest"
import * as Compare from "@shardlayer/core/merge/Compare"
import * as Identity from "@shardlayer/core/merge/Identity"
import * as RowOrder from "@shardlayer/core/merge/RowOrder"
import type { SortKey, TextRow } from "@shardlayer/core/plan/Merge"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Kinds from "./kinds.js"
import { openTexts } from "./texts.js"

const count = 3000

const directions = [
  { descending: false, nullsFirst: false },
  { descending: false, nullsFirst: true },
  { descending: true, nullsFirst: false },
  { descending: true, nullsFirst: true }
]

const written = (key: Omit<SortKey, "column">): string =>
  `${key.descending ? "desc" : "asc"} nulls ${key.nullsFirst ? "first" : "last"}`

const zonesOf = (subject: Kinds.Subject): ReadonlyArray<string> =>
  subject.kind._tag === "TimestampTz" ? Kinds.timeZones : ["UTC"]

const cases = Kinds.subjects.flatMap((subject) => zonesOf(subject).map((timeZone) => ({ ...subject, timeZone })))

layer(PgCluster.layer({ shards: 1, mode: "databases" }), { excludeTestServices: true })("a server", (it) => {
  const session = (timeZone: string) =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      const query = yield* openTexts(yield* cluster.node("shard_1"), timeZone)
      yield* query(Kinds.createTypes)
      return query
    })

  describe.each(cases)("$name in $timeZone", (subject) => {
    it.scoped("orders values as Compare does", () =>
      Effect.gen(function* () {
        const seed = Kinds.randomSeed()
        const query = yield* session(subject.timeZone)
        const values = Kinds.sample(subject, count, seed)
        for (const direction of directions) {
          // The rank tells which neighbours are equal to the server; rows of one rank come in any order.
          const rows = yield* query(
            `select value, dense_rank() over (order by value ${subject.collate} ${written(direction)}) as rank
             from (select text::${subject.type} as value from unnest($1::text[]) as input(text)) as inputs
             order by rank`,
            [values]
          )
          const order = RowOrder.make([{ column: 0, ...direction }], [subject.kind])
          const keys = rows.map(order.decode)
          for (let index = 1; index < rows.length; index++) {
            const expected = rows[index - 1]![1] === rows[index]![1] ? 0 : -1
            const [left, right] = [keys[index - 1]!, keys[index]!]
            const ordering = Math.sign(order.compare(left, right))
            const opposite = Math.sign(order.compare(right, left))
            if (ordering !== expected || opposite + expected !== 0) {
              const places = `${rows[index - 1]![0]} and ${rows[index]![0]}`
              expect.fail(`${places} compare as ${ordering} and ${opposite}, not ${expected}; seed ${seed}`)
            }
          }
          expect(rows).toHaveLength(count)
        }
      })
    )

    it.scoped("orders any two values as Compare does", () =>
      Effect.gen(function* () {
        const seed = Kinds.randomSeed()
        const query = yield* session(subject.timeZone)
        const rows = yield* query(
          `select value, dense_rank() over (order by value ${subject.collate}) as rank
           from (select text::${subject.type} as value from unnest($1::text[]) as input(text)) as inputs
           where value is not null
           order by random()`,
          [Kinds.sample(subject, 1500, seed)]
        )
        const compare = Compare.compare(subject.kind)
        for (const [index, left] of rows.entries()) {
          for (const right of rows.slice(index, index + 100)) {
            const expected = Math.sign(Number(left[1]) - Number(right[1]))
            if (compare(left[0]!, right[0]!) !== expected) {
              expect.fail(`${left[0]} and ${right[0]} do not compare as ${expected}; seed ${seed}`)
            }
          }
        }
        expect(rows.length).toBeGreaterThan(1000)
      })
    )

    it.scoped("tells values apart as Identity does", () =>
      Effect.gen(function* () {
        const seed = Kinds.randomSeed()
        const query = yield* session(subject.timeZone)
        const rows = yield* query(
          `select unnest(same), number
           from (select array_agg(value) as same, min(number) as number
                 from (select number, text::${subject.type} as value
                       from unnest($1::text[]) with ordinality as input(text, number)) as inputs
                 group by value) as groups`,
          [Kinds.sample(subject, count, seed)]
        )
        expect(rows).toHaveLength(count)
        const identityOf = Identity.ofColumns([0], [subject.kind])
        expect(mismatch(rows, identityOf), `seed ${seed}`).toBeUndefined()
        expect(new Set(rows.map(identityOf)).size).toBe(new Set(rows.map((row) => row[1])).size)
      })
    )
  })

  it.scoped("groups tuples as Identity does", () =>
    Effect.gen(function* () {
      const seed = Kinds.randomSeed()
      const query = yield* session("America/New_York")
      const rows = yield* query(
        `with inputs as materialized (
           select number, a::numeric as a, b::text as b, c::bpchar as c
           from unnest($1::text[], $2::text[], $3::text[]) with ordinality as input(a, b, c, number)
         )
         select a, b, c, min(number) over (partition by a, b, c) from inputs`,
        [
          pick(["1", "1.0", "1.00", "0", "-0.0", "NaN", "11", null], seed),
          pick(["", "1", "11", "N", "=", "1:", null, "\u{1f600}"], seed + 1),
          pick(["", " ", "a", "a ", "N", null], seed + 2)
        ]
      )
      expect(rows).toHaveLength(count)
      const identityOf = Identity.ofColumns(
        [0, 1, 2],
        [{ _tag: "Numeric" }, { _tag: "Text", bytewise: false }, { _tag: "Char", bytewise: false }]
      )
      expect(
        mismatch(
          rows.map(([a, b, c, group]) => [[a!, b!, c!], group!] as const),
          ([row]) => identityOf(row)
        ),
        `seed ${seed}`
      ).toBeUndefined()
    })
  )

  it.scoped("orders rows of several keys as RowOrder does", () =>
    Effect.gen(function* () {
      const kinds = Kinds.subjects
      const query = yield* session("America/St_Johns")
      for (let run = 0; run < 40; run++) {
        const seed = Kinds.randomSeed()
        const random = randomNumbers(seed)
        const subjects = [0, 1, 2].map(() => kinds[random(kinds.length)]!)
        const keys = subjects.map((_, column) => ({ column, ...directions[random(directions.length)]! }))
        // Few different values a column, so that the later keys matter.
        const columns = subjects.map((subject) => {
          const few = Kinds.sample(subject, 6, random(2 ** 31))
          return Array.from({ length: 500 }, () => few[random(few.length)])
        })
        const rows = yield* query(
          `select *, dense_rank() over (order by ${keys.map((key, index) => `v${index} ${subjects[index]!.collate} ${written(key)}`).join(", ")})
           from (select ${subjects.map((subject, index) => `t${index}::${subject.type} as v${index}`).join(", ")}
                 from unnest($1::text[], $2::text[], $3::text[]) as input(t0, t1, t2)) as inputs`,
          columns
        )
        const order = RowOrder.make(
          keys,
          subjects.map((subject) => subject.kind)
        )
        const sorted = RowOrder.sort(order, rows)
        const ranks = sorted.map((row) => Number(row[3]))
        const [name, decoded] = [subjects.map((subject) => subject.name).join(", "), sorted.map(order.decode)]
        expect(ranks, `${name}; seed ${seed}`).toEqual([...ranks].sort((left, right) => left - right))
        for (let index = 1; index < sorted.length; index++) {
          const equal = order.compare(decoded[index - 1]!, decoded[index]!) === 0
          if (equal !== (ranks[index - 1] === ranks[index])) expect.fail(`${name}: ${sorted[index]}; seed ${seed}`)
        }
      }
    })
  )
})

/** The first row whose identity belongs to another group of the server's, or whose group has another identity. */
const mismatch = <Row extends readonly [unknown, unknown] | TextRow>(
  rows: ReadonlyArray<Row>,
  identityOf: (row: Row) => string
): Row | undefined => {
  const groups = new Map<string, unknown>()
  const identities = new Map<unknown, string>()
  return rows.find((row) => {
    const identity = identityOf(row)
    if (!groups.has(identity)) groups.set(identity, row[1])
    if (!identities.has(row[1])) identities.set(row[1], identity)
    return groups.get(identity) !== row[1] || identities.get(row[1]) !== identity
  })
}

/** Marsaglia's xorshift: the same numbers for the same seed. */
const randomNumbers = (seed: number): ((below: number) => number) => {
  let state = seed | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const pick = <A>(values: ReadonlyArray<A>, seed: number): ReadonlyArray<A> => {
  const random = randomNumbers(seed)
  return Array.from({ length: count }, () => values[random(values.length)]!)
}
