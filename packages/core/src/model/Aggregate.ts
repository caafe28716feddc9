/**
 * Aggregates by name, and how their values are read: numbers exactly, extremes as the field they are of.
 *
 * @since 0.1.0
 */
import type { Fragment } from "@effect/sql/Statement"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Relation from "./Relation.js"

/** @since 0.1.0 @category models */
export type Aggregate<F extends string = string> = Count | Total<F> | Extreme<F>

/** @since 0.1.0 @category models */
export interface Count {
  readonly _tag: "count"
}

/** @since 0.1.0 @category models */
export interface Total<out F extends string = string> {
  readonly _tag: "sum" | "avg"
  readonly field: F
}

/** @since 0.1.0 @category models */
export interface Extreme<out F extends string = string> {
  readonly _tag: "min" | "max"
  readonly field: F
}

/**
 * How many rows.
 *
 * @since 0.1.0
 * @category aggregates
 */
export const count: Count = { _tag: "count" }

/** @since 0.1.0 @category aggregates */
export const sum = <const F extends string>(field: F): Total<F> => ({ _tag: "sum", field })

/** @since 0.1.0 @category aggregates */
export const avg = <const F extends string>(field: F): Total<F> => ({ _tag: "avg", field })

/** @since 0.1.0 @category aggregates */
export const min = <const F extends string>(field: F): Extreme<F> => ({ _tag: "min", field })

/** @since 0.1.0 @category aggregates */
export const max = <const F extends string>(field: F): Extreme<F> => ({ _tag: "max", field })

/** @since 0.1.0 @category functions */
export const expression = (relation: Relation.Relation, aggregate: Aggregate): Fragment =>
  aggregate._tag === "count"
    ? relation.sql.literal("count(*)")
    : relation.sql`${relation.sql.literal(aggregate._tag)}(${Relation.field(relation, aggregate.field).column})`

/**
 * A value as the driver gave it, read as what it is the value of. NULL: none.
 *
 * @since 0.1.0
 * @category functions
 */
export const decode = (
  relation: Relation.Relation,
  aggregate: Aggregate,
  value: unknown,
  as: Schema.Schema.Any = Decimal
): Effect.Effect<unknown, ParseResult.ParseError, unknown> => {
  if (aggregate._tag === "count") return decodeCount(value)
  if (value === null) return Effect.succeedNone
  if (aggregate._tag === "sum" || aggregate._tag === "avg") {
    return Effect.asSome(Schema.decodeUnknown(as as Schema.Schema<unknown, unknown, unknown>)(value))
  }
  // An optional field's value is an option already.
  return Effect.map(Relation.field(relation, aggregate.field).decode(value), (decoded) =>
    Option.isOption(decoded) ? decoded : Option.some(decoded)
  )
}

/**
 * A value to compare an aggregate with, as the driver takes it.
 *
 * @since 0.1.0
 * @category functions
 */
export const encode = (
  relation: Relation.Relation,
  aggregate: Aggregate,
  value: unknown
): Effect.Effect<unknown, ParseResult.ParseError, unknown> => {
  switch (aggregate._tag) {
    case "count":
    case "sum":
    case "avg":
      return Schema.encodeUnknown(Bound)(value)
    case "min":
    case "max":
      return Relation.field(relation, aggregate.field).encode(value)
  }
}

const Numeral = Schema.Union(Schema.String, Schema.Number, Schema.BigIntFromSelf)

/**
 * A decimal of what drivers give for numbers. NaN and infinities are none.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Decimal: Schema.Schema<BigDecimal.BigDecimal, string | number | bigint> = Schema.transformOrFail(
  Numeral,
  Schema.BigDecimalFromSelf,
  {
    strict: true,
    decode: (value, _, ast) =>
      Option.match(BigDecimal.fromString(String(value)), {
        onNone: () => ParseResult.fail(new ParseResult.Type(ast, value)),
        onSome: ParseResult.succeed
      }),
    encode: (value) => ParseResult.succeed(BigDecimal.format(value))
  }
)

const Bound = Schema.Union(Schema.BigDecimal, Schema.BigInt, Schema.Number, Schema.Null)

/** Rows beyond 2^53 are more than any database has. */
const decodeCount = Schema.decodeUnknown(
  Schema.compose(
    Schema.transform(Numeral, Schema.Number, { strict: true, decode: Number, encode: (value) => value }),
    Schema.NonNegativeInt
  )
)
