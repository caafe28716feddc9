/**
 * Who may make ids under which node number, and for which time. Pure.
 *
 * A lease is a node number and a span of time: ids whose time lies in it are its holder's alone. The span is written
 * down before an id of it is made, and whoever leases the node next begins where it ends. So ids cannot collide, whatever
 * the clocks of the processes do, and however long one of them was stopped: what an old holder may still make is ahead of
 * no one. That a lease expires only says when somebody else may have the number.
 *
 * @since 0.1.0
 */
import * as IdLayout from "../topology/IdLayout.js"

/**
 * What the store holds of a node; milliseconds since 1970, by the clock of the store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Row {
  readonly node: number
  readonly expiresMillis: number
  /** Where the holder's span ends, itself excluded. */
  readonly untilMillis: number
}

/** @since 0.1.0 @category models */
export type Choice =
  | { readonly _tag: "Take"; readonly node: number; readonly fromMillis: number }
  | { readonly _tag: "NoNode" }
  | { readonly _tag: "ClockBehind"; readonly byMillis: number }

/**
 * How far ahead of the store's clock a span may begin.
 *
 * @since 0.1.0
 * @category constants
 */
export const aheadMaxMillis = 60_000

/**
 * The node that a new holder gets: one whose span is over, else one that nobody has had, else one whose span ends soon.
 *
 * @since 0.1.0
 * @category functions
 */
export const choose = (rows: ReadonlyArray<Row>, nodes: number, nowMillis: number): Choice => {
  const expired = rows.filter(({ expiresMillis, node }) => expiresMillis <= nowMillis && node < nodes)
  const over = expired.filter(({ untilMillis }) => untilMillis <= nowMillis).sort((one, other) => one.node - other.node)
  if (over[0] !== undefined) return { _tag: "Take", node: over[0].node, fromMillis: nowMillis }
  const known = new Set(rows.map(({ node }) => node))
  for (let node = 0; node < nodes; node++) {
    if (!known.has(node)) return { _tag: "Take", node, fromMillis: nowMillis }
  }
  const [soonest] = expired.sort((one, other) => one.untilMillis - other.untilMillis)
  if (soonest === undefined) return { _tag: "NoNode" }
  const byMillis = soonest.untilMillis - nowMillis
  return byMillis > aheadMaxMillis
    ? { _tag: "ClockBehind", byMillis }
    : { _tag: "Take", node: soonest.node, fromMillis: soonest.untilMillis }
}

/**
 * What a process may make ids of. Ticks are those of the layout; `untilTick` is excluded.
 *
 * @since 0.1.0
 * @category models
 */
export interface Span {
  readonly node: number
  readonly fromTick: number
  readonly untilTick: number
}

/** @since 0.1.0 @category constructors */
export const span = (
  layout: IdLayout.Layout,
  lease: { readonly node: number; readonly fromMillis: number; readonly untilMillis: number }
): Span => ({
  node: lease.node,
  // A tick that two spans share belongs to the later one.
  fromTick: IdLayout.tickOf(layout, lease.fromMillis),
  untilTick: IdLayout.tickOf(layout, lease.untilMillis)
})

/** @since 0.1.0 @category models */
export type Last = IdLayout.Parts

/**
 * The next ids, as many as the span has, each greater than `last`. A clock that is behind the last id, or a tick that is
 * full, borrows from the ticks ahead, as far as the span goes.
 *
 * @since 0.1.0
 * @category functions
 */
export const take = (
  layout: IdLayout.Layout,
  { fromTick, node, untilTick }: Span,
  last: Last | undefined,
  nowMillis: number,
  count: number
): { readonly ids: ReadonlyArray<string>; readonly last: Last | undefined } => {
  const ids: Array<string> = []
  const perTick = IdLayout.perTick(layout)
  // Another node's counter says nothing: behind its tick all are greater.
  const after = last === undefined ? undefined : last.node === node ? last : { ...last, counter: perTick - 1 }
  let tick = Math.max(IdLayout.tickOf(layout, nowMillis), fromTick)
  let counter = 0
  if (after !== undefined && after.tick >= tick) {
    tick = after.tick
    counter = after.counter + 1
  }
  let made = last
  for (; ids.length < count; counter++) {
    if (counter >= perTick) {
      tick++
      counter = 0
    }
    if (tick >= untilTick) break
    made = { tick, node, counter }
    ids.push(IdLayout.compose(layout, made))
  }
  return { ids, last: made }
}
