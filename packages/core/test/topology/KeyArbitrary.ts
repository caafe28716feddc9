/**
 * Random key texts of every type, in the many spellings PostgreSQL accepts: boundaries first, then all of the range.
 * Written without the modules under test, so that a mistake there cannot hide here.
 */
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as fc from "fast-check"

/** Texts that `KeyValue.canonical` must accept and a server must read as the same value. */
export const spelled = (type: KeyType): fc.Arbitrary<string> => {
  switch (type) {
    case "int2":
      return integer(-32768n, 32767n)
    case "int4":
      return integer(-2147483648n, 2147483647n)
    case "int8":
      return integer(-9223372036854775808n, 9223372036854775807n)
    case "text":
    case "varchar":
      return text
    case "uuid":
      return uuid
    case "bytea":
      return bytea
    case "bool":
      return bool
    case "date":
      return date
    case "timestamptz":
      return timestamptz
    case "numeric":
      return numeric
  }
}

/** Texts a slip of the finger away from those: some still mean something, most do not. */
export const misspelled = (type: KeyType): fc.Arbitrary<string> => {
  const character = fc.constantFrom(..."0123456789+-.:_ \t\u00a0TZeEBCADxinfaNty{}\\/,\u0663é")
  const edit = fc.record({
    at: fc.nat({ max: 60 }),
    cut: fc.integer({ min: 0, max: 2 }),
    put: fc.string({ unit: character, maxLength: 2 })
  })
  return fc.tuple(spelled(type), fc.array(edit, { minLength: 1, maxLength: 3 })).map(([text, edits]) =>
    edits.reduce((before, { at, cut, put }) => {
      const index = at % (before.length + 1)
      return before.slice(0, index) + put + before.slice(index + cut)
    }, text)
  )
}

/** The same sample for the same seed; the seed goes into the failure message. */
export const sample = (type: KeyType, count: number, seed: number): ReadonlyArray<string> =>
  fc.sample(spelled(type), { numRuns: count, seed })

const spaces = fc.oneof(
  { weight: 6, arbitrary: fc.constant("") },
  { weight: 1, arbitrary: fc.stringOf(fc.constantFrom(" ", "\t", "\n", "\v", "\f", "\r"), { maxLength: 3 }) }
)

const padded = (inner: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(spaces, inner, spaces).map((parts) => parts.join(""))

const mixedCase = (inner: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(inner, fc.infiniteStream(fc.boolean()))
    .map(([word, upper]) => [...word].map((letter) => (upper.next().value ? letter.toUpperCase() : letter)).join(""))

const integer = (min: bigint, max: bigint): fc.Arbitrary<string> => {
  const edges = [
    0n,
    1n,
    -1n,
    9n,
    10n,
    999999999n,
    1000000000n,
    -999999999n,
    -1000000000n,
    4294967295n,
    4294967296n,
    -4294967296n,
    -4294967297n,
    2147483648n,
    -2147483649n,
    281474976710656n,
    -281474976710656n,
    min,
    max,
    min + 1n,
    max - 1n
  ]
  const value = fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom(...edges.filter((edge) => edge >= min && edge <= max)) },
    { weight: 3, arbitrary: fc.bigInt(min > -1000n ? min : -1000n, 1000n) },
    { weight: 8, arbitrary: fc.bigInt(min, max) },
    // All lengths: a uniform draw has almost always the most digits.
    {
      weight: 4,
      arbitrary: fc.tuple(fc.bigInt(min, max), fc.integer({ min: 0, max: 62 })).map(([n, bits]) => n >> BigInt(bits))
    }
  )
  const form = fc.tuple(value, fc.constantFrom("", "", "+"), fc.constantFrom("", "", "0", "000"))
  return padded(
    form.map(([n, plus, zeros]) => (n < 0n ? `-${zeros}${-n}` : `${n === 0n && plus ? "-" : plus}${zeros}${n}`))
  )
}

