/**
 * What a query does when it is asked: conditions are encoded, one statement is built and run where the query says, its
 * rows are decoded.
 *
 * @since 0.1.0
 */
import type * as Model from "@effect/sql/Model"
import { SqlError } from "@effect/sql/SqlError"
import type { Fragment, Statement } from "@effect/sql/Statement"
import * as StatementModule from "@effect/sql/Statement"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as RoutedClient from "../RoutedClient.js"
import * as ShardContext from "../ShardContext.js"
import { isShardError, type ShardError } from "../ShardError.js"
import type { ShardRouterService } from "../ShardRouter.js"
import type * as Table from "../topology/Table.js"
import * as Aggregate from "./Aggregate.js"
import * as Changes from "./Changes.js"
import * as Compile from "./Compile.js"
import * as Condition from "./Condition.js"
import * as Keyset from "./Keyset.js"
import { CursorInvalid } from "./ModelError.js"
import type { Direction, OrderOptions, Page, PageOptions } from "./Query.js"
import * as Relation from "./Relation.js"

/** @since 0.1.0 @category models */
export interface Source {
  readonly relation: Relation.Relation
  readonly model: Model.Any
  readonly router: ShardRouterService
  readonly placement: Table.Sharded
}

/**
 * - `Routed`: wherever its conditions say, or the pin around it.
 * - `Key`: pinned to a key, given by field.
 *
 * @since 0.1.0
 * @category models
 */
export type Place =
  | { readonly _tag: "Routed" }
  | { readonly _tag: "Everywhere" }
  | { readonly _tag: "Shard"; readonly shard: string }
  | { readonly _tag: "Key"; readonly key: { readonly [field: string]: unknown } }

/** @since 0.1.0 @category models */
export interface Spec {
  readonly place: Place
  readonly conditions: ReadonlyArray<Condition.Given>
  readonly order: ReadonlyArray<Compile.OrderTerm>
  readonly limit: number | undefined
  readonly offset: number | undefined
}

/** @since 0.1.0 @category constructors */
export const everything: Spec = {
  place: { _tag: "Routed" },
  conditions: [],
  order: [],
  limit: undefined,
  offset: undefined
}

type Failure = SqlError | ParseError

/** The types of `Query` say which of these a program sees. */
export class QueryImpl {
  constructor(
    private readonly source: Source,
    private readonly spec: Spec
  ) {}

  private with(change: Partial<Spec>): QueryImpl {
    return new QueryImpl(this.source, { ...this.spec, ...change })
  }

  where(condition: Condition.Given) {
    return this.with({ conditions: [...this.spec.conditions, condition] })
  }
  orderBy(by: string | Fragment, order?: Direction | OrderOptions) {
    return this.with({ order: [...this.spec.order, orderTerm(by, order)] })
  }
  limit(rows: number) {
    return this.with({ limit: this.spec.limit === undefined ? rows : Math.min(rows, this.spec.limit) })
  }
  offset(rows: number) {
    return this.with({ offset: rows })
  }
  scatter() {
    return this
  }

  get all() {
    return run(this.source, this.spec, (condition) =>
      Effect.flatMap(select(this.source, this.spec, condition), decodeRows(this.source.model))
    )
  }
  get first() {
    return Effect.map(this.limit(1).all, (rows) => Option.fromNullable(rows[0]))
  }
  get stream() {
    const { model } = this.source
    const rows = Stream.unwrap(
      Effect.map(encoded(this.source, this.spec), (condition) => select(this.source, this.spec, condition).stream)
    )
    const decode = decodeRows(model)
    const decoded = Stream.mapChunksEffect(rows, (chunk) =>
      Effect.map(decode(Chunk.toReadonlyArray(chunk)), Chunk.fromIterable)
    )
    return Stream.fromPull(
      Effect.map(Stream.toPull(decoded), (pull) =>
        Effect.catchAll(placed(this.source, this.spec.place, Effect.either(pull)), (error) =>
          Effect.fail(Option.some(error))
        ).pipe(Effect.flatten)
      )
    )
  }

