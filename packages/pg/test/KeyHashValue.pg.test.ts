// Canonical texts against the server: whatever the session's settings, and whatever JavaScript value the driver sends.
import { describe, expect, layer } from "@effect/vitest"
import * as fc from "fast-check"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import * as KeyOrder from "@shardlayer/core/topology/KeyOrder"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as KeyArbitrary from "../../core/test/topology/KeyArbitrary.js"

const canonical = (type: KeyType.KeyType, value: unknown): string =>
  Either.getOrThrowWith(KeyValue.canonical(type, value), (reason) => new Error(reason)) ?? "NULL"

/** As PostgreSQL prints the value, but for the zeros a numeric's scale adds. */
const printed = (type: KeyType.KeyType, sql: string): string =>
  type === "numeric" ? `trim_scale(${sql})::text` : type === "bool" ? `left((${sql})::text, 1)` : `(${sql})::text`

const settings = [
  { datestyle: "German, DMY", timezone: "Asia/Kathmandu", intervalstyle: "iso_8601" },
  { datestyle: "SQL, MDY", timezone: "America/St_Johns", intervalstyle: "sql_standard" },
  { datestyle: "Postgres, YMD", timezone: "Pacific/Apia", intervalstyle: "postgres_verbose" },
  { datestyle: "ISO, DMY", timezone: "<XYZ>-13:37", intervalstyle: "postgres" }
]

