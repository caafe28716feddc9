/**
 * A model of `@effect/sql` over a sharded table: rows by id, and a small query builder whose types ask for the shard key.
 *
 * Enters: a `Model.Class`, a table of the topology, its key's fields. Leaves: effects with typed errors: `SqlError` (whose
 * `cause` is the `ShardError`), `ParseError`, `RowNotFound`. Holds: all of it is statements on the routed client; a read
 * that names no key must say so (`scatter()`, `onAllShards`), or it does not compile.
 *
 * @since 0.1.0
 */
import type * as Model from "@effect/sql/Model"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Condition from "./model/Condition.js"
import { ModelInvalid, type RowNotFound } from "./model/ModelError.js"
import type { Failure, FieldOf, Only, Query, Refinable, Where } from "./model/Query.js"
import * as Read from "./model/Read.js"
import * as Relation from "./model/Relation.js"
import * as Write from "./model/Write.js"
import { ShardRouter } from "./ShardRouter.js"
import type * as Table from "./topology/Table.js"
import type { Topology } from "./topology/Topology.js"

export {
  /** @since 0.1.0 @category aggregates */
  avg,
  /** @since 0.1.0 @category aggregates */
  count,
  /** @since 0.1.0 @category schemas */
  Decimal,
  /** @since 0.1.0 @category aggregates */
  max,
  /** @since 0.1.0 @category aggregates */
  min,
  /** @since 0.1.0 @category aggregates */
  sum
} from "./model/Aggregate.js"

export {
  /** @since 0.1.0 @category operators */
  between,
  /** @since 0.1.0 @category operators */
  eq,
  /** @since 0.1.0 @category operators */
  gt,
  /** @since 0.1.0 @category operators */
  gte,
  /** @since 0.1.0 @category operators */
  ilike,
  /** @since 0.1.0 @category operators */
  isNotNull,
  /** @since 0.1.0 @category operators */
  isNull,
  /** @since 0.1.0 @category operators */
  like,
  /** @since 0.1.0 @category operators */
  lt,
  /** @since 0.1.0 @category operators */
  lte,
  /** @since 0.1.0 @category operators */
  ne,
  /** @since 0.1.0 @category operators */
  notIlike,
  /** @since 0.1.0 @category operators */
  notIn,
  /** @since 0.1.0 @category operators */
  notLike,
  /** @since 0.1.0 @category operators */
  oneOf as in
} from "./model/Condition.js"

export {
  /** @since 0.1.0 @category errors */
  CursorInvalid,
  /** @since 0.1.0 @category errors */
  ModelInvalid,
  /** @since 0.1.0 @category errors */
  RowNotFound
} from "./model/ModelError.js"

export type {
  /** @since 0.1.0 @category models */
  Groups,
  /** @since 0.1.0 @category models */
  Having,
  /** @since 0.1.0 @category models */
  Limited,
  /** @since 0.1.0 @category models */
  Page,
  /** @since 0.1.0 @category models */
  PageOptions,
  /** @since 0.1.0 @category models */
  Query
} from "./model/Query.js"

type Named<F> = F extends ReadonlyArray<infer Name extends string> ? Name : F extends string ? F : never

/**
 * A value of each of these fields: the bare value where there is one field, else an object.
 *
 * @since 0.1.0
 * @category models
 */
export type ValuesOf<S extends Model.Any, F extends string> =
  IsUnion<F> extends true ? { readonly [Name in F]: S["Type"][Name] } : S["Type"][F]

type IsUnion<T, Whole = T> = T extends Whole ? ([Whole] extends [T] ? false : true) : never

type Needs<S extends Model.Any, Variant extends "insert" | "update" | "none" = "none"> =
  | Schema.Schema.Context<S>
  | (Variant extends "none" ? never : Schema.Schema.Context<S[Exclude<Variant, "none">]>)

/**
 * The rows of a sharded table. `Key`: the fields of its shard key. `Id`: the fields that tell its rows apart, the key's
 * among them.
 *
 * @since 0.1.0
 * @category models
 */
export interface ShardedModel<S extends Model.Any, Key extends FieldOf<S>, Id extends FieldOf<S>> extends Omit<
  Refinable<S, Key, never>,
  "limit" | "offset"
