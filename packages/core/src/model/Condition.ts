/**
 * Conditions on the fields of a model, as a program writes them: values, operators, and these under and, or, not.
 *
 * Enters: field values of the model's own types. Leaves: plain data that `Compile` turns into SQL once the values are
 * encoded. Holds: logic is SQL's, of three values: `ne` and `not` leave out rows where the field is NULL. What a
 * condition names (`=`, `in`, at least one of them in each branch) is in its type, so that the compiler knows whether the
 * shard key is among it.
 *
 * @since 0.1.0
 */
import type { Fragment } from "@effect/sql/Statement"
import type * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

/** @since 0.1.0 @category models */
export type Sign = "=" | "<>" | ">" | ">=" | "<" | "<="

/**
 * What is asked of one field, over values that are the program's or, once encoded, the driver's.
 *
 * @since 0.1.0
 * @category models
 */
export type Test =
  | { readonly _tag: "Compare"; readonly sign: Sign; readonly value: unknown }
  | { readonly _tag: "Between"; readonly from: unknown; readonly to: unknown }
  | { readonly _tag: "In"; readonly values: ReadonlyArray<unknown>; readonly isNegated: boolean }
  | { readonly _tag: "Like"; readonly keyword: "LIKE" | "ILIKE"; readonly pattern: string; readonly isNegated: boolean }
  | { readonly _tag: "Null"; readonly isNegated: boolean }

const OperatorTypeId: unique symbol = Symbol.for("@shardlayer/core/ShardedModel/Operator")
const CombinedTypeId: unique symbol = Symbol.for("@shardlayer/core/ShardedModel/Combined")

/**
 * An operator on a field of type `T`. `Naming`: whether it names the values that the field may have.
 *
 * @since 0.1.0
 * @category models
 */
export interface Operator<out T, out Naming extends boolean = boolean> {
  readonly [OperatorTypeId]: { readonly value: T | undefined; readonly naming: Naming | undefined }
  readonly test: Test
}

/**
 * Conditions together. `Named`: the fields that every row it lets through has a named value of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Combined<out Model, out Named extends PropertyKey = PropertyKey> {
  readonly [CombinedTypeId]: { readonly model: Model | undefined; readonly named: Named | undefined }
  readonly _tag: "All" | "Any" | "Not"
  readonly conditions: ReadonlyArray<Given>
}

/**
 * A condition as the program gave it, without its types.
 *
 * @since 0.1.0
 * @category models
 */
export type Given = { readonly [field: string]: unknown } | Fragment | Combined<unknown>

/**
 * A field's values without NULL: of `Option<A>`, `A`.
 *
 * @since 0.1.0
 * @category models
 */
export type Present<T> = T extends Option.Option<infer A> ? A : Exclude<T, null | undefined>

/**
 * What may stand for one field: a value, or an operator on its values. Patterns are for texts.
 *
 * @since 0.1.0
 * @category models
 */
export type FieldCondition<T> =
  | T
  | Present<T>
  | Operator<Present<T>>
  | ([Present<T>] extends [string] ? Operator<Pattern> : never)

/**
 * Marks an operator that takes a pattern, which need not be a value of the field.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pattern {
  readonly _: "Pattern"
}

const operator = <T, Naming extends boolean>(test: Test): Operator<T, Naming> => ({
  [OperatorTypeId]: { value: undefined, naming: undefined },
  test
})

const compare = (sign: Sign, value: unknown): Test => ({ _tag: "Compare", sign, value })

/** @since 0.1.0 @category guards */
export const isOperator = (value: unknown): value is Operator<unknown> => Predicate.hasProperty(value, OperatorTypeId)

/** @since 0.1.0 @category guards */
export const isCombined = (value: unknown): value is Combined<unknown> => Predicate.hasProperty(value, CombinedTypeId)

/**
 * The same as the bare value. Of what is NULL in the database (`null`, `Option.none()`): IS NULL.
 *
 * @since 0.1.0
 * @category operators
 */
export const eq = <const T>(value: T): Operator<T, true> => operator(compare("=", value))

/**
 * Another value. Rows where the field is NULL are not among them; `ne` of what is NULL: IS NOT NULL.
 *
 * @since 0.1.0
 * @category operators
 */
export const ne = <const T>(value: T): Operator<T, false> => operator(compare("<>", value))

/** @since 0.1.0 @category operators */
export const gt = <const T>(value: T): Operator<T, false> => operator(compare(">", value))

