/**
 * The query builder: what a query is made of, and what it can be asked.
 *
 * Enters: conditions, orders, limits, where to run. Leaves: effects and streams of decoded rows. Holds: a query is a
 * value, each step gives another; what it asks is one statement on the routed client (a page, too). With LIMIT or OFFSET
 * the order is completed by the fields that tell rows apart, so the same rows are meant each time.
 *
 * @since 0.1.0
 */
import type * as Model from "@effect/sql/Model"
import type { SqlError } from "@effect/sql/SqlError"
import type { Fragment } from "@effect/sql/Statement"
import type * as BigDecimal from "effect/BigDecimal"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Aggregate from "./Aggregate.js"
import type { Combined, FieldCondition, NamedBy, Present } from "./Condition.js"
import type { CursorInvalid } from "./ModelError.js"

/**
 * The fields of a model, by name.
 *
 * @since 0.1.0
 * @category models
 */
export type FieldOf<S extends Model.Any> = keyof S["fields"] & keyof S["Type"] & string

/**
 * Fields whose values travel as numbers or as the text of numbers.
 *
 * @since 0.1.0
 * @category models
 */
export type NumericFieldOf<S extends Model.Any> = {
  readonly [F in FieldOf<S>]: F extends keyof S["Encoded"]
    ? [Exclude<S["Encoded"][F], null | undefined>] extends [number | bigint | string]
      ? F
      : never
    : F
}[FieldOf<S>]

/**
 * Conditions on a model's fields: an object of them (all must hold), a fragment of SQL, or several together.
 *
 * @since 0.1.0
 * @category models
 */
export type Where<S extends Model.Any> =
  | { readonly [F in FieldOf<S>]?: FieldCondition<S["Type"][F]> }
  | Fragment
  | Combined<S>

/**
 * Refuses names that the model does not have.
 *
 * @since 0.1.0
 * @category models
 */
export type Only<S extends Model.Any, C> = C extends Fragment | Combined<S>
  ? unknown
  : { readonly [F in Exclude<keyof C, FieldOf<S>>]: never }

/** @since 0.1.0 @category models */
export type Direction = "asc" | "desc"

/** @since 0.1.0 @category models */
export interface OrderOptions {
  readonly direction?: Direction | undefined
  /** Default as PostgreSQL: last when ascending, first when descending. */
  readonly nulls?: "first" | "last" | undefined
}

/** @since 0.1.0 @category models */
export type Failure = SqlError | ParseError

/**
 * Some of a table's rows, in some order. `Named`: the fields that its conditions name. It can be read once these include
 * the shard key, or a place was chosen: `forKey`, `onShard`, `onAllShards`, `scatter`.
 *
 * @since 0.1.0
 * @category models
 */
export type Query<S extends Model.Any, Key extends string, Named extends PropertyKey = never> = Refinable<
  S,
  Key,
  Named
> &
  ([Key] extends [Named] ? Readable<S> & Pageable<S> & Writable<S> : NeedsKey<Key>)

/**
 * A query that names no key: it could be on any shard. Name the key in `where`, or say `scatter()`.
 *
 * @since 0.1.0
 * @category models
 */
export interface NeedsKey<out Key extends string> {
  readonly needsKey: Key
}

/** @since 0.1.0 @category models */
export interface Refinable<S extends Model.Any, Key extends string, Named extends PropertyKey> {
  /** Of its rows, those for which this holds as well. */
  readonly where: <const C extends Where<S>>(condition: C & Only<S, C>) => Query<S, Key, Named | NamedBy<C>>
  /**
   * Called again: where rows tie in what came before. A fragment is worked out of the row's own columns, and gives the same
   * each time.
   */
  readonly orderBy: (by: FieldOf<S> | Fragment, order?: Direction | OrderOptions) => Query<S, Key, Named>
  /** Its first rows. */
  readonly limit: (rows: number) => Limited<S, Key, Named>
  /** Its rows but for the first. */
  readonly offset: (rows: number) => Limited<S, Key, Named>
  /** Says that it may need several shards. A pin around it holds. */
  readonly scatter: () => Query<S, Key, Key>
}

/**
 * After `limit` or `offset`: it can be read, and not be refined, which would not be what was limited.
 *
 * @since 0.1.0
 * @category models
 */
export type Limited<S extends Model.Any, Key extends string, Named extends PropertyKey> = {
  readonly limit: (rows: number) => Limited<S, Key, Named>
  readonly offset: (rows: number) => Limited<S, Key, Named>
  readonly scatter: () => Limited<S, Key, Key>
} & ([Key] extends [Named] ? Readable<S> : NeedsKey<Key>)

type Needs<S extends Model.Any> = Schema.Schema.Context<S>

/** @since 0.1.0 @category models */
export interface Readable<S extends Model.Any> {
  readonly all: Effect.Effect<ReadonlyArray<S["Type"]>, Failure, Needs<S>>
  readonly first: Effect.Effect<Option.Option<S["Type"]>, Failure, Needs<S>>
  /** Its rows as the shards give them, with back-pressure. */
  readonly stream: Stream.Stream<S["Type"], Failure, Needs<S>>
  readonly count: Effect.Effect<number, Failure, Needs<S>>
  readonly exists: Effect.Effect<boolean, Failure, Needs<S>>
  /** Exact. None: no row has a value. `as`: another type than decimals, of what the driver gives. */
  readonly sum: Total<S>
  readonly avg: Total<S>
  readonly min: <F extends FieldOf<S>>(
    field: F
  ) => Effect.Effect<Option.Option<Present<S["Type"][F]>>, Failure, Needs<S>>
  readonly max: <F extends FieldOf<S>>(
    field: F
  ) => Effect.Effect<Option.Option<Present<S["Type"][F]>>, Failure, Needs<S>>
  /** One row for each combination of these fields' values. */
  readonly groupBy: <const Fields extends readonly [FieldOf<S>, ...ReadonlyArray<FieldOf<S>>]>(
    ...fields: Fields
  ) => Grouped<S, Fields[number]>
}

