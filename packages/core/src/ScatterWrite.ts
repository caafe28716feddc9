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
import type { Operation } from "./LightStatement.js"
import type { Level } from "./LocalTransaction.js"
import type { ParamSource } from "./plan/Merge.js"
import * as Write from "./plan/Write.js"
import type { Policy } from "./Policy.js"
import * as ShardCall from "./ShardCall.js"
import { type RawResult, unbounded } from "./ShardConnection.js"
import { CopiesDiffer, type ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Request {
  readonly write: Write.Write
  /** At least two. */
  readonly shards: ReadonlyArray<ShardId>
  /** For `Rows`: the rows of each shard by their place in the statement, in the order of `shards`. */
  readonly rows: ReadonlyArray<ReadonlyArray<number>>
  readonly tables: ReadonlyArray<string>
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/** @since 0.1.0 @category functions */
export const run = (
  level: Level,
  policy: Policy,
  request: Request,
  operation: Operation
): Effect.Effect<any, ShardError> =>
  // All take part before one does something: whoever may not says so first.
  Effect.zipRight(Effect.forEach(request.shards, level.join, { discard: true }), moment(level, policy, request)).pipe(
    Effect.flatMap((now) => performed(level, policy, request, operation, now)),
    Effect.onError(() => level.doom)
  )

/** The transaction's own, where it has begun. */
const moment = (
  level: Level,
  policy: Policy,
  { shards, write: { now } }: Request
): Effect.Effect<string | null, ShardError> => {
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
  operation: Operation,
  now: string | null
): Effect.Effect<any, ShardError> => {
  const { shards, write } = request
  const on = (shard: ShardId, place: number, as: Operation): Effect.Effect<any, ShardError> => {
    const { params, sql } = statementOf(request, place, now)
    return ShardCall.limited(
      { shard, policy, access: "write" },
      ShardCall.runAs(level.connectionFor(shard), as, sql, params)
    )
  }
  const { concurrency } = policy
  if (write.action._tag === "Copies") {
    const as = write.returning ? operation : "executeRaw"
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
        () => (write.returning || operation === "executeRaw" ? answer : [])
      )
    )
  }
  return Effect.map(
    Effect.forEach(shards, (shard, place) => on(shard, place, operation), { concurrency }),
    (answers) => together(request, operation, answers)
  )
}

const countOf = (answer: ReadonlyArray<unknown> | RawResult): number =>
  "rows" in answer ? (answer.rowCount ?? 0) : answer.length

/**
 * What the shard of this place runs. `now`: the moment of the statement, where it is needed.
 *
 * @since 0.1.0
 * @category functions
 */
export const statementOf = (
  { params, rows, sql, write: { action } }: Omit<Request, "tables">,
  place: number,
  now: string | null
): { readonly sql: string; readonly params: ReadonlyArray<unknown> } => {
  const fragment = action._tag === "Rows" ? Write.joined(piecesOf(action, rows[place] ?? [])) : action.statement
  return fragment === undefined
    ? { sql, params }
    : { sql: fragment.sql, params: fragment.params.map((source) => valueOf(source, params, now)) }
}

const comma: Write.Piece = { texts: [", "], params: [] }

const piecesOf = (
  { head, rows, tail }: Extract<Write.Action, { readonly _tag: "Rows" }>,
  own: ReadonlyArray<number>
): ReadonlyArray<Write.Piece> => {
  const pieces = [head]
  for (const [index, row] of own.entries()) {
    const piece = rows[row]
    if (piece === undefined) throw new Error("a shard has a row that the statement has not")
    if (index > 0) pieces.push(comma)
    pieces.push(piece)
  }
  return [...pieces, tail]
}

const valueOf = (source: ParamSource, params: ReadonlyArray<unknown>, now: string | null): unknown => {
  switch (source._tag) {
    case "Given":
      return params[source.index - 1]
    case "Now":
      return now
    default:
      throw new Error(`a write has a parameter ${source._tag}`)
  }
}

/** One answer of several. */
const together = (
  { rows: places, write: { action, returning } }: Request,
  operation: Operation,
  answers: ReadonlyArray<any>
): unknown => {
  const raw: ReadonlyArray<RawResult> | undefined = operation === "executeRaw" ? answers : undefined
  const parts: ReadonlyArray<ReadonlyArray<unknown>> = raw === undefined ? answers : raw.map(({ rows }) => rows)
  const rows =
    returning && action._tag === "Rows" && action.answers ? inOrder(parts, places) : parts.flatMap((part) => part)
  return raw === undefined ? rows : RawResults.together(raw, rows)
}

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
