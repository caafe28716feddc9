/**
 * Rows that were read as texts, and the shards that they are put into.
 *
 * Enters: the rows, where the plan sends them. Leaves: for each shard the rows that go there. Holds: a row's shard is that
 * of its key as it will be stored, which may be drawn for it; more rows or bytes than the limits are refused before
 * anything is drawn or written.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Drawing from "../internal/drawing.js"
import * as RawResults from "../internal/rawResults.js"
import type { IdsService } from "../Ids.js"
import type { TextRow } from "../plan/Merge.js"
import type { Action, Owners, RowKeyPart } from "../plan/Write.js"
import type { Form } from "../ShardCall.js"
import type { TextBound, TextResult } from "../ShardConnection.js"
import { GatherLimitExceeded, KeyInvalid, type ShardError } from "../ShardError.js"
import type { KeyType } from "../topology/KeyType.js"
import * as KeyValue from "../topology/KeyValue.js"
import type { ShardId } from "../topology/ShardId.js"
import { exceeded } from "./Parts.js"

/**
 * `types`: those of the keyspace. `shards`: of the keys, one each.
 *
 * @since 0.1.0
 * @category models
 */
export interface OwnersOf {
  readonly types: (keyspace: string) => ReadonlyArray<KeyType>
  readonly shards: (
    keyspace: string,
    keys: ReadonlyArray<KeyValue.KeyTuple>
  ) => Effect.Effect<ReadonlyArray<ShardId>, ShardError>
}

/** @since 0.1.0 @category models */
export interface Request {
  readonly action: Extract<Action, { readonly _tag: "Feed" }>
  /** Those the statement is bound to. */
  readonly shards: ReadonlyArray<ShardId>
  readonly tables: ReadonlyArray<string>
  readonly limits: TextBound
  readonly ownersOf: OwnersOf
  readonly ids: IdsService | undefined
}

/**
 * The shards that get rows, at least one, and which of the rows each of them gets.
 *
 * @since 0.1.0
 * @category models
 */
export interface Placed {
  readonly shards: ReadonlyArray<ShardId>
  readonly rows: ReadonlyArray<ReadonlyArray<number>>
  readonly given: ReadonlyArray<TextRow>
}

/** @since 0.1.0 @category functions */
export const placed = (request: Request, texts: TextResult): Effect.Effect<Placed, ShardError> => {
  const { action, ids } = request
  const problem = tooMuch(request, [texts])
  if (problem !== undefined) return Effect.fail(problem)
  return Effect.flatMap(
    Drawing.extended(ids, action.draws, texts.rows, (row, values): TextRow => [...row, ...values]),
    (given) => shared(request, given)
  )
}

const shared = (
  { action, ownersOf, shards }: Request,
  given: ReadonlyArray<TextRow>
): Effect.Effect<Placed, ShardError> => {
  const all = [...given.keys()]
  const { to } = action
  switch (to._tag) {
    case "Copies":
    case "All":
      return Effect.succeed({ shards, rows: shards.map(() => all), given })
    case "Shard":
      return Effect.succeed({ shards: [to.shard], rows: [all], given })
    case "Owners":
      return Effect.map(owners(ownersOf, to, given), (found) => {
        const own = byShard(found)
        // Even of no rows the answer has a form, which a shard gives.
        return own.size === 0
          ? { shards: shards.slice(0, 1), rows: [[]], given }
          : { shards: [...own.keys()], rows: [...own.values()], given }
      })
  }
}

/**
 * The shard of each row.
 *
 * @since 0.1.0
 * @category functions
 */
export const owners = (
  { shards, types }: OwnersOf,
  { columns, key, keyspace, table }: Owners,
  rows: ReadonlyArray<TextRow>
): Effect.Effect<ReadonlyArray<ShardId>, ShardError> => {
  const known = types(keyspace)
  const keys: Array<KeyValue.KeyTuple> = []
  for (const row of rows) {
    const parts: Array<KeyValue.KeyPart> = []
    for (const [index, type] of known.entries()) {
      const part = KeyValue.canonical(type, stored(row, key[index] ?? null))
      if (Either.isLeft(part)) {
        return Effect.fail(new KeyInvalid({ table, column: columns[index], reason: part.left }))
      }
      parts.push(part.right)
    }
    keys.push(parts)
  }
  return shards(keyspace, keys)
}

/** A text that is too long in other characters is not stored at all: whoever gets the row says so. */
const stored = (row: TextRow, part: RowKeyPart | null): string | null => {
  const text = part === null ? null : (row[part.column] ?? null)
  const charactersMax = part?.charactersMax
  return text === null || charactersMax === undefined || text.length <= charactersMax
    ? text
    : [...text].slice(0, charactersMax).join("")
}

/**
 * Which rows each shard has, by their place.
 *
 * @since 0.1.0
 * @category functions
 */
export const byShard = (shards: ReadonlyArray<ShardId>): ReadonlyMap<ShardId, ReadonlyArray<number>> => {
  const rows = new Map<ShardId, Array<number>>()
  for (const [row, shard] of shards.entries()) {
    const own = rows.get(shard)
    if (own === undefined) rows.set(shard, [row])
    else own.push(row)
  }
  return new Map([...rows].sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** @since 0.1.0 @category functions */
export const tooMuch = (
  { limits, tables }: Pick<Request, "limits" | "tables">,
  results: ReadonlyArray<TextResult>
): GatherLimitExceeded | undefined => {
  const found = exceeded(limits, results)
  return found === undefined ? undefined : new GatherLimitExceeded({ tables, ...found })
}

/**
 * The results of several shards as one.
 *
 * @since 0.1.0
 * @category functions
 */
export const together = (results: ReadonlyArray<TextResult>): TextResult => ({
  fields: results[0]?.fields ?? [],
  rows: results.flatMap(({ rows }) => rows),
  truncated: results.find(({ truncated }) => truncated !== undefined)?.truncated,
  bytes: results.reduce((sum, { bytes }) => sum + bytes, 0)
})

/**
 * The answers of several shards as one, in the form that was asked for, their rows one after another.
 *
 * @since 0.1.0
 * @category functions
 */
export const concatenated = (form: Form, answers: ReadonlyArray<unknown>): unknown =>
  typeof form === "string"
    ? RawResults.joined(form, answers as ReadonlyArray<RawResults.Answer>)
    : together(answers as ReadonlyArray<TextResult>)
