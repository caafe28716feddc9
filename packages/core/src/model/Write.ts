/**
 * Rows in and out by what identifies them: INSERT, UPDATE and DELETE of the model's variants.
 *
 * Holds: each is one statement (`insertMany` beyond what one statement's parameters hold is one transaction), and what it
 * returns is what is stored, read by the model.
 *
 * @since 0.1.0
 */
import { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Changes from "./Changes.js"
import * as Compile from "./Compile.js"
import { RowNotFound } from "./ModelError.js"
import * as Read from "./Read.js"
import * as Relation from "./Relation.js"

type AnySchema = Schema.Schema<unknown, unknown, unknown>
type Encoded = { readonly [name: string]: unknown }
type Failure = SqlError | ParseError

/** The parameters of one statement: 65,535 are PostgreSQL's most, and some may be added on the way. */
const paramsMax = 60_000

/** @since 0.1.0 @category functions */
export const insertMany = (
  source: Read.Source,
  values: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<unknown>, Failure, unknown> =>
  Effect.gen(function* () {
    const { model, relation } = source
    const encode = Schema.encode(model.insert as AnySchema)
    const rows = yield* Effect.forEach(values, (value) => Effect.map(encode(value), Changes.definedOf))
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
    const decode = Read.decodeRows(model)
    const statements = chunked(rows, Math.max(1, Math.floor(paramsMax / Math.max(1, names.length)))).map((chunk) =>
      insertion(relation, names, chunk)
    )
    if (statements.length === 1) return yield* Effect.flatMap(Effect.forEach(statements, identity), flatDecode(decode))
    if (statements.length === 0) return []
    return yield* relation.sql.withTransaction(Effect.flatMap(Effect.forEach(statements, identity), flatDecode(decode)))
  })

const identity = <A>(value: A): A => value

const flatDecode =
  (decode: (rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<unknown>, ParseError, unknown>) =>
  (rows: ReadonlyArray<ReadonlyArray<unknown>>) =>
    decode(rows.flat())

/** @since 0.1.0 @category functions */
export const insert = (source: Read.Source, value: unknown): Effect.Effect<unknown, Failure, unknown> =>
  Effect.flatMap(insertMany(source, [value]), ([row]) =>
    // A trigger of the table took it away.
    row === undefined
      ? Effect.fail(new SqlError({ cause: value, message: `INSERT into ${source.relation.tableName} stored no row` }))
      : Effect.succeed(row)
  )

/** What a row leaves out is its column's default. */
const insertion = (relation: Relation.Relation, names: ReadonlyArray<string>, rows: ReadonlyArray<Encoded>) => {
  const { sql, table } = relation
  const returning = sql`RETURNING ${Relation.columns(relation)}`
  const first = relation.fields.values().next().value
  if (first === undefined) throw new Error(`the model of ${relation.tableName} has no fields`)
  // Rows of defaults alone, of which `DEFAULT VALUES` can only say one.
  const used = names.length === 0 ? [first.encodedName] : names
  const valuesOf = (row: Encoded): Fragment =>
    sql`(${sql.csv(used.map((name) => (Object.hasOwn(row, name) ? sql`${row[name]}` : sql.literal("DEFAULT"))))})`
  return sql`INSERT INTO ${table} (${sql.csv(used.map((name) => Relation.columnOf(sql, name)))}) VALUES ${sql.csv(rows.map(valuesOf))} ${returning}`
}

/** @since 0.1.0 @category functions */
export const findById = (source: Read.Source, id: Encoded): Effect.Effect<Option.Option<unknown>, Failure, unknown> => {
  const { model, relation } = source
  return Effect.gen(function* () {
    const condition = yield* identified(source, id)
    const { sql, table } = relation
    const rows = yield* sql`SELECT ${Relation.columns(relation)} FROM ${table}${Compile.where(relation, condition)}`
    return Option.fromNullable((yield* Read.decodeRows(model)(rows))[0])
  })
}

/** @since 0.1.0 @category functions */
export const getById = (source: Read.Source, id: Encoded): Effect.Effect<unknown, Failure | RowNotFound, unknown> =>
  Effect.flatMap(findById(source, id), (found) => orNotFound(source, id, Option.getOrUndefined(found)))

/**
 * The row that `value` identifies gets what else it says.
 *
 * @since 0.1.0
 * @category functions
 */
export const update = (source: Read.Source, value: unknown): Effect.Effect<unknown, Failure | RowNotFound, unknown> =>
  Effect.gen(function* () {
    const { model, relation } = source
    const encoded = Changes.definedOf(yield* Schema.encode(model.update as AnySchema)(value))
    const id = Object.fromEntries(
      relation.identity.map((name) => [name, Predicate.hasProperty(value, name) ? value[name] : undefined])
    )
    const own = new Set(relation.identity.map((name) => Relation.field(relation, name).encodedName))
    const changes = Object.entries(encoded).filter(([name]) => !own.has(name))
    return yield* changed(source, id, changes)
  })

/**
 * The row of that id gets these values, and those that each update sets. A new key moves it to its shard.
 *
 * @since 0.1.0
 * @category functions
 */
export const updateById = (
  source: Read.Source,
  id: Encoded,
  changes: Encoded
): Effect.Effect<unknown, Failure | RowNotFound, unknown> =>
  Effect.flatMap(Changes.encoded(source.model, changes), (values) => changed(source, id, values))

/**
 * Was it there?
 *
 * @since 0.1.0
 * @category functions
 */
export const remove = (source: Read.Source, id: Encoded): Effect.Effect<boolean, Failure, unknown> =>
  Effect.flatMap(identified(source, id), (condition) => {
    const { relation } = source
    const { sql, table } = relation
    const shown = sql.csv(relation.identity.map((name) => Relation.field(relation, name).column))
    return Effect.map(
      sql`DELETE FROM ${table}${Compile.where(relation, condition)} RETURNING ${shown}`,
      (rows) => rows.length > 0
    )
  })

const changed = (
  source: Read.Source,
  id: Encoded,
  changes: Changes.Changes
): Effect.Effect<unknown, Failure | RowNotFound, unknown> => {
  if (changes.length === 0) return getById(source, id)
  const { model, relation } = source
  const { sql, table } = relation
  return Effect.gen(function* () {
    const condition = yield* identified(source, id)
    const rows =
      yield* sql`UPDATE ${table} SET ${Changes.setsOf(relation, changes)}${Compile.where(relation, condition)} RETURNING ${Relation.columns(relation)}`
    return yield* orNotFound(source, id, (yield* Read.decodeRows(model)(rows))[0])
  })
}

const identified = (source: Read.Source, id: Encoded): Effect.Effect<Compile.Condition, ParseError, unknown> =>
  Read.encoded(source, {
    place: { _tag: "Routed" },
    conditions: [Object.fromEntries(source.relation.identity.map((name) => [name, id[name]]))]
  })

const orNotFound = ({ relation }: Read.Source, id: unknown, row: unknown): Effect.Effect<unknown, RowNotFound> =>
  row === undefined ? Effect.fail(new RowNotFound({ table: relation.tableName, id })) : Effect.succeed(row)

const chunked = <A>(values: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(values.length / size) }, (_, index) => values.slice(index * size, (index + 1) * size))