layer(PgCluster.layer({ shards: 1, mode: "databases" }), { excludeTestServices: true })("canonical", (it) => {
  describe.each(settings)("under %o", ({ datestyle, intervalstyle, timezone }) => {
    it.effect("every accepted text, and its canonical text, means the same", () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.PgCluster
        const node = yield* cluster.createDatabase("shard_1")
        for (const [name, value] of Object.entries({ datestyle, timezone, intervalstyle, bytea_output: "escape" })) {
          yield* PgCluster.query(node, `alter database "${node.database}" set ${name} = '${value}'`)
        }
        expect(yield* PgCluster.query(node, "select current_setting('timezone') as timezone")).toEqual([{ timezone }])
        for (const type of KeyType.all) {
          const seed = Math.floor(Math.random() * 2 ** 31)
          const texts = KeyArbitrary.sample(type, 1000, seed)
          const keys = texts.map((text) => canonical(type, text))
          const rows = yield* PgCluster.query<{ readonly n: number }>(
            node,
            `select n::int from unnest($1::text[], $2::text[]) with ordinality as input(text, canonical, n)
             where (text::${type} = canonical::${type}) is not true order by n`,
            [texts, keys]
          )
          const first = rows[0]?.n ?? 0
          expect(rows.length, `${type}, seed ${seed}: ${texts[first - 1]} → ${keys[first - 1]}`).toBe(0)
        }
      })
    )
  })

  it.effect("equal keys have one canonical text, and only they", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      const numerics = [
        "1",
        "1.0",
        "1e0",
        "10e-1",
        "0.1e1",
        "-0",
        "0",
        "0.000",
        "1e-20",
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "100"
      ]
      const rows = yield* cluster.query<{ readonly a: string; readonly b: string; readonly equal: boolean }>(
        "shard_1",
        "select a, b, a::numeric = b::numeric as equal from unnest($1::text[]) as a, unnest($1::text[]) as b",
        [numerics]
      )
      for (const { a, b, equal } of rows) {
        expect(canonical("numeric", a) === canonical("numeric", b), `${a} = ${b}`).toBe(equal)
      }
    })
  )

  it.effect.each(KeyType.all.map((type) => ({ type })))("the order of $type is the server's", ({ type }) =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      const seed = Math.floor(Math.random() * 2 ** 31)
      const keys = [...new Set(KeyArbitrary.sample(type, 3000, seed).map((text) => canonical(type, text)))]
      const collate = KeyType.family(type) === "text" ? 'collate "C"' : ""
      const rows = yield* cluster.query<{ readonly key: string }>(
        "shard_1",
        `select key from unnest($1::text[]) as input(key) order by key::${type} ${collate}`,
        [keys]
      )
      const sorted = [...keys].sort(KeyOrder.compare(type))
      const wrong = rows.findIndex((row, index) => row.key !== sorted[index])
      expect(rows).toHaveLength(sorted.length)
      expect(rows[wrong], `position ${wrong} of seed ${seed}, ours is ${sorted[wrong]}`).toBeUndefined()
    })
  )

  describe("of what the driver sends", () => {
    const values: ReadonlyArray<readonly [KeyType.KeyType, ReadonlyArray<unknown>]> = [
      ["int2", [0, -0, 1, -32768, 32767, 7n, "8", " +9 "]],
      ["int4", [0, -0, -2147483648, 2147483647, 42n, "0042"]],
      ["int8", [0, 2 ** 53, -(2 ** 53), 9223372036854775807n, -9223372036854775808n, "9007199254740993", "-0"]],
      ["text", ["", "é", "\uD800", "a\uDC00b", "\u{1F600}", 1.5, 10n, true, -0, Number.NaN, 1e21]],
      ["varchar", ["x ", "\uDFFF\uD800", 7]],
      ["uuid", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"]],
      [
        "bytea",
        [
          Uint8Array.of(),
          Uint8Array.of(0, 255),
          Buffer.from("abc"),
          new Uint8Array([1, 2, 3, 4]).subarray(1, 3),
          new Uint16Array([1, 2]),
          new DataView(Uint8Array.of(9, 8, 7).buffer, 1),
          "\\xDEad",
          "a\\\\b\\000",
          "\uD800"
        ]
      ],
      ["bool", [true, false, 1, 0, 1n, "yes", "OF"]],
      ["date", ["2024-02-29", "0044-03-15 BC", "-infinity"]],
      [
        "timestamptz",
        [
          "2024-02-29T12:00:00.123456Z",
          new Date(0),
          new Date(1709208000123),
          new Date(-62198755200001),
          new Date(-1),
          new Date(8.64e15),
          new Date(-2e14),
          new Date("1970-06-01T00:00:00.001Z")
        ]
      ],
      [
        "numeric",
        [
          0,
          -0,
          0.1,
          1e21,
          1e-7,
          5e-324,
          1.7976931348623157e308,
          Number.NaN,
          Infinity,
          -Infinity,
          10n ** 40n,
          "1_0".replace("_", "")
        ]
      ]
    ]
    for (const [type, list] of values) {
      it.effect(type, () =>
        Effect.gen(function* () {
          const cluster = yield* PgCluster.PgCluster
          for (const value of list) {
            const rows = yield* cluster.query("shard_1", `select ${printed(type, `$1::${type}`)} as printed`, [value])
            expect(rows, String(value)).toEqual([{ printed: canonical(type, value) }])
          }
          expect(KeyValue.canonical(type, null)).toEqual(Either.right(null))
          expect(KeyValue.canonical(type, undefined)).toEqual(Either.right(null))
        })
      )
    }

    it.effect("a Date, in any time zone of the process, or it is refused", () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.PgCluster
        const zone = process.env["TZ"]
        // Offsets of whole minutes, of seconds (Amsterdam until 1937, Monrovia until 1972), and far from UTC.
        const millis = [0, 1709208000123, -1, -1e12, -1.2e12, -3e12, -62198755200001, 8.64e15, 951827696789]
        let refused = 0
        try {
          for (const name of [
            "UTC",
            "Asia/Kathmandu",
            "Europe/Amsterdam",
            "Africa/Monrovia",
            "Pacific/Apia",
            "America/New_York"
          ]) {
            process.env["TZ"] = name
            for (const milli of millis) {
              const key = KeyValue.canonical("timestamptz", new Date(milli))
              if (Either.isLeft(key)) {
                refused++
                continue
              }
              const rows = yield* cluster.query("shard_1", "select $1::timestamptz::text as printed", [new Date(milli)])
              expect(rows, `${name} ${milli}`).toEqual([{ printed: key.right }])
            }
          }
        } finally {
          if (zone === undefined) delete process.env["TZ"]
          else process.env["TZ"] = zone
        }
        expect(refused).toBeGreaterThan(0)
        expect(refused).toBeLessThan(30)
      })
    )
  })

  it.effect("what is refused as malformed or out of range, the server refuses too", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      const refused: Record<KeyType.KeyType, ReadonlyArray<unknown>> = {
        int2: ["", " ", "32768", "-32769", "1.0", "1e3", "--1", "+-1", "1 2", "\u00a01", true, 0.5, 65536],
        int4: ["2147483648", "-2147483649", "NaN", Number.NaN, Infinity, 1e21, 2 ** 31],
        int8: ["9223372036854775808", "-9223372036854775809", 2 ** 63, 1e300],
        text: ["a\0b"],
        varchar: ["\0"],
        uuid: [
          "",
          "a0eebc99",
          "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
          "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
          " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
          "a0eebc9-99c0b-4ef8-bb6d-6bb9bd380a11",
          5
        ],
        bytea: ["\\", "\\x1", "\\xzz", "\\9", "\\400", "a\\b", "\\x0 1"],
        bool: ["", "o", "2", "truer", "tf", "10", 2, "\u00a0t"],
        date: [
          "",
          "2024-02-30",
          "2023-02-29",
          "2024-13-01",
          "2024-00-01",
          "2024-01-00",
          "0000-01-01",
          "5874898-01-01",
          "4714-11-23 BC",
          "1900-02-29"
        ],
        timestamptz: [
          "2024-02-30 00:00Z",
          "2024-01-01 25:00Z",
          "2024-01-01 00:60Z",
          "2024-01-01 00:00+16",
          "2024-01-01 00:00+00:60",
          "294277-01-01 00:00Z",
          "4714-11-24 01:00+02 BC",
          "0000-01-01 00:00Z",
          "294276-12-31 23:59:59-01"
        ],
        numeric: [
          "",
          ".",
          "-",
          "1e",
          "e5",
          "1.2.3",
          "++1",
          "nano",
          "1 2",
          "0x1g",
          "1e140000",
          "1e-17000",
          "\u00a01",
          true
        ]
      }
      for (const type of KeyType.all) {
        for (const value of refused[type]) {
          const ours = KeyValue.canonical(type, value)
          expect(Either.isLeft(ours), `${type} ${JSON.stringify(value)}`).toBe(true)
          const server = yield* Effect.either(cluster.query("shard_1", `select $1::${type} as value`, [value]))
          expect(Either.isLeft(server), `${type} ${JSON.stringify(value)} on the server`).toBe(true)
        }
      }
    })
  )

  it.effect.each(KeyType.all.map((type) => ({ type })))(
    "a misspelled $type means to us what it means to the server, or nothing",
    ({ type }) =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.PgCluster
        const seed = Math.floor(Math.random() * 2 ** 31)
        const texts = fc.sample(KeyArbitrary.misspelled(type), { numRuns: 10_000, seed })
        // Halves of surrogate pairs and U+0000 never reach the server as they are.
        const sendable = texts.filter((text) => !/[\p{Surrogate}\0]/u.test(text))
        const accepted = sendable.flatMap((text) =>
          Either.match(KeyValue.canonical(type, text), { onLeft: () => [], onRight: (key) => [{ text, key }] })
        )
        const rows = yield* cluster.query<{ readonly n: number; readonly valid: boolean }>(
          "shard_1",
          `select n::int, pg_input_is_valid(text, '${type}') as valid
           from unnest($1::text[], $2::text[]) with ordinality as input(text, canonical, n)
           where case when pg_input_is_valid(text, '${type}') then text::${type} <> canonical::${type} else true end`,
          [accepted.map(({ text }) => text), accepted.map(({ key }) => key)]
        )
        expect(accepted.length).toBeGreaterThan(0)
        expect(rows.map(({ n, valid }) => ({ ...accepted[n - 1], valid, seed })).slice(0, 3)).toEqual([])
      })
  )

  it.effect("the limits of numeric hold on the server", () =>
    Effect.gen(function* () {
      const cluster = yield* PgCluster.PgCluster
      const texts = [
        `${"9".repeat(131072)}.${"9".repeat(16383)}`,
        `1${"0".repeat(131071)}`,
        "1e16383",
        "1e-16383",
        `0.${"0".repeat(16382)}1`
      ]
      for (const text of texts) {
        const key = canonical("numeric", text)
        const rows = yield* cluster.query<{ readonly same: boolean; readonly hash: string }>(
          "shard_1",
          `select $1::numeric = $2::numeric as same, hash_numeric_extended($1::numeric, ${KeyHash.seed})::text as hash`,
          [text, key]
        )
        expect(rows).toEqual([{ same: true, hash: BigInt.asIntN(64, KeyHash.part("numeric", key)).toString() }])
      }
      for (const text of ["9".repeat(131073), `0.${"0".repeat(16383)}1`]) {
        expect(Either.isLeft(KeyValue.canonical("numeric", text))).toBe(true)
        expect(yield* Effect.either(cluster.query("shard_1", "select $1::numeric", [text]))).toMatchObject({
          _tag: "Left"
        })
      }
    })
  )
})