  get count() {
    return this.aggregated(Aggregate.count)
  }
  get exists() {
    const { relation } = this.source
    return run(this.source, this.spec, (condition) => {
      const { sql } = relation
      const rows = sql`SELECT 1${rowsOf(relation, this.spec, condition)}`
      return Effect.flatMap(sql`SELECT EXISTS (${rows})`.values, (values) =>
        Schema.decodeUnknown(Schema.Boolean)(values[0]?.[0])
      )
    })
  }
  sum(field: string, as?: Schema.Schema.Any) {
    return this.aggregated(Aggregate.sum(field), as)
  }
  avg(field: string, as?: Schema.Schema.Any) {
    return this.aggregated(Aggregate.avg(field), as)
  }
  min(field: string) {
    return this.aggregated(Aggregate.min(field))
  }
  max(field: string) {
    return this.aggregated(Aggregate.max(field))
  }
  groupBy(...fields: ReadonlyArray<string>) {
    return new GroupedImpl(this.source, this.spec, [...new Set(fields)])
  }

  paginate(options: PageOptions) {
    return paginated(this.source, this.spec, options)
  }

  updateAll(changes: { readonly [field: string]: unknown }) {
    return run(this.source, this.spec, (condition) =>
      Changes.updateAll(this.source.relation, this.source.model, condition, changes)
    )
  }
  get deleteAll() {
    whole(this.spec)
    return run(this.source, this.spec, (condition) => Changes.removeAll(this.source.relation, condition))
  }

  private aggregated(aggregate: Aggregate.Aggregate, as?: Schema.Schema.Any) {
    const { relation } = this.source
    return run(this.source, this.spec, (condition) => {
      const from = fromRows(relation, this.spec, condition)
      const statement = relation.sql`SELECT ${Aggregate.expression(relation, aggregate)}${from}`
      return Effect.flatMap(statement.values, (rows) => Aggregate.decode(relation, aggregate, rows[0]?.[0], as))
    })
  }
}

class GroupedImpl {
  constructor(
    private readonly source: Source,
    private readonly spec: Spec,
    private readonly fields: ReadonlyArray<string>
  ) {}

  get count() {
    return this.aggregate({ count: Aggregate.count }).all
  }
  aggregate(aggregates: { readonly [name: string]: Aggregate.Aggregate }) {
    return new GroupsImpl(this.source, this.spec, { fields: this.fields, aggregates })
  }
}

interface Grouping {
  readonly fields: ReadonlyArray<string>
  readonly aggregates: { readonly [name: string]: Aggregate.Aggregate }
}

interface Shown extends Pick<Spec, "order" | "limit" | "offset"> {
  readonly having: ReadonlyArray<Fragment | { readonly [name: string]: unknown }>
}

const allGroups: Shown = { order: [], limit: undefined, offset: undefined, having: [] }

class GroupsImpl {
  constructor(
    private readonly source: Source,
    private readonly spec: Spec,
    private readonly grouping: Grouping,
    private readonly shown: Shown = allGroups
  ) {}

  private with(change: Partial<Shown>) {
    return new GroupsImpl(this.source, this.spec, this.grouping, { ...this.shown, ...change })
  }
  having(condition: Fragment | { readonly [name: string]: unknown }) {
    return this.with({ having: [...this.shown.having, condition] })
  }
  orderBy(by: string | Fragment, order?: Direction | OrderOptions) {
    return this.with({ order: [...this.shown.order, orderTerm(by, order)] })
  }
  limit(groups: number) {
    return this.with({ limit: groups })
  }
  offset(groups: number) {
    return this.with({ offset: groups })
  }
  get all() {
    const { relation } = this.source
    return run(this.source, this.spec, (condition) =>
      Effect.gen(this, function* () {
        const having = yield* encodedHaving(relation, this.grouping, this.shown)
        const rows = yield* groups(relation, this.spec, condition, this.grouping, { ...this.shown, having })
        return yield* Effect.forEach(rows, (row) => decodeGroup(relation, this.grouping, row))
      })
    )
  }
}

const orderTerm = (by: string | Fragment, order: Direction | OrderOptions = "asc"): Compile.OrderTerm => {
  const { direction = "asc", nulls } = typeof order === "string" ? { direction: order } : order
  const isDescending = direction === "desc"
  return { by, isDescending, nullsFirst: nulls === undefined ? isDescending : nulls === "first" }
}

