/**
 * Every kind that merges know, as the PostgreSQL types it stands for, with random and nasty values of it. Written without
 * the modules under test, so that a mistake there cannot hide here.
 */
import type { ValueKind } from "@shardlayer/core/plan/ValueKind"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as fc from "fast-check"
import * as KeyArbitrary from "../../../core/test/topology/KeyArbitrary.js"

export interface Subject {
  readonly name: string
  readonly kind: ValueKind
  /** The type, and what stands behind a column of it where values are compared. */
  readonly type: string
  readonly collate: string
  /** Texts that the server reads as values of the type. */
  readonly values: fc.Arbitrary<string>
}

/** Labels in an order of their own, not that of their letters. */
export const moods = ["sad", "ok", "Happy", "-", "ä b", "10", "9"]

/** For one session, which finds them by their bare names. */
export const createTypes = `create type pg_temp.mood as enum (${moods.map((label) => `'${label}'`).join(", ")})`

const ofKey = (type: KeyType, kind: ValueKind): Subject => ({
  name: type,
  kind,
  type,
  collate: "",
  values: KeyArbitrary.spelled(type)
})

const seldom = (values: fc.Arbitrary<string>, ...nasty: ReadonlyArray<string>): fc.Arbitrary<string> =>
  fc.oneof({ weight: 9, arbitrary: values }, { weight: 1, arbitrary: fc.constantFrom(...nasty) })

const bitsOf64 = (bits: bigint): number => {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, bits)
  return view.getFloat64(0)
}

const bitsOf32 = (bits: number): number => {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint32(0, bits)
  return view.getFloat32(0)
}

/** Of all magnitudes alike: by their bits; the nasty ones are at the powers of two and ten and the bounds of their format. */
export const float8: fc.Arbitrary<string> = seldom(
  fc
    .oneof(
      fc.bigInt(0n, 2n ** 64n - 1n).map(bitsOf64),
      fc.integer({ min: -1074, max: 1023 }).map((exponent) => 2 ** exponent),
      fc.tuple(fc.integer({ min: -3, max: 3 }), fc.integer({ min: -1073, max: 1023 })).map(([ulps, exponent]) => {
        const view = new DataView(new ArrayBuffer(8))
        view.setFloat64(0, 2 ** exponent)
        return bitsOf64(view.getBigUint64(0) + BigInt(ulps))
      }),
      fc
        .tuple(fc.integer({ min: -9999, max: 9999 }), fc.integer({ min: -30, max: 30 }))
        .map(([n, e]) => Number(`${n}e${e}`)),
      fc
        .tuple(fc.integer({ min: 1, max: 99 }), fc.integer({ min: -320, max: 306 }))
        .map(([n, e]) => Number(`${n}e${e}`)),
      fc.bigInt(-(2n ** 70n), 2n ** 70n).map(Number),
      // Decimals half way between two shorter ones.
      fc.tuple(fc.bigInt(0n, 2n ** 53n), fc.nat({ max: 12 })).map(([n, halvings]) => Number(n) / 2 ** halvings),
      fc.integer({ min: -100, max: 100 })
    )
    .map(String),
  "-0",
  "0",
  "NaN",
  "Infinity",
  "-Infinity",
  "5e-324",
  "-5e-324",
  "2.2250738585072014e-308",
  "1.7976931348623157e308",
  "1e23",
  "1e22",
  "9007199254740993",
  "4503599627370496.5",
  "1e15",
  "999999999999999",
  "1e-4",
  "1e-5",
  "9.5e-5",
  "123456789012345680"
)