const text = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "",
      " ",
      "a",
      "abcdefghijk",
      "abcdefghijkl",
      "abcdefghijklm",
      "ünïcödé",
      "日本語",
      "\u{1F600}",
      "\u{10FFFF}",
      "\uFFFD",
      "\uE000\uFFFF",
      "e\u0301",
      '"\\{},NULL',
      "NULL",
      "\u0001\u007f"
    )
  },
  { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 40 }).map((value) => value.replaceAll("\0", "")) },
  { weight: 4, arbitrary: fc.string({ unit: "grapheme", maxLength: 40 }) },
  { weight: 4, arbitrary: fc.string({ unit: "grapheme-ascii", maxLength: 40 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.string({ unit: "binary", minLength: 1, maxLength: 5 }), fc.integer({ min: 10, max: 200 }))
      .map(([value, times]) => value.replaceAll("\0", "x").repeat(times))
  }
)

const bytes = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      new Uint8Array(0),
      Uint8Array.of(0),
      Uint8Array.of(255, 0, 255),
      new Uint8Array(12),
      new Uint8Array(24).fill(92)
    )
  },
  { weight: 9, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 250, maxLength: 400 }) }
)

const uuid = mixedCase(
  fc
    .tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.constantFrom("usual", "bare", "braced", "groups"))
    .map(([value, form]) => {
      const hex = hexDigits(value)
      const usual = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
      switch (form) {
        case "usual":
          return usual
        case "bare":
          return hex
        case "braced":
          return `{${usual}}`
        default:
          return hex.replace(/(.{4})(?!$)/g, "$1-")
      }
    })
)

const hexDigits = (value: Uint8Array): string => [...value].map((byte) => byte.toString(16).padStart(2, "0")).join("")

const bytea = fc.tuple(bytes, fc.constantFrom("hex", "upper", "spaced", "escape"), text).map(([value, form, plain]) => {
  switch (form) {
    case "hex":
      return `\\x${hexDigits(value)}`
    case "upper":
      return `\\x${hexDigits(value).toUpperCase()}`
    case "spaced":
      return `\\x${hexDigits(value).replace(/(..)/g, "$1 ")}`
    default:
      return (
        plain.replaceAll("\\", "\\\\") + [...value].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")
      )
  }
})

const prefixes = (word: string, from: number): ReadonlyArray<string> =>
  Array.from({ length: word.length - from + 1 }, (_, index) => word.slice(0, from + index))

const bool = padded(
  mixedCase(
    fc.constantFrom(
      "1",
      "0",
      ...prefixes("true", 1),
      ...prefixes("false", 1),
      ...prefixes("yes", 1),
      ...prefixes("no", 1),
      "on",
      ...prefixes("off", 2)
    )
  )
)

const two = (value: number): string => String(value).padStart(2, "0")

const day = (lastYear: number): fc.Arbitrary<{ readonly text: string; readonly bc: boolean }> =>
  fc.oneof(
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        { text: "2000-01-01", bc: false },
        { text: "1999-12-31", bc: false },
        { text: "2000-02-29", bc: false },
        { text: "1900-02-28", bc: false },
        { text: "2400-02-29", bc: false },
        { text: "1970-01-01", bc: false },
        { text: "0001-01-01", bc: false },
        { text: "0001-12-31", bc: true },
        { text: "0001-02-29", bc: true },
        { text: "0005-02-29", bc: true },
        { text: "0401-02-29", bc: true },
        { text: "4713-01-01", bc: true },
        { text: "4714-11-25", bc: true },
        { text: "1582-10-10", bc: false },
        { text: "9999-12-31", bc: false },
        { text: "10000-01-01", bc: false },
        { text: `${lastYear}-12-30`, bc: false }
      )
    },
    { weight: 6, arbitrary: ymd(1900, 2100, false) },
    { weight: 3, arbitrary: ymd(1, 9999, false) },
    { weight: 2, arbitrary: ymd(1, lastYear, false) },
    { weight: 2, arbitrary: ymd(1, 4713, true) }
  )

const ymd = (min: number, max: number, bc: boolean): fc.Arbitrary<{ readonly text: string; readonly bc: boolean }> =>
  fc
    .tuple(fc.integer({ min, max }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 31 }))
    .map(([year, month, dayOfMonth]) => {
      const last = month === 2 ? 28 : [4, 6, 9, 11].includes(month) ? 30 : 31
      return { text: `${String(year).padStart(4, "0")}-${two(month)}-${two(Math.min(dayOfMonth, last))}`, bc }
    })

