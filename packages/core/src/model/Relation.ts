/**
 * A model and its table, made ready once: which column each field is, and how its values are written and read.
 *
 * Enters: a model, a table, the routed client. Leaves: quoted names of columns, as the client's own transforms make them;
 * the table's name is the catalog's, letter for letter. Holds: values pass through the model's schema on both ways; what
 * it finds wrong is a `ParseError`. A condition's value may be that of an optional field without its `Option`.
 *
 * @since 0.1.0
 */
import type * as Model from "@effect/sql/Model"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import type * as Table from "../topology/Table.js"

/** @since 0.1.0 @category models */
export interface Relation {
  readonly sql: SqlClient
  readonly tableName: string
  readonly table: Fragment
  /** Those of the model's `select` variant. */
  readonly fields: ReadonlyMap<string, Field>
  /** The fields that together tell a row from all others; the key's come first. */
  readonly identity: ReadonlyArray<string>
  readonly key: ReadonlyArray<string>
}

/** @since 0.1.0 @category models */
export interface Field {
  readonly name: string
  /** Its column, quoted. */
  readonly column: Fragment
  readonly columnName: string
  /** Its name in encoded values: a row's, as the client gives it. */
  readonly encodedName: string
  /** Can it be NULL, as far as the model knows? */
  readonly isNullable: boolean
  readonly encode: (value: unknown) => Effect.Effect<unknown, ParseResult.ParseError, unknown>
  /** Of a value as the driver gives it. */
  readonly decode: (value: unknown) => Effect.Effect<unknown, ParseResult.ParseError, unknown>
}

type AnySchema = Schema.Schema<unknown, unknown, unknown>

/** @since 0.1.0 @category constructors */
export const make = (
  sql: SqlClient,
  model: Model.Any,
  table: Table.Sharded,
  options: { readonly key: ReadonlyArray<string>; readonly id: ReadonlyArray<string> }
): Relation => ({
  sql,
  tableName: `${table.schema}.${table.name}`,
  table: sql.literal(`${quoted(table.schema)}.${quoted(table.name)}`),
  fields: new Map(Object.entries(model.fields).map(([name, schema]) => [name, fieldOf(sql, name, schema)])),
  key: options.key,
  identity: [...new Set([...options.key, ...options.id])]
})

/**
 * A column under the name that encoded values have it by.
 *
 * @since 0.1.0
 * @category functions
 */
export const columnOf = (sql: SqlClient, encodedName: string): Fragment => sql.literal(quotedBy(sql, encodedName))

/**
 * The field of that name. Its absence is the program's mistake, which its types do not allow.
 *
 * @since 0.1.0
 * @category getters
 */
export const field = (relation: Relation, name: string): Field => {
  const found = relation.fields.get(name)
  if (found === undefined) throw new Error(`the model of ${relation.tableName} has no field ${name}`)
  return found
}

/**
 * A field's column, or the fragment in parentheses of its own.
 *
 * @since 0.1.0
 * @category getters
 */
export const columnBy = (relation: Relation, by: string | Fragment): Fragment =>
  typeof by === "string" ? field(relation, by).column : relation.sql`(${by})`

/** @since 0.1.0 @category getters */
export const columns = (relation: Relation): Fragment =>
  relation.sql.csv([...relation.fields.values()].map(({ column }) => column))

/**
 * `encode` of a struct of that field alone, so that property signatures (other names, defaults) mean what they mean in
 * the model.
 */
const fieldOf = (sql: SqlClient, name: string, schema: Schema.Struct.Fields[string]): Field => {
  const struct = Schema.Struct({ [name]: schema }) as unknown as AnySchema
  const [signature] = AST.getPropertySignatures(AST.encodedAST(struct.ast))
  const encodedName = String(signature?.name ?? name)
  const isOptional = isOption(struct, name, encodedName)
  const encode = Schema.encode(struct)
  const decode = Schema.decodeUnknown(struct)
  const wrapped = (value: unknown): unknown => (isOptional && !Option.isOption(value) ? Option.some(value) : value)
  return {
    name,
    column: columnOf(sql, encodedName),
    columnName: unquoted(quotedBy(sql, encodedName)),
    encodedName,
    isNullable: acceptsNull(struct, encodedName),
    encode: (value) =>
      value === undefined
        ? Effect.fail(missing(struct, name))
        : Effect.map(encode({ [name]: wrapped(value) }), (record) => valueOf(record, encodedName)),
    decode: (value) => Effect.map(decode({ [encodedName]: value }), (record) => valueOf(record, name))
  }
}

/** `Option.none()` is NULL in the database. (A schema of anything takes it too, and leaves it as it is.) */
const isOption = (struct: AnySchema, name: string, encodedName: string): boolean =>
  Option.match(Schema.encodeUnknownOption(struct as Schema.Schema<unknown, unknown>)({ [name]: Option.none() }), {
    onNone: () => false,
    onSome: (record) => valueOf(record, encodedName) === null
  })

const acceptsNull = (struct: AnySchema, encodedName: string): boolean =>
  Schema.is(Schema.encodedSchema(struct))({ [encodedName]: null })

/** `undefined` would leave the condition out, or compare with NULL: neither is what anybody means. */
const missing = (struct: AnySchema, name: string): ParseResult.ParseError =>
  ParseResult.parseError(new ParseResult.Pointer(name, undefined, new ParseResult.Missing(new AST.Type(struct.ast))))

const valueOf = (record: unknown, name: string): unknown =>
  Predicate.hasProperty(record, name) ? record[name] : undefined

/** As the client writes the identifier, its transform applied. */
const quotedBy = (sql: SqlClient, name: string): string => sql`${sql(name)}`.compile()[0]

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

const unquoted = (identifier: string): string => identifier.slice(1, -1).replaceAll('""', '"')