/** @since 0.1.0 @category models */
export interface Total<S extends Model.Any> {
  (field: NumericFieldOf<S>): Effect.Effect<Option.Option<BigDecimal.BigDecimal>, Failure, Needs<S>>
  <A, I, R>(
    field: NumericFieldOf<S>,
    as: Schema.Schema<A, I, R>
  ): Effect.Effect<Option.Option<A>, Failure, R | Needs<S>>
}

/** @since 0.1.0 @category models */
export interface Pageable<S extends Model.Any> {
  /**
   * A page of its rows, and the cursors of those around it: rows that come between pages neither repeat nor hide others.
   * `after` and `before` are cursors of the same order; anything else is `CursorInvalid`.
   */
  readonly paginate: (options: PageOptions) => Effect.Effect<Page<S["Type"]>, Failure | CursorInvalid, Needs<S>>
}

/**
 * Of these rows, the first ones; those behind a cursor (`after`: the `next` of another page); or the last ones ahead of
 * one (`before`: its `previous`).
 *
 * @since 0.1.0
 * @category models
 */
export type PageOptions = {
  /** Rows, at least 1. */
  readonly size: number
} & (
  | { readonly after?: string | undefined; readonly before?: undefined }
  | { readonly before: string; readonly after?: undefined }
)

/**
 * All rows of a query at once, on every shard or on none. What the router says of a write of several keys holds: policies
 * may forbid it, and it is one atomic transaction.
 *
 * @since 0.1.0
 * @category models
 */
export interface Writable<S extends Model.Any> {
  /** Changes these fields, and those that every update sets. How many rows were there? */
  readonly updateAll: (
    changes: Partial<S["update"]["Type"]>
  ) => Effect.Effect<number, Failure, Needs<S> | Schema.Schema.Context<S["update"]>>
  /** How many rows were there? */
  readonly deleteAll: Effect.Effect<number, Failure, Needs<S>>
}

/** @since 0.1.0 @category models */
export interface Page<A> {
  /** In the query's order, whichever way the page was asked for. */
  readonly items: ReadonlyArray<A>
  /** None: this was the last one. Letters, digits, `-` and `_`. */
  readonly next: Option.Option<string>
  /** None: this was the first one. What was there when this page was reached may be gone since. */
  readonly previous: Option.Option<string>
}

/** @since 0.1.0 @category models */
export interface Grouped<S extends Model.Any, F extends FieldOf<S>> {
  /** How many rows each group has. */
  readonly count: Effect.Effect<ReadonlyArray<GroupOf<S, F, { readonly count: Aggregate.Count }>>, Failure, Needs<S>>
  /** What each group has, under these names. */
  readonly aggregate: <const Aggregates extends { readonly [name: string]: Aggregate.Aggregate<FieldOf<S>> }>(
    aggregates: Aggregates & { readonly [Name in F]?: never }
  ) => Groups<S, F, Aggregates>
}

/** @since 0.1.0 @category models */
export interface Groups<
  S extends Model.Any,
  F extends FieldOf<S>,
  Aggregates extends { readonly [name: string]: Aggregate.Aggregate }
> {
  /** Of the groups, those for which this holds as well: conditions on the aggregates by name, or a fragment. */
  readonly having: <const C extends Having<S, Aggregates>>(
    condition: C & (C extends Fragment ? unknown : { readonly [Name in Exclude<keyof C, keyof Aggregates>]: never })
  ) => Groups<S, F, Aggregates>
  readonly orderBy: (
    by: F | (keyof Aggregates & string) | Fragment,
    order?: Direction | OrderOptions
  ) => Groups<S, F, Aggregates>
  readonly limit: (groups: number) => Groups<S, F, Aggregates>
  readonly offset: (groups: number) => Groups<S, F, Aggregates>
  readonly all: Effect.Effect<ReadonlyArray<GroupOf<S, F, Aggregates>>, Failure, Needs<S>>
}

/**
 * Conditions on what groups have: numbers for counts, sums and averages, a field's values for its least and greatest.
 *
 * @since 0.1.0
 * @category models
 */
export type Having<S extends Model.Any, Aggregates extends { readonly [name: string]: Aggregate.Aggregate }> =
  | Fragment
  | {
      readonly [Name in keyof Aggregates]?: Aggregates[Name] extends Aggregate.Count
        ? FieldCondition<number>
        : Aggregates[Name] extends Aggregate.Extreme<infer Of>
          ? FieldCondition<S["Type"][Of]>
          : FieldCondition<BigDecimal.BigDecimal | number | bigint | null>
    }

/** @since 0.1.0 @category models */
export type GroupOf<
  S extends Model.Any,
  F extends FieldOf<S>,
  Aggregates extends { readonly [name: string]: Aggregate.Aggregate }
> = { readonly [Name in F]: S["Type"][Name] } & {
  readonly [Name in keyof Aggregates]: Aggregates[Name] extends Aggregate.Count
    ? number
    : Aggregates[Name] extends Aggregate.Extreme<infer Of>
      ? Option.Option<Present<S["Type"][Of]>>
      : Option.Option<BigDecimal.BigDecimal>
}