const infinities = mixedCase(fc.constantFrom("infinity", "-infinity"))

const date = padded(
  fc.oneof(
    { weight: 1, arbitrary: infinities },
    {
      weight: 30,
      arbitrary: fc
        .oneof(day(5874897), fc.constantFrom({ text: "4714-11-24", bc: true }, { text: "5874897-12-31", bc: false }))
        .map((value) => (value.bc ? `${value.text} BC` : value.text))
    }
  )
)

const clock = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "00:00",
      "00:00:00",
      "23:59:59.999999",
      "00:00:00.000001",
      "12:00:00.5",
      "23:59:59.100000"
    )
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 0, max: 59 }),
        fc.integer({ min: 0, max: 59 }),
        fc.integer({ min: 0, max: 999999 }),
        fc.integer({ min: 1, max: 6 })
      )
      .map(
        ([hour, minute, second, micros, digits]) =>
          `${two(hour)}:${two(minute)}:${two(second)}.${String(micros).padStart(6, "0").slice(0, digits)}`
      )
  }
)

const offset = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom("Z", "z", "+00", "-00", "+00:00", "+05:45", "-0930", "+15:59:59", "-15:59:59", "+14")
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom("+", "-"),
        fc.integer({ min: 0, max: 15 }),
        fc.integer({ min: 0, max: 59 }),
        fc.constantFrom(":", "", "hours")
      )
      .map(([sign, hour, minute, form]) =>
        form === "hours" ? `${sign}${two(hour)}` : `${sign}${two(hour)}${form}${two(minute)}`
      )
  }
)

const timestamptz = padded(
  fc.oneof(
    { weight: 1, arbitrary: infinities },
    {
      weight: 30,
      arbitrary: fc
        .tuple(day(294276), fc.constantFrom("T", " "), clock, offset)
        .map(([value, separator, time, zone]) => `${value.text}${separator}${time}${zone}${value.bc ? " BC" : ""}`)
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "4714-11-24 00:00:00Z BC",
        "294276-12-31 23:59:59.999999+00",
        "4714-11-23 23:00-05 BC",
        "294277-01-01 00:30+01",
        "2000-01-01 00:00:00Z",
        "1999-12-31 23:59:59.999999Z"
      )
    }
  )
)

const digits = (min: number, max: number): fc.Arbitrary<string> =>
  fc.stringOf(
    fc.oneof({ weight: 2, arbitrary: fc.constant("0") }, { weight: 3, arbitrary: fc.constantFrom(..."123456789") }),
    { minLength: min, maxLength: max }
  )

const numeric = padded(
  fc.oneof(
    {
      weight: 1,
      arbitrary: mixedCase(fc.constantFrom("NaN", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "+inf"))
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "0",
        "-0",
        "0.0",
        "0000",
        "1",
        "1.0",
        "1.00",
        "1e0",
        "10e-1",
        "0.1e1",
        "9999",
        "10000",
        "99999999",
        "100000000",
        "0.0001",
        "0.00001",
        "0.9999",
        "1e-16383",
        "1e300",
        "5.",
        ".5"
      )
    },
    { weight: 3, arbitrary: fc.bigInt(-(10n ** 30n), 10n ** 30n).map(String) },
    { weight: 3, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map(String) },
    {
      weight: 6,
      arbitrary: fc
        .tuple(
          fc.constantFrom("", "", "-", "+"),
          fc.oneof(
            digits(1, 30),
            fc.tuple(digits(0, 30), digits(1, 30)).map((parts) => parts.join(".")),
            digits(1, 9).map((whole) => `${whole}.`)
          ),
          fc.oneof(
            { weight: 2, arbitrary: fc.constant("") },
            {
              weight: 1,
              arbitrary: fc
                .tuple(fc.constantFrom("e", "E"), fc.constantFrom("", "+", "-"), fc.integer({ min: 0, max: 60 }))
                .map((parts) => parts.join(""))
            }
          )
        )
        .map((parts) => parts.join(""))
    }
  )
)
