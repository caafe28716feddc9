/**
 * Runs a MERGE whose source was read first, in the transaction that is open.
 *
 * Enters: a `Match`, the rows of its source, the shards of its target, the innermost level of the transaction. Leaves: rows
 * in the form the operation asks for. Holds: a row is inserted once, and only if no shard has a match for it; whether one
 * has is decided for all shards before anything is changed, and what decided it stays as it was, for it is locked; the
 * first failure dooms the level.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Level } from "./LocalTransaction.js"
import type { Fragment, TextRow } from "./plan/Merge.js"
import { type Action, Part } from "./plan/Write.js"
import type { Policy } from "./Policy.js"
import * as Feed from "./scatter/Feed.js"
import * as ScatterWrite from "./ScatterWrite.js"
import * as ShardCall from "./ShardCall.js"
import type { TextBound, TextResult } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Request extends Omit<ScatterWrite.Request, "now"> {
  readonly action: Extract<Action, { readonly _tag: "Match" }>
  readonly texts: TextResult
  readonly now: string | null
  readonly limits: TextBound
  readonly ownersOf: Feed.OwnersOf
}

/** @since 0.1.0 @category functions */
export const run = (
  level: Level,
  policy: Policy,
  request: Request,
  form: ShardCall.Form
): Effect.Effect<unknown, ShardError> => Effect.onError(merged(level, policy, request, form), () => level.doom)

const merged = (
  level: Level,
  policy: Policy,
  request: Request,
  form: ShardCall.Form
): Effect.Effect<unknown, ShardError> =>
  Effect.gen(function* () {
    const { action, limits, now, ownersOf, params, shards, texts } = request
    const tooMany = Feed.tooMuch(request, [texts])
    if (tooMany !== undefined) return yield* tooMany
    yield* Effect.forEach(shards, level.join, { discard: true })
    const { concurrency } = policy
    const { rows } = texts
    const on = ScatterWrite.running(level, policy, { now, params })
    const asked = (shard: ShardId, fragment: Fragment, given: ReadonlyArray<TextRow>) =>
      on(shard, fragment, given, (connection, sql, own) => connection.executeText(sql, own, limits))
    const numbered = rows.map((row, number): TextRow => [...row, String(number)])
    const found = yield* Effect.forEach(
      shards,
      (shard) => (rows.length === 0 ? Effect.succeed({ ...texts, rows: [] }) : asked(shard, action.find, numbered)),
      { concurrency }
    )
    const matches = found.map((result) => new Set(result.rows.map(([number]) => Number(number))))
    const alone = numbered.filter((_, number) => matches.every((own) => !own.has(number)))
    const [first] = shards
    if (first === undefined) throw new Error("a MERGE of no shards")
    const inserted = alone.length === 0 ? { ...texts, rows: [] } : yield* asked(first, action.insert, alone)
    const problem = Feed.tooMuch(request, [...found, inserted])
    if (problem !== undefined) return yield* problem
    const owners = yield* ownersByNumber(ownersOf, action, inserted.rows)
    const several = [...new Set([...shards, ...owners.values()])]
    yield* Effect.forEach(several, level.join, { discard: true })
    const shares = several.map((shard, place) => ({
      shard,
      rows: rows.flatMap((row, number): ReadonlyArray<TextRow> => {
        const owner = owners.get(number)
        if (owner !== undefined) {
          if (owner === shard) return [[...row, Part.here]]
          return action.all ? [[...row, Part.elsewhere]] : []
        }
        return action.all || matches[place]?.has(number) === true ? [[...row, Part.matched]] : []
      })
    }))
    // Without rows nothing happens, but one shard gives the answer its form.
    const concerned = shares.filter((share, place) => place === 0 || action.all || share.rows.length > 0)
    const answers = yield* Effect.forEach(
      concerned,
      ({ rows: own, shard }): Effect.Effect<unknown, ShardError> =>
        on(shard, action.put, own, (connection, sql, values) => ShardCall.runIn(connection, form, sql, values)),
      { concurrency }
    )
    return Feed.concatenated(form, answers)
  })

/** The shard of each row that is inserted. */
const ownersByNumber = (
  ownersOf: Feed.OwnersOf,
  { to }: Request["action"],
  rows: ReadonlyArray<TextRow>
): Effect.Effect<ReadonlyMap<number, ShardId>, ShardError> => {
  const fitting = rows.filter(([, isInserted]) => isInserted === "t")
  return Effect.map(
    Feed.owners(ownersOf, to, fitting),
    (shards) => new Map(shards.map((shard, index) => [Number(fitting[index]?.[0]), shard]))
  )
}