export const float4: fc.Arbitrary<string> = seldom(
  fc
    .oneof(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(bitsOf32),
      fc.integer({ min: -149, max: 127 }).map((exponent) => 2 ** exponent),
      fc
        .tuple(fc.integer({ min: -3, max: 3 }), fc.integer({ min: 1, max: 254 }))
        .map(([ulps, exponent]) => bitsOf32(exponent * 2 ** 23 + ulps)),
      fc
        .tuple(fc.integer({ min: -999, max: 999 }), fc.integer({ min: -12, max: 12 }))
        .map(([n, e]) => Math.fround(Number(`${n}e${e}`))),
      fc.tuple(fc.nat({ max: 2 ** 24 }), fc.nat({ max: 12 })).map(([n, halvings]) => n / 2 ** halvings),
      fc.integer({ min: -100, max: 100 })
    )
    .map(String),
  "-0",
  "0",
  "NaN",
  "Infinity",
  "-Infinity",
  "1e-45",
  "1.1754944e-38",
  "3.4028235e38",
  "16777217",
  "16777218",
  "999999",
  "1000000",
  "1e-4",
  "1e-5",
  "33554434",
  "8589973000"
)

const two = (value: number): string => String(value).padStart(2, "0")

const time = seldom(
  fc
    .tuple(fc.nat({ max: 23 }), fc.nat({ max: 59 }), fc.nat({ max: 59 }), fc.nat({ max: 999999 }), fc.nat({ max: 6 }))
    .map(([hour, minute, second, micros, digits]) => {
      const fraction = String(micros).padStart(6, "0").slice(0, digits)
      return `${two(hour)}:${two(minute)}:${two(second)}${fraction === "" ? "" : `.${fraction}`}`
    }),
  "24:00:00",
  "00:00:00",
  "00:00:00.000001",
  "23:59:59.999999",
  "12:00:00",
  "12:00:00.1",
  "12:00:00.09"
)

/** Days next to each other where eras change and leap days are or are not. */
const date = fc.oneof(
  { weight: 4, arbitrary: KeyArbitrary.spelled("date") },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom("0001", "0002", "0004", "0005", "0100", "0101", "0401", "1900", "2000", "10000"),
        fc.constantFrom("01-01", "02-28", "02-29", "03-01", "12-31"),
        fc.constantFrom("", " BC")
      )
      .map((parts) => `${parts[0]}-${parts[1]}${parts[2]}`)
      .filter((text) => !/^10000.*BC/.test(text) && (!text.includes("02-29") || leapDays.includes(text)))
  }
)

const leapDays = ["0001-02-29 BC", "0005-02-29 BC", "0401-02-29 BC", "0004-02-29", "2000-02-29", "10000-02-29"]

/** The clock of a timestamptz text, without its offset. */
const timestamp = KeyArbitrary.spelled("timestamptz")
  .map((text) => text.trim().replace(/(Z|[+-]\d\d(:?\d\d)?(:\d\d)?)(?= BC$|$)/i, ""))
  .filter((text) => !text.startsWith("4714-11-23") && !text.startsWith("294277"))

/** Around the hours that Kolkata, New York and others skipped or lived twice, and times before there were zones. */
const timestamptz = fc.oneof(
  { weight: 2, arbitrary: KeyArbitrary.spelled("timestamptz") },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom(
          "2024-03-10 07:00:00Z",
          "2024-11-03 06:00:00Z",
          "1945-10-14 17:30:00Z",
          "1883-11-18 17:00:00Z",
          "1941-10-01 00:00Z"
        ),
        fc.integer({ min: -7_200_000, max: 7_200_000 })
      )
      .map(([instant, millis]) => new Date(new Date(instant.replace(" ", "T")).getTime() + millis).toISOString())
  }
)

const text = fc.oneof(
  { weight: 3, arbitrary: KeyArbitrary.spelled("text") },
  // Where the order of UTF-16 units differs from that of bytes, and what trailing blanks do.
  {
    weight: 3,
    arbitrary: fc
      .array(
        fc.constantFrom(
          "a",
          "b",
          " ",
          "\u0001",
          "\u007f",
          "\u0080",
          "\ud7ff",
          "\ue000",
          "\uffff",
          "\u{10000}",
          "\u{1f600}",
          "\u{10ffff}"
        ),
        { maxLength: 6 }
      )
      .map((characters) => characters.join(""))
  }
)

