/**
 * Runs a statement that writes several shards, in the transaction that is open, so that all of it happens or nothing.
 *
 * Enters: a `Write`, the shards that it is bound to, the innermost level of the transaction. Leaves: rows in the form
 * the operation asks for. Holds: a shard runs one statement; the first failure interrupts the others and dooms the level,
 * as a failed statement does on one PostgreSQL; copies of a reference table are written one ahead of the others, so that
 * writers of the same rows meet there and not in a circle, and that must have changed as many rows on each.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as RawResults from "./internal/rawResults.js"
import { upTo } from "./internal/sideBySide.js"
import type { Level } from "./LocalTransaction.js"
import type { Fragment, TextRow } from "./plan/Merge.js"
import * as Write from "./plan/Write.js"
import type { Policy } from "./Policy.js"
import * as ShardCall from "./ShardCall.js"
import * as Feed from "./scatter/Feed.js"
import { type RawResult, type ShardConnection, type TextResult, unbounded } from "./ShardConnection.js"
import { CopiesDiffer, type ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Request {
  readonly write: Write.Write
  /** At least two. */
  readonly shards: ReadonlyArray<ShardId>
  /** For `Rows` and `Feed`: the rows of each shard by their place in the statement, in the order of `shards`. */
  readonly rows: ReadonlyArray<ReadonlyArray<number>>
  /** For `Feed`: all rows, as they were read. */
  readonly given?: ReadonlyArray<TextRow>
  /** The moment of the statement, where it is known by now. */
  readonly now?: string | null
  readonly tables: ReadonlyArray<string>
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/**
 * `merged` runs a merge in the same transaction.
 *
 * @since 0.1.0
 * @category functions
 */
export const run = (
  level: Level,
  policy: Policy,
  request: Request,
  form: ShardCall.Form
): Effect.Effect<any, ShardError> =>
  joined(
    level,
    request.shards,
    Effect.flatMap(moment(level, policy, request), (now) => performed(level, policy, request, form, now))
  )

/**
 * All shards take part before one does something: whoever may not says so first. For writes whose rows are merged, too.
 *
 * @since 0.1.0
 * @category functions
 */
