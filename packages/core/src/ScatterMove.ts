/**
 * Runs an UPDATE that may give rows another shard, in the transaction that is open.
 *
 * Enters: a `Move`, the shards that it is bound to, the innermost level of the transaction. Leaves: rows in the form the
 * operation asks for. Holds: each row is locked where it is before anything is changed; what moves is put into its new
 * shard before it leaves its old one, so that a row in its way is found as PostgreSQL finds it, which changes one row
 * after another and may meet the old ones; the first failure dooms the level.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Level } from "./LocalTransaction.js"
import type { Fragment, TextRow } from "./plan/Merge.js"
import type { Action } from "./plan/Write.js"
import type { Policy } from "./Policy.js"
import * as Feed from "./scatter/Feed.js"
import * as ScatterWrite from "./ScatterWrite.js"
import * as ShardCall from "./ShardCall.js"
import type { TextBound } from "./ShardConnection.js"
import type { ShardError } from "./ShardError.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Request extends ScatterWrite.Request {
  readonly action: Extract<Action, { readonly _tag: "Move" }>
  readonly limits: TextBound
  readonly ownersOf: Feed.OwnersOf
}

/** @since 0.1.0 @category functions */
export const run = (
  level: Level,
  policy: Policy,
  request: Request,
  form: ShardCall.Form
): Effect.Effect<unknown, ShardError> => Effect.onError(moved(level, policy, request, form), () => level.doom)

/** Rows of one shard. */
interface Share {
  readonly shard: ShardId
  readonly rows: ReadonlyArray<TextRow>
}

const moved = (
  level: Level,
  policy: Policy,
  request: Request,
  form: ShardCall.Form
): Effect.Effect<unknown, ShardError> =>
  Effect.gen(function* () {
    const { action, ownersOf, params, shards } = request
    yield* Effect.forEach(shards, level.join, { discard: true })
    const now = yield* ScatterWrite.moment(level, policy, request)
    const { concurrency } = policy
    const on = ScatterWrite.running(level, policy, { now, params })
    const answered = ({ rows, shard }: Share, fragment: Fragment): Effect.Effect<unknown, ShardError> =>
      on(shard, fragment, rows, (connection, sql, own) => ShardCall.runIn(connection, form, sql, own))
    const results = yield* Effect.forEach(
      shards,
      (shard) => on(shard, action.read, [], (connection, sql, own) => connection.executeText(sql, own, request.limits)),
      { concurrency }
    )
    const problem = Feed.tooMuch(request, results)
    if (problem !== undefined) return yield* problem
    const found = results.map((result) => once(result.rows, action.place))
    const rows = found.flat()
    const from = found.flatMap((own, place) => own.map(() => shards[place] ?? ""))
    const to = yield* Feed.owners(ownersOf, action.to, rows)
    const shares = (of: ReadonlyArray<string>, isMoving: boolean): ReadonlyArray<Share> =>
      [...Feed.byShard(of as ReadonlyArray<ShardId>)].flatMap(([shard, places]): ReadonlyArray<Share> => {
        const own = places.flatMap((row) => (isMoving === (from[row] !== to[row]) ? [rows[row] ?? []] : []))
        return own.length === 0 ? [] : [{ shard, rows: own }]
      })
    const arriving = shares(to, true)
    const staying = shares(from, false)
    yield* Effect.forEach(arriving, ({ shard }) => level.join(shard), { discard: true })
    const put = yield* Effect.forEach(arriving, (share) => answered(share, action.insert), { concurrency })
    const first = shards[0]
    if (rows.length === 0 && first !== undefined) return yield* answered({ shard: first, rows: [] }, action.none)
    const changed = yield* Effect.forEach(staying, (share) => answered(share, action.keep), { concurrency })
    yield* Effect.forEach(
      shares(from, true),
      (share) => on(share.shard, action.remove, share.rows, (connection, sql, own) => connection.executeRaw(sql, own)),
      { concurrency, discard: true }
    )
    return together(form, [...changed, ...put])
  })

/** Joined with several rows, a row is changed by one of them: PostgreSQL leaves open by which. */
const once = (rows: ReadonlyArray<TextRow>, place: number): ReadonlyArray<TextRow> => {
  const seen = new Set<string>()
  return rows.filter((row) => {
    const at = row.slice(0, place).join(" ")
    if (seen.has(at)) return false
    seen.add(at)
    return true
  })
}

/** Rows that have moved were inserted. */
const together = (form: ShardCall.Form, answers: ReadonlyArray<unknown>): unknown => {
  const all = Feed.concatenated(form, answers)
  return form === "executeRaw" ? Object.assign(all as object, { command: "UPDATE" }) : all
}
