/**
 * The types of the random statements, and the few values each has: so few that filters hit and joins meet.
 *
 * Holds: floats are multiples of 1/8 and small, so that their sums are exact in any order; `approximate` marks the ones
 * that are not, which are only ever shown. Equal numerics of different scale, and the two zeros of floats, are one value
 * with several texts: nothing here turns them into text.
 */
export type Kind =
  | "int2"
  | "int4"
  | "int8"
  | "numeric"
  | "float8"
  | "bool"
  | "text"
  | "varchar"
  | "char"
  | "date"
  | "timestamp"
  | "timestamptz"
  | "uuid"
  | "bytea"
  | "mood"
  | "ints"
  | "texts"
  | "json"
  | "approximate"

interface Definition {
  /** As casts and columns name it. */
  readonly sql: string
  /** The text of each value. */
  readonly values: ReadonlyArray<string>
}

/** Among them two whose order by bytes is not that of UTF-16: U+FB01, and a pair of surrogates. */
const words = ["a", "b", "B", "ab", "a b", "A", "ä", "z", "Zoë", "10", "9", "", "_x", "-a", "é", "\ufb01", "\u{1f600}"]

const table: { readonly [K in Kind]: Definition } = {
  int2: { sql: "int2", values: ["0", "1", "2", "3", "4", "5", "-1", "32767"] },
  int4: { sql: "int4", values: ["0", "1", "2", "3", "4", "5", "6", "-1", "-7", "100"] },
  int8: {
    sql: "int8",
    values: ["0", "1", "2", "3", "4", "5", "9007199254740992", "9007199254740993", "-9007199254740993", "-2"]
  },
  numeric: {
    sql: "numeric",
    values: [
      "0",
      "1",
      "1.0",
      "1.50",
      "2.5",
      "2.500",
      "-3.25",
      "10",
      "0.001",
      "NaN",
      "12345678901234567.88",
      "12345678901234567.89"
    ]
  },
  float8: { sql: "float8", values: ["0", "-0", "1", "1.5", "2.25", "-3", "0.125", "100", "NaN"] },
  bool: { sql: "bool", values: ["true", "false"] },
  text: { sql: "text", values: words },
  varchar: { sql: "varchar", values: words },
  char: { sql: "char(4)", values: ["a", "ab", "B", "abcd", "", "b"] },
  date: {
    sql: "date",
    values: [
      "2020-02-29",
      "2020-03-01",
      "2021-01-01",
      "2021-12-31",
      "1999-12-31",
      "2024-06-15",
      "0044-03-15 BC",
      "12345-01-01"
    ]
  },
  timestamp: {
    sql: "timestamp",
    values: [
      "2020-02-29 00:00:00",
      "2020-02-29 12:34:56.789012",
      "2021-01-01 00:00:00.000001",
      "2021-03-28 02:30:00",
      "2020-02-29 12:34:56.789013",
      "0044-03-15 12:00:00 BC",
      "1999-12-31 23:59:59.999999",
      "2024-06-15 08:00:00"
    ]
  },
  timestamptz: {
    sql: "timestamptz",
    values: [
      "2020-02-29 00:00:00+00",
      "2020-02-29 12:34:56.789012+00",
      "2020-02-29 12:34:56.789013+00",
      "2021-03-28 01:30:00+00",
      "1999-12-31 23:59:59.999999+00",
      "2024-06-15 08:00:00+02"
    ]
  },
  uuid: {
    sql: "uuid",
    values: [
      "00000000-0000-0000-0000-000000000001",
      "7f000000-0000-4000-8000-000000000002",
      "80000000-0000-4000-8000-000000000003",
      "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
      "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
      "ffffffff-ffff-4fff-bfff-ffffffffffff"
    ]
  },
  bytea: { sql: "bytea", values: ["\\x", "\\x00", "\\x61", "\\x6162", "\\xff00", "\\x7f"] },
  mood: { sql: "mood", values: ["sad", "ok", "happy", "calm"] },
  ints: { sql: "int4[]", values: ["{}", "{1,2,3}", "{5}", "{NULL,2}", "{2,1}", "{0,0}"] },
  texts: { sql: "text[]", values: ["{}", "{a,b}", "{a}", "{NULL}", '{"a b",Z}', "{b,a}"] },
  json: { sql: "json", values: ["1", '"a"', "[1, 2]", "null"] },
  approximate: { sql: "float8", values: ["0.1", "0.2", "1.1", "2.7"] }
}

export const all = Object.keys(table) as ReadonlyArray<Kind>

/** `mood`: how the enum is called. */
export const sql = (kind: Kind, mood = table.mood.sql): string => (kind === "mood" ? mood : table[kind].sql)

export const values = (kind: Kind): ReadonlyArray<string> => table[kind].values

/** The enum's labels, in its order, which is not that of the alphabet. */
export const moods = table.mood.values

/** Kinds that columns of tables have; those that are rare come once. */
export const ofColumns: ReadonlyArray<Kind> = [
  "int2",
  "int4",
  "int4",
  "int8",
  "int8",
  "numeric",
  "numeric",
  "float8",
  "bool",
  "text",
  "text",
  "varchar",
  "char",
  "date",
  "timestamp",
  "timestamptz",
  "uuid",
  "bytea",
  "mood",
  "ints",
  "texts"
]

/** Kinds with equality and order. */
export const isOrdered = (kind: Kind): boolean => kind !== "json" && kind !== "approximate"

const integers: ReadonlyArray<Kind> = ["int2", "int4", "int8"]
const numbers: ReadonlyArray<Kind> = [...integers, "numeric", "float8"]
const strings: ReadonlyArray<Kind> = ["text", "varchar"]
const times: ReadonlyArray<Kind> = ["date", "timestamp"]

export const isInteger = (kind: Kind): boolean => integers.includes(kind)

/** The kinds whose values `=` and `<` take beside one of this kind. */
export const comparable = (kind: Kind): ReadonlyArray<Kind> =>
  [numbers, strings, times].find((family) => family.includes(kind)) ?? [kind]

export const quote = (text: string): string => {
  const doubled = `'${text.replaceAll("'", "''").replaceAll("\\", "\\\\")}'`
  return text.includes("\\") ? ` E${doubled}` : doubled
}

/** A value as an expression that is of its kind whatever stands around it. */
export const literal = (kind: Kind, value: string | null, mood?: string): string => {
  if (value === null) return `null::${sql(kind, mood)}`
  if (kind === "int4") return value.startsWith("-") ? `(${value})` : value
  if (kind === "bool") return value
  return `${quote(value)}::${sql(kind, mood)}`
}
