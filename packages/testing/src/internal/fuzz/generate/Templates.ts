/**
 * Operators and functions by the kind they give, written as SQL with kinds in braces for their arguments.
 *
 * Holds: none of them fails for any value of its arguments, none depends on the text of equal values (see Kind), and none
 * gives another answer the second time. `{int4:small}` is a constant that keeps a result in range.
 */
import type { Clause } from "../Clause.js"
import type { Kind } from "../Kind.js"

export interface Template {
  readonly texts: ReadonlyArray<string>
  readonly kinds: ReadonlyArray<Kind>
  readonly clauses: ReadonlyArray<Clause>
}

const written: { readonly [K in Kind]?: ReadonlyArray<string> } = {
  int2: ["({int4} % 100)::int2", "({int2} / 2::int2)", "abs({int2} % 50::int2)"],
  int4: [
    "(({int4} % 1000) + ({int4} % 1000))",
    "(({int4} % 1000) * 2)",
    "({int4} % 3)",
    "(({int4} % 1000) - 1)",
    "abs({int4} % 1000)",
    "length({text})",
    "octet_length({bytea})",
    "cardinality({ints})",
    "extract(year from {date})::int4",
    "extract(dow from {timestamp})::int4",
    "({int8} % 1000)::int4",
    "{bool}::int4",
    "{int2}::int4",
    "({date} - {date})",
    "({int4} & 3)",
    "({int4} / nullif({int4}, 0))",
    "strpos({text}, 'b')",
    "ascii({varchar})"
  ],
  int8: [
    "({int8} + ({int4} % 100))",
    "({int8} / 2)",
    "({int8} % 10)",
    "({int8} - 1)",
    "{int4}::int8",
    "abs({int8} % 1000)",
    "({int8} # 1)"
  ],
  numeric: [
    "({numeric} + {numeric})",
    "({numeric} * 2)",
    "({numeric} - 0.5)",
    "({numeric} / 4)",
    "round({numeric}, 1)",
    "{int4}::numeric",
    "{int8}::numeric",
    "abs({numeric})",
    "trunc({numeric})",
    "floor({numeric})",
    "{int4}::numeric(12, 2)",
    "({int8} * {numeric})"
  ],
  float8: ["({float8} + {float8})", "({float8} * 0.5::float8)", "{int4}::float8", "abs({float8})", "(- {float8})"],
  text: [
    "({text} || {text})",
    "upper({text})",
    "lower({text})",
    "substr({text}, 1, 2)",
    "left({text}, 1)",
    "reverse({text})",
    "replace({text}, 'b', 'x')",
    "trim({char})",
    "{int4}::text",
    "{int8}::text",
    "{mood}::text",
    "{date}::text",
    "{uuid}::text",
    "{bool}::text",
    "{varchar}::text",
    "{timestamp}::text",
    "{timestamptz}::text",
    "concat({text}, {int4}, {bool})",
    "to_char({date}, 'YYYY-MM')",
    "array_to_string({texts}, ',')",
    "encode({bytea}, 'hex')",
    "({text} || {int4})",
    "md5({text})",
    '({text} collate "C")'
  ],
  varchar: ["{text}::varchar", "{varchar}::varchar(3)", "({varchar} || {text})::varchar"],
  char: ["{text}::char(4)"],
  date: [
    "({date} + ({int4} % 400))",
    "{timestamp}::date",
    "date_trunc('month', {timestamp})::date",
    "{timestamptz}::date"
  ],
  timestamp: [
    "({timestamp} + interval '1 day 2 hours')",
    "date_trunc('hour', {timestamp})",
    "{date}::timestamp",
    "({timestamptz} at time zone 'UTC')",
    "({date} + interval '1 month')"
  ],
  timestamptz: [
    "({timestamptz} - interval '36 hours')",
    "date_trunc('day', {timestamptz})",
    "({timestamp} at time zone 'Europe/Berlin')",
    "{timestamp}::timestamptz"
  ],
  bytea: ["({bytea} || {bytea})", "substr({bytea}, 1, 1)", "convert_to({text}, 'UTF8')"],
  ints: ["array[{int4}, {int4}]", "({ints} || {int4})", "array_remove({ints}, {int4})"],
  texts: ["array[{text}]", "string_to_array({text}, 'b')", "({texts} || {text})"],
  bool: [
    "({bool} is true)",
    "({bool} is not false)",
    "({bool} is unknown)",
    "({text} ~ '^[ab]')",
    "({text} similar to '%b%')",
    "starts_with({text}, 'a')",
    "({int4} = any ({ints}))",
    "({text} = any ({texts}))",
    "({text} like 'a%')",
    "({text} ilike '%B%')",
    "({ints} @> array[{int4}])",
    "({texts} && {texts})"
  ]
}