/** `FROM` to `OFFSET`. Where rows are counted out, which ones is determined. */
const rowsOf = (relation: Relation.Relation, spec: Spec, condition: Compile.Condition): Fragment => {
  const order = isCountedOut(spec) ? Compile.completed(relation, spec.order) : spec.order
  const { sql, table } = relation
  return sql` FROM ${table}${Compile.where(relation, condition)}${Compile.orderBy(relation, order)}${Compile.page(relation, spec)}`
}

const isCountedOut = ({ limit, offset }: Pick<Spec, "limit" | "offset">): boolean =>
  limit !== undefined || offset !== undefined

/** UPDATE and DELETE know no LIMIT. To write more rows than were counted out is a mistake that the types do not allow. */
const whole = (spec: Spec): void => {
  if (isCountedOut(spec)) throw new Error("a query with limit or offset can be read, not written")
}

const select = (
  { relation }: Source,
  spec: Spec,
  condition: Compile.Condition
): Statement<{ readonly [name: string]: unknown }> =>
  relation.sql`SELECT ${Relation.columns(relation)}${rowsOf(relation, spec, condition)}`

/** `FROM` for what adds rows up: all that the condition lets through, or those that were counted out first. */
const fromRows = (relation: Relation.Relation, spec: Spec, condition: Compile.Condition): Fragment => {
  const { sql, table } = relation
  if (!isCountedOut(spec)) return sql` FROM ${table}${Compile.where(relation, condition)}`
  return sql` FROM (SELECT ${Relation.columns(relation)}${rowsOf(relation, spec, condition)}) AS counted_out`
}

const groups = (
  relation: Relation.Relation,
  spec: Spec,
  condition: Compile.Condition,
  { aggregates, fields }: Grouping,
  shown: Omit<Shown, "having"> & { readonly having: ReadonlyArray<Fragment> }
): Statement<{ readonly [name: string]: unknown }> => {
  const { sql } = relation
  const keys = fields.map((name) => Relation.field(relation, name).column)
  const outputs = Object.entries(aggregates).map(
    ([name, aggregate]) => sql`${Aggregate.expression(relation, aggregate)} AS ${Relation.columnOf(sql, name)}`
  )
  const given = shown.order.map(({ by }) => by)
  const rest = isCountedOut(shown) ? fields.filter((name) => !given.includes(name)).map((name) => orderTerm(name)) : []
  const terms = [...shown.order, ...rest].map((term) => {
    const aggregate = typeof term.by === "string" ? aggregates[term.by] : undefined
    const by =
      aggregate === undefined ? Relation.columnBy(relation, term.by) : Aggregate.expression(relation, aggregate)
    return sql`${by}${Compile.direction(relation, term)}`
  })
  const order = terms.length === 0 ? sql.literal("") : sql` ORDER BY ${sql.csv(terms)}`
  const having = shown.having.length === 0 ? sql.literal("") : sql` HAVING ${sql.and(shown.having)}`
  return sql`SELECT ${sql.csv([...keys, ...outputs])}${fromRows(relation, spec, condition)} GROUP BY ${sql.csv(keys)}${having}${order}${Compile.page(relation, shown)}`
}

const encodedHaving = (
  relation: Relation.Relation,
  { aggregates }: Grouping,
  { having }: Shown
): Effect.Effect<ReadonlyArray<Fragment>, ParseError, unknown> =>
  Effect.map(
    Effect.forEach(having, (given): Effect.Effect<ReadonlyArray<Fragment>, ParseError, unknown> => {
      if (StatementModule.isFragment(given)) return Effect.succeed([relation.sql`(${given})`])
      return Effect.forEach(Object.entries(given), ([name, value]) => {
        const aggregate = aggregates[name]
        if (aggregate === undefined) throw new Error(`the groups of ${relation.tableName} have no ${name}`)
        const encode = (one: unknown) => Aggregate.encode(relation, aggregate, one)
        return Effect.map(encodedTest(encode, value), (test) =>
          Compile.test(relation, Aggregate.expression(relation, aggregate), test)
        )
      })
    }),
    (all) => all.flat()
  )