export const joined = <A>(
  level: Level,
  shards: ReadonlyArray<ShardId>,
  answer: Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> =>
  Effect.onError(Effect.zipRight(Effect.forEach(shards, level.join, { discard: true }), answer), () => level.doom)

/**
 * The transaction's own, where it has begun.
 *
 * @since 0.1.0
 * @category functions
 */
export const moment = (
  level: Level,
  policy: Policy,
  { now: known, shards, write: { now } }: Pick<Request, "now" | "shards" | "write">
): Effect.Effect<string | null, ShardError> => {
  if (known !== undefined) return Effect.succeed(known)
  if (now === undefined) return Effect.succeed(null)
  const shard = level.shard() ?? firstOf(shards)
  return Effect.map(
    ShardCall.limited({ shard, policy, access: "write" }, level.connectionFor(shard).executeText(now, [], unbounded)),
    ({ rows }) => rows[0]?.[0] ?? null
  )
}

const performed = (
  level: Level,
  policy: Policy,
  request: Request,
  form: ShardCall.Form,
  now: string | null
): Effect.Effect<any, ShardError> => {
  const { shards, write } = request
  const on = (shard: ShardId, place: number, as: ShardCall.Form): Effect.Effect<any, ShardError> => {
    const { params, sql } = statementOf(request, place, now)
    return ShardCall.limited(
      { shard, policy, access: "write" },
      ShardCall.runIn(level.connectionFor(shard), as, sql, params)
    )
  }
  const { concurrency } = policy
  if (isCopied(write.action)) {
    const as = write.returning ? form : "executeRaw"
    const [first, ...others] = shards
    return Effect.flatMap(on(firstOf(shards), 0, as), (answer) =>
      Effect.map(
        Effect.forEach(
          others,
          (shard, index) =>
            Effect.filterOrFail(
              on(shard, index + 1, as),
              (other) => countOf(other) === countOf(answer),
              (other) =>
                new CopiesDiffer({
                  tables: request.tables,
                  shards: [first ?? "", shard],
                  rows: [countOf(answer), countOf(other)]
                })
            ),
          { concurrency }
        ),
        () => (write.returning || form === "executeRaw" ? answer : [])
      )
    )
  }
  return Effect.map(
    upTo(concurrency, shards, (shard, place) => on(shard, place, form)),
    (answers) => together(request, form, answers)
  )
}

const isCopied = (action: Write.Action): boolean =>
  action._tag === "Copies" || (action._tag === "Feed" && action.to._tag === "Copies")

const countOf = (answer: RawResults.Answer | TextResult): number => {
  if ("bytes" in answer) return answer.rows.length
  return "rows" in answer ? (answer.rowCount ?? 0) : answer.length
}

/**
 * What the shard of this place runs. `now`: the moment of the statement, where it is needed.
 *
 * @since 0.1.0
 * @category functions
 */
export const statementOf = (
  { given, params, rows, sql, write: { action } }: Omit<Request, "tables">,
  place: number,
  now: string | null
): { readonly sql: string; readonly params: ReadonlyArray<unknown> } => {
  const own = rows[place] ?? []
  const arrays = action._tag === "Rows" && own.length >= arrayRowsMin ? arraysOf(action, own, params) : undefined
  if (arrays !== undefined) return arrays
  const fragment = fragmentOf(action, own)
  if (fragment === undefined) return { sql, params }
  const taken = given === undefined ? [] : own.map((row) => given[row] ?? [])
  return { sql: fragment.sql, params: paramsOf(fragment, { params, now, rows: taken }) }
}

/** Undefined: the program's own. */
const fragmentOf = (action: Write.Action, own: ReadonlyArray<number>): Fragment | undefined => {
  switch (action._tag) {
    case "Rows":
      return Write.joined(piecesOf(action, own))
    case "Each":
    case "Copies":
      return action.statement
    case "Merged":
      return action.merge.statement
    case "Feed":
      return action.put
    case "Match":
    case "Move":
      throw new Error(`${action._tag} is not one statement a shard`)
  }
}

/** One text for any number of rows is parsed and planned in less time, and few rows are as quick the other way. */
const arrayRowsMin = 4

/** One array a column; undefined where a value is no scalar, which an array would make something else of. */
const arraysOf = (
  { arrays, rows }: Rows,
  own: ReadonlyArray<number>,
  params: ReadonlyArray<unknown>
): { readonly sql: string; readonly params: ReadonlyArray<unknown> } | undefined => {
  if (arrays === undefined) return undefined
  let isPlain = true
  const columns = (rows[own[0]!]?.params ?? []).map((_, column) =>
    own.map((row) => {
      const source = rows[row]?.params[column]
      const value = source?._tag === "Given" ? params[source.index - 1] : noScalar
      isPlain &&= isScalar(value)
      return value
    })
  )
  return isPlain ? { sql: arrays, params: columns } : undefined
}

const noScalar = {}

const isScalar = (value: unknown): boolean => {
  switch (typeof value) {
    case "string":
    case "number":
    case "bigint":
    case "boolean":
    case "undefined":
      return true
    case "object":
      return value === null || value instanceof Date
    default:
      return false
  }
}

type Rows = Extract<Write.Action, { readonly _tag: "Rows" }>

const comma: Write.Piece = { texts: [", "], params: [] }

const piecesOf = ({ head, rows, tail }: Rows, own: ReadonlyArray<number>): ReadonlyArray<Write.Piece> => {
  const pieces = [head]
  for (const [index, row] of own.entries()) {
    const piece = rows[row]
    if (piece === undefined) throw new Error("a shard has a row that the statement has not")
    if (index > 0) pieces.push(comma)
    pieces.push(piece)
  }
  return [...pieces, tail]
}

/**
 * What the parameters of a fragment are given.
 *
 * @since 0.1.0
 * @category models
 */
export interface Values {
  readonly params: ReadonlyArray<unknown>
  readonly now: string | null
  /** Of which `Column` takes one column as an array. */
  readonly rows: ReadonlyArray<TextRow>
}

/** @since 0.1.0 @category functions */
export const paramsOf = (fragment: Fragment, { now, params, rows }: Values): ReadonlyArray<unknown> =>
  fragment.params.map((source) => {
    switch (source._tag) {
      case "Given":
        return params[source.index - 1]
      case "Now":
        return now
      case "Column":
        return rows.map((row) => row[source.column] ?? null)
      default:
        throw new Error(`a write has a parameter ${source._tag}`)
    }
  })

/**
 * Runs fragments of a write on its shards, in the transaction: each with the rows that it takes.
 *
 * @since 0.1.0
 * @category functions
 */
export const running =
  (level: Level, policy: Policy, { now, params }: Omit<Values, "rows">) =>
  <A>(
    shard: ShardId,
    fragment: Fragment,
    rows: ReadonlyArray<TextRow>,
    use: (connection: ShardConnection, sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> =>
    ShardCall.limited(
      { shard, policy, access: "write" },
      use(level.connectionFor(shard), fragment.sql, paramsOf(fragment, { params, now, rows }))
    )

/** One answer of several. */
const together = (
  { rows: places, write: { action, returning } }: Request,
  form: ShardCall.Form,
  answers: ReadonlyArray<any>
): unknown => {
  const isOrdered = returning && hasOrder(action)
  if (typeof form !== "string") {
    const texts: ReadonlyArray<TextResult> = answers
    const all = Feed.together(texts)
    const parts = texts.map(({ rows }) => rows)
    return isOrdered ? { ...all, rows: inOrder(parts, places) } : all
  }
  const raw: ReadonlyArray<RawResult> | undefined = form === "executeRaw" ? answers : undefined
  const parts: ReadonlyArray<ReadonlyArray<unknown>> = raw === undefined ? answers : raw.map(({ rows }) => rows)
  const rows = isOrdered ? inOrder(parts, places) : parts.flatMap((part) => part)
  return raw === undefined ? rows : RawResults.together(raw, rows)
}

const hasOrder = (action: Write.Action): boolean =>
  action._tag === "Rows" || action._tag === "Feed" ? action.answers : false

/** A trigger may have kept a row out: then nobody can say which. */
const inOrder = (
  parts: ReadonlyArray<ReadonlyArray<unknown>>,
  places: ReadonlyArray<ReadonlyArray<number>>
): ReadonlyArray<unknown> => {
  if (parts.some((part, shard) => part.length !== places[shard]?.length)) return parts.flat()
  const rows: Array<unknown> = []
  for (const [shard, part] of parts.entries()) {
    for (const [index, row] of part.entries()) rows[places[shard]?.[index] ?? 0] = row
  }
  return rows
}

const firstOf = (shards: ReadonlyArray<ShardId>): ShardId => {
  const [shard] = shards
  if (shard === undefined) throw new Error("a write of no shards")
  return shard
}