> {
  /** Stores a row and gives it as it is stored, generated and default values included. */
  readonly insert: (row: S["insert"]["Type"]) => Effect.Effect<S["Type"], Failure, Needs<S, "insert">>
  /** The same for many rows, all or none of them, in their order. */
  readonly insertMany: (
    rows: ReadonlyArray<S["insert"]["Type"]>
  ) => Effect.Effect<ReadonlyArray<S["Type"]>, Failure, Needs<S, "insert">>
  readonly findById: (id: ValuesOf<S, Id>) => Effect.Effect<Option.Option<S["Type"]>, Failure, Needs<S>>
  /** As `findById`, where the row is expected. */
  readonly getById: (id: ValuesOf<S, Id>) => Effect.Effect<S["Type"], Failure | RowNotFound, Needs<S>>
  /** The row with the id of `row` becomes `row`. */
  readonly update: (row: S["update"]["Type"]) => Effect.Effect<S["Type"], Failure | RowNotFound, Needs<S, "update">>
  /**
   * Changes some fields of a row, and those that every update sets (`Model.DateTimeUpdate`). Another key moves the row to
   * the shard of that key.
   */
  readonly updateById: (
    id: ValuesOf<S, Id>,
    changes: Partial<S["update"]["Type"]>
  ) => Effect.Effect<S["Type"], Failure | RowNotFound, Needs<S, "update">>
  /** Deletes a row. Was it there? */
  readonly delete: (id: ValuesOf<S, Id>) => Effect.Effect<boolean, Failure, Needs<S>>
  /** The rows of one key, pinned to it: a fragment that reaches other keys' rows is an error. */
  readonly forKey: (key: ValuesOf<S, Key>) => Query<S, Key, Key>
  /** The rows of one shard, as `ShardRouter.onShard`. */
  readonly onShard: (shard: string) => Query<S, Key, Key>
  /** One answer of all shards, whatever pin is around it. */
  readonly onAllShards: Query<S, Key, Key>
  /** All of these. None: every row. */
  readonly and: <const Conditions extends ReadonlyArray<Where<S>>>(
    ...conditions: Conditions & { readonly [I in keyof Conditions]: Only<S, Conditions[I]> }
  ) => Condition.Combined<S, Condition.NamedByAny<Conditions>>
  /** At least one of these. None: no row. */
  readonly or: <const Conditions extends ReadonlyArray<Where<S>>>(
    ...conditions: Conditions & { readonly [I in keyof Conditions]: Only<S, Conditions[I]> }
  ) => Condition.Combined<S, Condition.NamedByAll<Conditions>>
  /** Where it is false. Where it is NULL, neither it nor its opposite holds. */
  readonly not: <const C extends Where<S>>(condition: C & Only<S, C>) => Condition.Combined<S, never>
}

/** @since 0.1.0 @category models */
export interface Options<
  Id extends string,
  Types extends Table.Sharded["types"],
  Key extends string | ReadonlyArray<string>,
  Own extends string | ReadonlyArray<string>
> {
  /** The table, of the router's topology. */
  readonly table: Table.Sharded<Id, Types>
  /** The fields that are the table's shard key. */
  readonly key: Key
  /** The fields that, with the key, tell a row from all others. Default: the key alone does. */
  readonly id?: Own | undefined
}