const decodeGroup = (
  relation: Relation.Relation,
  { aggregates, fields }: Grouping,
  row: { readonly [name: string]: unknown }
): Effect.Effect<unknown, ParseError, unknown> => {
  const keys = fields.map((name) => {
    const { decode, encodedName } = Relation.field(relation, name)
    return [name, decode(row[encodedName])] as const
  })
  const values = Object.entries(aggregates).map(
    ([name, aggregate]) => [name, Aggregate.decode(relation, aggregate, row[name])] as const
  )
  return Effect.all(Object.fromEntries([...keys, ...values]))
}

const paginated = (
  source: Source,
  spec: Spec,
  { after, before, size }: PageOptions
): Effect.Effect<Page<unknown>, Failure | CursorInvalid, unknown> =>
  Effect.suspend((): Effect.Effect<Page<unknown>, Failure | CursorInvalid, unknown> => {
    const { model, relation } = source
    const terms = Compile.completed(relation, spec.order)
    const cursor = before ?? after
    const position = cursor === undefined ? Option.none() : Keyset.decode(relation, terms, cursor)
    if (cursor !== undefined && Option.isNone(position)) {
      return Effect.fail(new CursorInvalid({ table: relation.tableName, cursor }))
    }
    const isBackward = before !== undefined
    // Ahead of a row is what lies behind it in the reversed order.
    const walked = isBackward ? Compile.reversed(terms) : terms
    const rowsMax = Math.max(1, Math.trunc(size))
    const cursorOf = (row: { readonly [name: string]: unknown } | undefined) =>
      row === undefined
        ? Effect.succeedNone
        : Effect.map(decodePosition(terms.map((_, index) => row[cursorName(relation, index)])), (texts) =>
            Option.some(Keyset.encode(relation, terms, texts))
          )
    return run(source, spec, (condition) =>
      Effect.gen(function* () {
        const rows = yield* pageOf(relation, walked, Option.getOrUndefined(position), condition, rowsMax + 1)
        const shown = isBackward ? rows.slice(0, rowsMax).toReversed() : rows.slice(0, rowsMax)
        const isMore = rows.length > rowsMax
        const items = yield* decodeRows(model)(shown)
        // Where the cursor came from there were rows.
        const next = yield* cursorOf(isMore || isBackward ? shown.at(-1) : undefined)
        const previous = yield* cursorOf((isBackward ? isMore : after !== undefined) ? shown[0] : undefined)
        return { items, next, previous }
      })
    )
  })

/** The values of the order travel once more, as text: a driver's types may hold less than they do. */
const pageOf = (
  relation: Relation.Relation,
  terms: ReadonlyArray<Compile.OrderTerm>,
  position: Keyset.Position | undefined,
  condition: Compile.Condition,
  rowsMax: number
): Statement<{ readonly [name: string]: unknown }> => {
  const { sql, table } = relation
  const texts = terms.map(
    ({ by }, index) => sql`CAST(${Relation.columnBy(relation, by)} AS text) AS ${sql(cursorName(relation, index))}`
  )
  const here: ReadonlyArray<Compile.Condition> =
    position === undefined ? [] : [{ _tag: "Sql", fragment: Keyset.behind(relation, terms, position) }]
  const both: Compile.Condition =
    here.length === 0
      ? condition
      : { _tag: "All", of: [...(condition._tag === "All" ? condition.of : [condition]), ...here] }
  return sql`SELECT ${sql.csv([Relation.columns(relation), ...texts])} FROM ${table}${Compile.where(relation, both)}${Compile.orderBy(relation, terms)} LIMIT ${rowsMax}`
}

/** One word in lower case, which transforms of names leave as it is. */
const cursorName = ({ fields }: Relation.Relation, index: number): string => {
  const name = `cursor${index}`
  return fields.has(name) ? `${name}of` : name
}

const decodePosition = Schema.decodeUnknown(Schema.Array(Schema.NullOr(Schema.String)))