/** For every kind that has equality: `{}` stands for the kind itself. */
const common: ReadonlyArray<readonly [sql: string, clause: Clause | undefined]> = [
  ["coalesce({}, {})", "COALESCE"],
  ["coalesce({}, {}, {})", "COALESCE"],
  ["case when {bool} then {} else {} end", "CASE"],
  ["case when {bool} then {} when {bool} then {} end", "CASE"],
  ["nullif({}, {})", undefined],
  ["greatest({}, {})", undefined],
  ["least({}, {})", undefined]
]

/** How a comparison of two values of kind `{}` may look. */
const comparisons: ReadonlyArray<readonly [weight: number, sql: string, clause: Clause | undefined]> = [
  [3, "({} = {})", undefined],
  [6, "({} <> {})", undefined],
  [2, "({} < {})", undefined],
  [4, "({} >= {})", undefined],
  [2, "({} <= {})", undefined],
  [2, "({} is distinct from {})", undefined],
  [1, "({} is not distinct from {})", undefined],
  [1, "({} is null)", "IS NULL"],
  [5, "({} is not null)", "IS NULL"],
  [3, "({} between {} and {})", "BETWEEN"],
  [1, "({} not between {} and {})", "BETWEEN"],
  [2, "({} in ({}, {}, {}))", undefined],
  [4, "({} in ({}, {}, {}, {}, {}, {}))", undefined],
  [1, "({} not in ({}, {}))", undefined],
  [1, "({} = any (array[{}, {}, {}]))", undefined],
  [1, "({} <> all (array[{}, {}]))", undefined]
]

const parse = (sql: string, self: Kind, clause: Clause | undefined): Template => {
  const kinds: Array<Kind> = []
  const texts = sql.split(/\{(\w*)\}/).flatMap((part, index) => {
    if (index % 2 === 0) return [part]
    kinds.push(part === "" ? self : (part as Kind))
    return []
  })
  const clauses: Array<Clause> = clause === undefined ? [] : [clause]
  if (sql.includes("::")) clauses.push("cast")
  return { texts, kinds, clauses }
}

/** Function and operator calls that give this kind. */
export const calls = (kind: Kind): ReadonlyArray<Template> =>
  known(kind, "calls", () => (written[kind] ?? []).map((sql) => parse(sql, kind, undefined)))

/** COALESCE, CASE and the like, of this kind. */
export const choices = (kind: Kind): ReadonlyArray<Template> =>
  known(kind, "choices", () => common.map(([sql, clause]) => parse(sql, kind, clause)))

export const comparing = (kind: Kind): ReadonlyArray<readonly [number, Template]> => {
  const templates = known(kind, "comparing", () => comparisons.map(([, sql, clause]) => parse(sql, kind, clause)))
  // Arrays of arrays are no arrays of what is in them.
  const isArray = kind === "ints" || kind === "texts"
  return templates.flatMap((template, index) =>
    isArray && template.texts.some((text) => text.includes("array[")) ? [] : [[comparisons[index]?.[0] ?? 1, template]]
  )
}

const cache = new Map<string, ReadonlyArray<Template>>()

const known = (kind: Kind, name: string, make: () => ReadonlyArray<Template>): ReadonlyArray<Template> => {
  const key = `${kind} ${name}`
  const found = cache.get(key) ?? make()
  cache.set(key, found)
  return found
}