/**
 * The rows of a table as values of a model. Fails where the router's topology has no such table, or the fields of `key` are
 * not the columns of its key.
 *
 * @example
 * ```ts
 * import { Model } from "@effect/sql"
 * import { Keyspace, ShardedModel, Table, Topology } from "@shardlayer/core"
 * import { Effect, Schema } from "effect"
 *
 * const { tables } = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
 *   tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
 * })
 *
 * class User extends Model.Class<User>("User")({
 *   id: Schema.BigInt,
 *   name: Schema.String,
 *   active: Schema.Boolean
 * }) {}
 *
 * export const program = Effect.gen(function* () {
 *   const Users = yield* ShardedModel.make(User, { table: tables.users, key: "id" })
 *   yield* Users.insert({ id: 1n, name: "Ada", active: true })
 *   const ada = yield* Users.findById(1n)
 *   const firstTen = yield* Users.where({ active: true }).orderBy("name").limit(10).scatter().all
 *   const total = yield* Users.onAllShards.count
 *   return { ada, firstTen, total }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <
  S extends Model.Any,
  const Id extends string,
  const Types extends Table.Sharded["types"],
  const Key extends FieldOf<S> | readonly [FieldOf<S>, ...ReadonlyArray<FieldOf<S>>],
  const Own extends FieldOf<S> | ReadonlyArray<FieldOf<S>> = never
>(
  model: S,
  options: Options<Id, Types, Key, Own>
): Effect.Effect<
  ShardedModel<S, Named<Key> & FieldOf<S>, (Named<Key> | Named<Own>) & FieldOf<S>>,
  ModelInvalid,
  ShardRouter
> =>
  Effect.gen(function* () {
    const router = yield* ShardRouter
    const { table } = options
    const given = { key: listOf(options.key), id: listOf(options.id) }
    const problem = unfit(model, given) ?? misplaced(yield* router.topology, table)
    const invalid = (reason: string) => new ModelInvalid({ table: table.id, reason })
    if (problem !== undefined) return yield* invalid(problem)
    const relation = Relation.make(router.client, model, table, given)
    const key = ordered(relation, table)
    if (typeof key === "string") return yield* invalid(key)
    const source: Read.Source = {
      relation: { ...relation, key, identity: [...new Set([...key, ...given.id])] },
      model,
      router,
      placement: table
    }
    // The types above say of these functions what they do at run time.
    return modelOf(source) as never
  })

const listOf = (fields: string | ReadonlyArray<string> | undefined): ReadonlyArray<string> =>
  fields === undefined ? [] : typeof fields === "string" ? [fields] : fields

const unfit = (
  { fields }: Model.Any,
  { id, key }: { readonly key: ReadonlyArray<string>; readonly id: ReadonlyArray<string> }
): string | undefined => {
  const missing = [...key, ...id].find((name) => !Object.hasOwn(fields, name))
  if (missing !== undefined) return `it has no field ${missing}`
  const dotted = Object.keys(fields).find((name) => name.includes("."))
  // The client's identifiers end at a dot.
  return dotted === undefined ? undefined : `the name of field ${dotted} has a dot`
}

const misplaced = (topology: Topology, table: Table.Sharded): string | undefined => {
  const known = topology.tables[table.id]
  if (known === undefined) return "the router's topology has no such table"
  if (known._tag !== "Sharded") return `in the router's topology the table is ${known._tag}, not Sharded`
  const same =
    known.keyspace === table.keyspace &&
    known.schema === table.schema &&
    known.name === table.name &&
    known.columns.join() === table.columns.join() &&
    known.types.join() === table.types.join()
  return same ? undefined : "the router's topology has another key for it, or another name"
}

/** The key's fields in the order of the table's columns; a text says why there are none. */
const ordered = (relation: Relation.Relation, table: Table.Sharded): ReadonlyArray<string> | string => {
  const byColumn = new Map(relation.key.map((name) => [Relation.field(relation, name).columnName, name]))
  const key = table.columns.flatMap((column) => byColumn.get(column) ?? [])
  if (key.length === table.columns.length && key.length === relation.key.length) return key
  return `its key is ${[...byColumn.keys()].join(", ")}, that of the table ${table.columns.join(", ")}`
}

const modelOf = (source: Read.Source) => {
  const query = (place: Read.Place) => new Read.QueryImpl(source, { ...Read.everything, place })
  const all = query({ _tag: "Routed" })
  const idOf = (given: unknown) => valuesOf(source.relation.identity, given)
  return {
    insert: (row: unknown) => Write.insert(source, row),
    insertMany: (rows: ReadonlyArray<unknown>) => Write.insertMany(source, rows),
    findById: (id: unknown) => Write.findById(source, idOf(id)),
    getById: (id: unknown) => Write.getById(source, idOf(id)),
    update: (row: unknown) => Write.update(source, row),
    updateById: (id: unknown, changes: { readonly [field: string]: unknown }) =>
      Write.updateById(source, idOf(id), changes),
    delete: (id: unknown) => Write.remove(source, idOf(id)),
    where: (condition: Condition.Given) => all.where(condition),
    orderBy: all.orderBy.bind(all),
    scatter: () => all,
    forKey: (key: unknown) => query({ _tag: "Key", key: valuesOf(source.relation.key, key) }),
    onShard: (shard: string) => query({ _tag: "Shard", shard }),
    onAllShards: query({ _tag: "Everywhere" }),
    and: (...conditions: ReadonlyArray<Condition.Given>) => Condition.combined("All", conditions),
    or: (...conditions: ReadonlyArray<Condition.Given>) => Condition.combined("Any", conditions),
    not: (condition: Condition.Given) => Condition.combined("Not", [condition])
  }
}

/** A bare value is that of the only field. */
const valuesOf = (names: ReadonlyArray<string>, given: unknown): { readonly [field: string]: unknown } => {
  const [only] = names
  return names.length === 1 && only !== undefined ? { [only]: given } : (given as { readonly [field: string]: unknown })
}
