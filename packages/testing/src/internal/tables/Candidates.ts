/**
 * Texts that a column of a type may take: the server is asked which of them it does.
 */
import * as Kind from "../fuzz/Kind.js"

const kinds: { readonly [type: string]: Kind.Kind } = { bpchar: "char", _int4: "ints", _text: "texts" }

/** Of types that expressions do not know. */
const others: { readonly [type: string]: ReadonlyArray<string> } = {
  json: ["{}", '{"a": 1}', "[1, 2]", "null"],
  jsonb: ["{}", '{"a": 1}', '{"a": {"b": [true, null]}}', "[1, 2]", "null"],
  float4: ["0", "1.5", "-2.25"],
  interval: ["0", "1 day", "01:30:00", "1 mon -2 days"],
  time: ["00:00:00", "12:34:56.789", "23:59:59.999999"],
  timetz: ["00:00:00+00", "12:34:56+02"],
  inet: ["127.0.0.1", "10.0.0.0/8", "::1"],
  cidr: ["10.0.0.0/8", "2001:db8::/32"],
  macaddr: ["08:00:2b:01:02:03"],
  point: ["(0,0)", "(1.5,-2)"],
  bit: ["0", "1", "101"],
  varbit: ["", "0", "101"],
  xml: ["<a/>", "<a>b</a>"],
  money: ["0", "1.50"],
  tsvector: ["", "'a':1 'b':2"],
  citext: ["a", "B", "ab"],
  int4range: ["empty", "[1,5)", "[3,)"],
  int8range: ["empty", "[1,5)"],
  numrange: ["empty", "[1.5,2)"],
  daterange: ["empty", "[2020-01-01,2020-02-01)"],
  tsrange: ["empty", "[2020-01-01 00:00,2020-02-01 00:00)"],
  tstzrange: ["empty", "[2020-01-01 00:00+00,2020-02-01 00:00+00)"]
}

/** `labels`: of an enum. */
export const ofType = (type: string, labels: ReadonlyArray<string> | null): ReadonlyArray<string> => {
  if (labels !== null) return labels
  const kind = kinds[type] ?? Kind.all.find((one) => one === type && one !== "mood" && one !== "approximate")
  if (kind !== undefined) return Kind.values(kind)
  const known = others[type]
  if (known !== undefined) return known
  if (!type.startsWith("_")) return ["", "a", "0", "{}"]
  const quoted = ofType(type.slice(1), null)
    .slice(0, 2)
    .map((one) => `"${one.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`)
  return ["{}", ...quoted.map((one) => `{${one}}`), `{${quoted.join(",")}}`]
}

/** What checks compare with, and for numbers what is next to it. */
export const ofChecks = (texts: ReadonlyArray<string>): ReadonlyArray<string> =>
  texts.flatMap((text) => {
    const strings = [...text.matchAll(/'((?:[^']|'')*)'/g)].map(([, one]) => (one ?? "").replaceAll("''", "'"))
    const numbers = [...text.matchAll(/(?<![\w'.])-?\d+(?:\.\d+)?(?![\w'.])/g)].map(([one]) => Number(one))
    return [...strings, ...numbers.flatMap((one) => [one, one + 1, one - 1, one * 2].map(String))]
  })

/** The last of those that `fresh` makes of a type. */
export const freshMax = 30_000

/** The nth of values of which no two are equal; none where a type has too few. */
export const fresh = (type: string, nth: number): readonly [string] | readonly [] => {
  switch (type) {
    case "int2":
    case "int4":
    case "int8":
    case "numeric":
    case "float8":
      return [String(nth)]
    case "text":
    case "varchar":
    case "bpchar":
    case "char":
      return [`k${nth}`]
    case "uuid":
      return [`00000000-0000-4000-8000-${String(nth).padStart(12, "0")}`]
    case "date":
      return [new Date(nth * 86_400_000).toISOString().slice(0, 10)]
    case "timestamp":
      return [`${new Date(nth * 86_400_000).toISOString().slice(0, 10)} 00:00:00`]
    case "timestamptz":
      return [`${new Date(nth * 86_400_000).toISOString().slice(0, 10)} 00:00:00+00`]
    case "bytea":
      return [`\\x${nth.toString(16).padStart(8, "0")}`]
    default:
      return []
  }
}