/** @since 0.1.0 @category functions */
export const decodeRows = (
  model: Model.Any
): ((rows: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<unknown>, ParseError, unknown>) =>
  Schema.decodeUnknown(Schema.Array(model as Schema.Schema<unknown, unknown, unknown>))

const run = <A>(
  source: Source,
  spec: Spec,
  perform: (condition: Compile.Condition) => Effect.Effect<A, Failure, unknown>
): Effect.Effect<A, Failure, unknown> => placed(source, spec.place, Effect.flatMap(encoded(source, spec), perform))

/**
 * All conditions of a query, that of its key first.
 *
 * @since 0.1.0
 * @category functions
 */
export const encoded = (
  { relation }: Source,
  { conditions, place }: Pick<Spec, "conditions" | "place">
): Effect.Effect<Compile.Condition, ParseError, unknown> => {
  const given = place._tag === "Key" ? [place.key, ...conditions] : conditions
  return Effect.map(
    Effect.forEach(given, (one) => encodedCondition(relation, one)),
    (all): Compile.Condition => ({ _tag: "All", of: all.flatMap((one) => (one._tag === "All" ? one.of : [one])) })
  )
}

const encodedCondition = (
  relation: Relation.Relation,
  given: Condition.Given
): Effect.Effect<Compile.Condition, ParseError, unknown> => {
  if (StatementModule.isFragment(given)) return Effect.succeed({ _tag: "Sql", fragment: given })
  if (Condition.isCombined(given)) {
    return Effect.map(
      Effect.forEach(given.conditions, (one) => encodedCondition(relation, one)),
      (of): Compile.Condition => {
        switch (given._tag) {
          case "All":
          case "Any":
            return { _tag: given._tag, of }
          case "Not":
            return { _tag: "Not", of: { _tag: "All", of } }
        }
      }
    )
  }
  return Effect.map(
    Effect.forEach(Object.entries(given), ([name, value]) =>
      Effect.map(encodedTest(Relation.field(relation, name).encode, value), (test): Compile.Condition => ({
        _tag: "Field",
        field: name,
        test
      }))
    ),
    (of): Compile.Condition => ({ _tag: "All", of })
  )
}

const encodedTest = (
  encode: Relation.Field["encode"],
  given: unknown
): Effect.Effect<Condition.Test, ParseError, unknown> => {
  const test: Condition.Test = Condition.isOperator(given) ? given.test : { _tag: "Compare", sign: "=", value: given }
  switch (test._tag) {
    case "Compare":
      return Effect.map(encode(test.value), (value) => ({ ...test, value }))
    case "Between":
      return Effect.zipWith(encode(test.from), encode(test.to), (from, to) => ({ ...test, from, to }))
    case "In":
      return Effect.map(Effect.forEach(test.values, encode), (values) => ({ ...test, values }))
    case "Like":
    case "Null":
      return Effect.succeed(test)
  }
}

/**
 * Where a query says that it runs. What the router has against it is a `SqlError`, as what it has against a statement.
 *
 * @since 0.1.0
 * @category functions
 */
export const placed = <A>(
  source: Source,
  place: Place,
  effect: Effect.Effect<A, Failure, unknown>
): Effect.Effect<A, Failure, unknown> => {
  switch (place._tag) {
    case "Routed":
      return effect
    case "Everywhere":
      return Effect.mapError(ShardContext.everywhere(effect), typed)
    case "Shard":
      return Effect.mapError(source.router.onShard(effect, place.shard), typed)
    case "Key":
      return Effect.flatMap(keyOf(source.relation, place.key), (key) =>
        Effect.mapError(source.router.forKey(effect, source.placement, key), typed)
      )
  }
}

const typed = (error: Failure | ShardError): Failure => (isShardError(error) ? RoutedClient.toSqlError(error) : error)

/** In the order of the table's key, as `forKey` takes it. */
const keyOf = (relation: Relation.Relation, key: { readonly [field: string]: unknown }) =>
  Effect.flatMap(
    Effect.forEach(relation.key, (name) => Relation.field(relation, name).encode(key[name])),
    (values) =>
      values.every(isKeyInput)
        ? Effect.succeed(values)
        : Effect.fail(
            new SqlError({ cause: values, message: `a key of ${relation.tableName} is no value of a key type` })
          )
  )

type KeyInput = string | number | bigint | boolean | Date | Uint8Array

const isKeyInput = (value: unknown): value is KeyInput =>
  Predicate.isString(value) ||
  Predicate.isNumber(value) ||
  Predicate.isBigInt(value) ||
  Predicate.isBoolean(value) ||
  Predicate.isDate(value) ||
  Predicate.isUint8Array(value)