/** @since 0.1.0 @category operators */
export const gte = <const T>(value: T): Operator<T, false> => operator(compare(">=", value))

/** @since 0.1.0 @category operators */
export const lt = <const T>(value: T): Operator<T, false> => operator(compare("<", value))

/** @since 0.1.0 @category operators */
export const lte = <const T>(value: T): Operator<T, false> => operator(compare("<=", value))

/**
 * From one value to another, both included.
 *
 * @since 0.1.0
 * @category operators
 */
export const between = <const T>(from: T, to: T): Operator<T, false> => operator({ _tag: "Between", from, to })

/**
 * One of these values: none of them lets no row through.
 *
 * @since 0.1.0
 * @category operators
 */
export const oneOf = <const T>(values: ReadonlyArray<T>): Operator<T, true> =>
  operator({ _tag: "In", values, isNegated: false })

/**
 * None of these values. Rows where the field is NULL are let through by the empty list alone.
 *
 * @since 0.1.0
 * @category operators
 */
export const notIn = <const T>(values: ReadonlyArray<T>): Operator<T, false> =>
  operator({ _tag: "In", values, isNegated: true })

const like_ = (keyword: "LIKE" | "ILIKE", pattern: string, isNegated: boolean): Operator<Pattern, false> =>
  operator({ _tag: "Like", keyword, pattern, isNegated })

/**
 * A text that matches the pattern: `%` is any text, `_` one character, a backslash takes their meaning.
 *
 * @since 0.1.0
 * @category operators
 */
export const like = (pattern: string): Operator<Pattern, false> => like_("LIKE", pattern, false)

/** @since 0.1.0 @category operators */
export const notLike = (pattern: string): Operator<Pattern, false> => like_("LIKE", pattern, true)

/**
 * As `like`, whatever the case of letters.
 *
 * @since 0.1.0
 * @category operators
 */
export const ilike = (pattern: string): Operator<Pattern, false> => like_("ILIKE", pattern, false)

/** @since 0.1.0 @category operators */
export const notIlike = (pattern: string): Operator<Pattern, false> => like_("ILIKE", pattern, true)

/** @since 0.1.0 @category operators */
export const isNull: Operator<never, true> = operator({ _tag: "Null", isNegated: false })

/** @since 0.1.0 @category operators */
export const isNotNull: Operator<never, false> = operator({ _tag: "Null", isNegated: true })

/** @since 0.1.0 @category constructors */
export const combined = <Model, Named extends PropertyKey>(
  tag: Combined<Model>["_tag"],
  conditions: ReadonlyArray<Given>
): Combined<Model, Named> => ({
  [CombinedTypeId]: { model: undefined, named: undefined },
  _tag: tag,
  conditions
})

/**
 * The fields that a condition names.
 *
 * @since 0.1.0
 * @category models
 */
export type NamedBy<C> =
  C extends Combined<infer _, infer Named>
    ? Named
    : C extends Fragment
      ? never
      : { [F in keyof C]-?: IsNamed<C, F> extends true ? F : never }[keyof C]

/** Named on every path: it is there, and it is no range. */
type IsNamed<C, F extends keyof C> =
  {} extends Pick<C, F>
    ? false
    : undefined extends C[F]
      ? false
      : [Extract<C[F], Operator<unknown>>] extends [Operator<unknown, true>]
        ? true
        : false

/**
 * Named by every one of several: what their OR names.
 *
 * @since 0.1.0
 * @category models
 */
export type NamedByAll<Conditions extends ReadonlyArray<unknown>> = Conditions extends readonly [infer Only]
  ? NamedBy<Only>
  : Conditions extends readonly [infer First, ...infer Rest extends ReadonlyArray<unknown>]
    ? Extract<NamedBy<First>, NamedByAll<Rest>>
    : number extends Conditions["length"]
      ? NamedByElement<Conditions[number]>
      : never

/** Of a list whose length is not known: if its elements are all alike, what they name. */
type NamedByElement<C> = [C] extends [UnionToIntersection<C>] ? NamedBy<C> : never

type UnionToIntersection<T> = (T extends unknown ? (value: T) => void : never) extends (value: infer I) => void
  ? I
  : never

/**
 * Named by any of several: what their AND names.
 *
 * @since 0.1.0
 * @category models
 */
export type NamedByAny<Conditions extends ReadonlyArray<unknown>> = Conditions extends readonly [
  infer First,
  ...infer Rest extends ReadonlyArray<unknown>
]
  ? NamedBy<First> | NamedByAny<Rest>
  : never
