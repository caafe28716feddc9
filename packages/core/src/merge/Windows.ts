/**
 * A page of sorted inputs out of a window of each: a guess where the windows are, and the proof that it held.
 *
 * Enters: where pages of the same inputs were found before, then the rows of each window. Leaves: the windows, then the
 * merged rows of all, from which the page is cut; undefined where they prove nothing. Holds: what is proven is a page of
 * the whole, whatever the guess was made of.
 *
 * Reason: P is the row on which the page begins if the rows in front of all windows are among the skipped ones. Those of
 * an input are at most its window's first row. Where that is at most P on each, all of them may stand before P (in one of
 * the orders that ties leave open), and nothing else does but the merged rows before P. What an input has behind its
 * window is at least the window's last row; where that is at least the page's last one, it may stand behind the page.
 *
 * @since 0.1.0
 */
import type { TextRow } from "../plan/Merge.js"
import type { Amounts } from "../plan/Page.js"
import * as KWayMerge from "./KWayMerge.js"
import type { RowKey, RowOrder } from "./RowOrder.js"

/**
 * How many rows of each input are among the first `rank` of all.
 *
 * @since 0.1.0
 * @category models
 */
export interface Landmark {
  readonly rank: number
  readonly at: ReadonlyArray<number>
}

/**
 * The rows of an input from `skip` on, at most so many; all of them where `rows` is undefined.
 *
 * @since 0.1.0
 * @category models
 */
export interface Window {
  readonly skip: number
  readonly rows: number | undefined
  /** So many rows there are in front of it, and none of them on the page or behind it: that needs no proof. */
  readonly isCertain?: boolean
}

/**
 * Rows in order, of which the page is `limit` rows behind the first `offset`; and where it begins and ends.
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  readonly rows: ReadonlyArray<TextRow>
  readonly offset: number
  readonly landmarks: ReadonlyArray<Landmark>
}

/**
 * Windows that hold the page if the rows between it and the nearest landmark belong to the inputs by chance, in the
 * shares that were seen so far; each is wider by `margin` rows at both ends. Without landmarks all have the same share.
 *
 * @since 0.1.0
 * @category functions
 */
export const guessed = (
  landmarks: ReadonlyArray<Landmark>,
  inputs: number,
  { limit, offset }: Amounts,
  margin: number
): ReadonlyArray<Window> => {
  const begins = expected(landmarks, inputs, offset)
  const ends = limit === undefined ? undefined : expected(landmarks, inputs, offset + limit)
  return begins.map(({ at, spread }, input) => {
    const skip = Math.max(0, Math.floor(at - spread - margin))
    const end = ends?.[input]
    return { skip, rows: end === undefined ? undefined : Math.max(1, Math.ceil(end.at + end.spread + margin) - skip) }
  })
}

/**
 * The one that is nearest to the rank.
 *
 * @since 0.1.0
 * @category functions
 */
export const nearest = (landmarks: ReadonlyArray<Landmark>, rank: number): Landmark | undefined => {
  let best: Landmark | undefined
  for (const landmark of landmarks)
    if (best === undefined || Math.abs(landmark.rank - rank) < Math.abs(best.rank - rank)) best = landmark
  return best
}

interface Expected {
  readonly at: number
  readonly spread: number
}

/** So many standard deviations: of a thousand inputs three lie further off. */
const deviations = 3

const expected = (landmarks: ReadonlyArray<Landmark>, inputs: number, rank: number): ReadonlyArray<Expected> => {
  const from = nearest(landmarks, rank)
  if (from === undefined) {
    const share = 1 / inputs
    return Array.from({ length: inputs }, () => ({ at: rank * share, spread: spreadOf(rank, share) }))
  }
  const distance = rank - from.rank
  // A share seen on so many rows is not exact either.
  const rows = Math.abs(distance) * (1 + Math.abs(distance) / Math.max(1, from.rank))
  return from.at.map((at) => {
    const share = Math.min(1, at / Math.max(1, from.rank))
    return { at: at + distance * share, spread: spreadOf(rows, share) }
  })
}

const spreadOf = (rows: number, share: number): number => deviations * Math.sqrt(rows * share * (1 - share))

/**
 * `inputs` are the rows of the windows. With ties an input that has more rows than its window has none among them that
 * equals the window's last row.
 *
 * @since 0.1.0
 * @category functions
 */
export const found = (
  order: RowOrder,
  windows: ReadonlyArray<Window>,
  inputs: ReadonlyArray<ReadonlyArray<TextRow>>,
  { limit, offset }: Amounts,
  withTies: boolean
): Found | undefined => {
  const rest = windows.reduce((left, { skip }) => left - skip, offset)
  if (rest < 0) return undefined
  const end = rest + (limit ?? Infinity)
  const rows = KWayMerge.mergeSorted(order, inputs, withTies ? Infinity : end)
  const first = keyAt(order, rows, rest)
  const last = keyAt(order, rows, end - 1)
  const isProven = windows.every((window, input) => {
    const own = inputs[input] ?? []
    return isBehind(order, window, own, first) && reaches(order, window, own, last)
  })
  return isProven ? { rows, offset: rest, landmarks: landmarksOf(windows, inputs, rows, offset, rest, end) } : undefined
}

const keyAt = (order: RowOrder, rows: ReadonlyArray<TextRow>, place: number): RowKey | undefined => {
  const row = rows[place]
  return row === undefined ? undefined : order.decode(row)
}

/** The rows in front of the window are before the page. An empty window does not say how many there are. */
const isBehind = (
  order: RowOrder,
  { isCertain, skip }: Window,
  own: ReadonlyArray<TextRow>,
  first: RowKey | undefined
): boolean => {
  if (skip === 0 || isCertain === true) return true
  const key = keyAt(order, own, 0)
  return key !== undefined && (first === undefined || order.compare(key, first) <= 0)
}

/** The rows behind the window, if any, are after the page. */
const reaches = (order: RowOrder, { rows }: Window, own: ReadonlyArray<TextRow>, last: RowKey | undefined): boolean => {
  if (rows === undefined || own.length < rows) return true
  const key = keyAt(order, own, own.length - 1)
  return key !== undefined && last !== undefined && order.compare(key, last) >= 0
}

const landmarksOf = (
  windows: ReadonlyArray<Window>,
  inputs: ReadonlyArray<ReadonlyArray<TextRow>>,
  rows: ReadonlyArray<TextRow>,
  offset: number,
  rest: number,
  end: number
): ReadonlyArray<Landmark> => {
  const taken = inputs.map(() => 0)
  const landmark = (rank: number): Landmark => ({
    rank,
    at: windows.map(({ skip }, input) => skip + (taken[input] ?? 0))
  })
  const landmarks: Array<Landmark> = []
  for (const [place, row] of rows.entries()) {
    if (place === rest) landmarks.push(landmark(offset))
    if (place === end) break
    // Each input's rows come in their order, and are the same objects.
    const input = inputs.findIndex((own, index) => own[taken[index] ?? 0] === row)
    taken[input] = (taken[input] ?? 0) + 1
  }
  landmarks.push(landmark(landmarks.length === 0 ? offset : offset + Math.min(rows.length, end) - rest))
  return landmarks
}
