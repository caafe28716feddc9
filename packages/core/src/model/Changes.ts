/**
 * What an update changes: some of a model's fields, encoded, and those that every update sets.
 *
 * Holds: a field that is `undefined` is not among them, and one that the model does not have is a `ParseError`.
 *
 * @since 0.1.0
 */
import type * as Model from "@effect/sql/Model"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment, Statement } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Compile from "./Compile.js"
import type * as Relation from "./Relation.js"
import { columnOf } from "./Relation.js"

type Encoded = { readonly [name: string]: unknown }
type Failure = SqlError | ParseResult.ParseError

/** @since 0.1.0 @category models */
export type Changes = ReadonlyArray<readonly [name: string, value: unknown]>

/** @since 0.1.0 @category functions */
export const setsOf = ({ sql }: Relation.Relation, changes: Changes): Fragment =>
  sql.csv(changes.map(([name, value]) => sql`${columnOf(sql, name)} = ${value}`))

/** @since 0.1.0 @category functions */
export const encoded = (model: Model.Any, changes: Encoded): Effect.Effect<Changes, ParseResult.ParseError, unknown> =>
  Effect.gen(function* () {
    const given = definedOf(changes)
    const all = fieldsOf(model.update)
    const [unknown] = Object.keys(given).filter((name) => !Object.hasOwn(all, name))
    if (unknown !== undefined) {
      const unexpected = new ParseResult.Unexpected(given[unknown], "is no field that an update changes")
      return yield* ParseResult.parseError(new ParseResult.Pointer(unknown, given, unexpected))
    }
    const defaults = Object.fromEntries(
      Object.entries(all).flatMap(([name, field]) => {
        const made = Object.hasOwn(given, name) ? undefined : constructorDefault(field)
        return made === undefined ? [] : [[name, made()]]
      })
    )
    const values = { ...given, ...defaults }
    const fields = Object.fromEntries(Object.entries(all).filter(([name]) => Object.hasOwn(values, name)))
    const encode = Schema.encodeUnknown(Schema.Struct(fields) as unknown as Schema.Schema<unknown, unknown, unknown>)
    return Object.entries(definedOf(yield* encode(values)))
  })

/**
 * All rows that the condition lets through get these values. How many were there?
 *
 * @since 0.1.0
 * @category functions
 */
export const updateAll = (
  relation: Relation.Relation,
  model: Model.Any,
  condition: Compile.Condition,
  changes: Encoded
): Effect.Effect<number, Failure, unknown> =>
  Effect.flatMap(encoded(model, changes), (values) => {
    const { sql, table } = relation
    const rows = Compile.where(relation, condition)
    if (values.length === 0) {
      return Effect.map(sql`SELECT count(*) FROM ${table}${rows}`.values, (found) => Number(found[0]?.[0]))
    }
    return counted(sql`UPDATE ${table} SET ${setsOf(relation, values)}${rows}`)
  })

/**
 * How many were there?
 *
 * @since 0.1.0
 * @category functions
 */
export const removeAll = (
  relation: Relation.Relation,
  condition: Compile.Condition
): Effect.Effect<number, Failure, unknown> =>
  counted(relation.sql`DELETE FROM ${relation.table}${Compile.where(relation, condition)}`)

const counted = (statement: Statement<unknown>): Effect.Effect<number, Failure, unknown> =>
  Effect.map(Effect.flatMap(statement.raw, Schema.decodeUnknown(RowCount)), ({ rowCount }) => rowCount)

const RowCount = Schema.Struct({ rowCount: Schema.Number })

/** @since 0.1.0 @category functions */
export const definedOf = (record: unknown): Encoded =>
  Predicate.isRecord(record)
    ? Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))
    : {}

const fieldsOf = (schema: Schema.Schema.Any): Schema.Struct.Fields =>
  Predicate.hasProperty(schema, "fields") ? (schema.fields as Schema.Struct.Fields) : {}

/** A field that `make` fills in by itself: a time of update. */
const constructorDefault = (field: Schema.Struct.Fields[string]): (() => unknown) | undefined => {
  if (!Schema.isPropertySignature(field)) return undefined
  const { ast } = field as Schema.PropertySignature.Any & { readonly ast: Schema.PropertySignature.AST }
  return ast._tag === "PropertySignatureDeclaration" ? ast.defaultValue : ast.to.defaultValue
}