const numeric = fc.oneof(
  { weight: 3, arbitrary: KeyArbitrary.spelled("numeric") },
  { weight: 1, arbitrary: fc.constantFrom("NaN", "Infinity", "-Infinity", "0", "0.000", "-0.0") },
  // Neighbours in the last of many digits, at several scales.
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom("", "-"),
        fc.constantFrom("123456789012345", "9007199254740992", "1", "99999999999999999999", "0"),
        fc.constantFrom("", ".", ".0", ".00000000000000000000", ".99999999999999999999", ".5"),
        fc.constantFrom("", "0", "1", "9")
      )
      .map(([sign, integer, point, last]) => `${sign}${integer}${point === "" ? last : `${point}${last}`}`)
  },
  // Beyond what a float8 holds.
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -400, max: 400 }))
      .map(([digit, exponent]) => `${digit}e${exponent}`)
  }
)

export const subjects: ReadonlyArray<Subject> = [
  ofKey("int2", { _tag: "Integer", bits: 16 }),
  ofKey("int4", { _tag: "Integer", bits: 32 }),
  ofKey("int8", { _tag: "Integer", bits: 64 }),
  {
    name: "oid",
    kind: { _tag: "Integer", bits: 64 },
    type: "oid",
    collate: "",
    values: fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.nat({ max: 9 }), fc.constant(2 ** 32 - 1)).map(String)
  },
  { ...ofKey("numeric", { _tag: "Numeric" }), values: numeric },
  { name: "float8", kind: { _tag: "Float", bits: 64 }, type: "float8", collate: "", values: float8 },
  { name: "float4", kind: { _tag: "Float", bits: 32 }, type: "float4", collate: "", values: float4 },
  ofKey("bool", { _tag: "Bool" }),
  { ...ofKey("date", { _tag: "Date" }), values: date },
  { name: "time", kind: { _tag: "Time" }, type: "time", collate: "", values: time },
  { name: "timestamp", kind: { _tag: "Timestamp" }, type: "timestamp", collate: "", values: timestamp },
  { ...ofKey("timestamptz", { _tag: "TimestampTz" }), values: timestamptz },
  ofKey("uuid", { _tag: "Uuid" }),
  ofKey("bytea", { _tag: "Bytea" }),
  { name: "text", kind: { _tag: "Text", bytewise: true }, type: "text", collate: 'collate "C"', values: text },
  { name: "varchar", kind: { _tag: "Text", bytewise: true }, type: "varchar", collate: 'collate "C"', values: text },
  {
    name: "char(n)",
    kind: { _tag: "Char", bytewise: true },
    type: "char(7)",
    collate: 'collate "C"',
    values: text.filter((value) => [...value].length <= 7)
  },
  // Of no declared length, so that texts of one value can differ in their trailing blanks.
  { name: "bpchar", kind: { _tag: "Char", bytewise: true }, type: "bpchar", collate: 'collate "C"', values: text },
  { name: "enum", kind: { _tag: "Enum", labels: moods }, type: "mood", collate: "", values: fc.constantFrom(...moods) }
]

/** Values with NULLs among them, the same for the same seed; the seed goes into the failure message. */
export const sample = (subject: Subject, count: number, seed: number): ReadonlyArray<string | null> =>
  fc.sample(fc.oneof({ weight: 19, arbitrary: subject.values }, { weight: 1, arbitrary: fc.constant(null) }), {
    numRuns: count,
    seed
  })

export const timeZones = [
  "UTC",
  "America/New_York",
  "Asia/Kolkata",
  "America/St_Johns",
  "Africa/Monrovia",
  "Pacific/Apia",
  "<XYZ>-13:37"
]

export const randomSeed = (): number => Math.floor(Math.random() * 2 ** 31)
