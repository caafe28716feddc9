/**
 * Where pages far down were found last: what the next one is guessed from.
 *
 * Enters: the plan's statements for such pages, the shards and the parameters, the pages that were found. Leaves: the
 * windows of a next page, or undefined where a guess is not worth its round trip. Holds: nothing that is remembered is
 * trusted (`merge/Windows`), so that rows, shards and slots may change meanwhile; what is kept of a plan is bounded, and
 * gone with it.
 *
 * @since 0.1.0
 */
import { paramText } from "./internal/paramText.js"
import * as Windows from "./merge/Windows.js"
import type { DeepStatements, Page } from "./plan/Merge.js"
import type { Amounts } from "./plan/Page.js"
import type { ShardId } from "./topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface Landmarks {
  readonly guess: (inputs: number, amounts: Amounts) => ReadonlyArray<Windows.Window> | undefined
  readonly learn: (amounts: Amounts, found: Windows.Found) => void
}

/**
 * Of one plan on these shards with these parameters.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = (
  deep: DeepStatements,
  shards: ReadonlyArray<ShardId>,
  page: Page | undefined,
  params: ReadonlyArray<unknown>
): Landmarks => {
  const plan = ofPlan(deep)
  const key = keyOf(shards, page, params)
  const known = key === undefined ? undefined : plan.known.get(key)
  return {
    guess: (inputs, amounts) => {
      if (known !== undefined) return guessed(known.landmarks, inputs, amounts, known.margin)
      return plan.uneven < unevenMax ? guessed([], inputs, amounts, 0) : undefined
    },
    learn: (amounts, { landmarks }) => {
      if (known === undefined) plan.uneven = isEven(amounts, landmarks) ? 0 : plan.uneven + 1
      if (key !== undefined) keep(plan.known, key, learned(known, amounts.offset, landmarks))
    }
  }
}

interface Known {
  /** The latest ones first. */
  readonly landmarks: ReadonlyArray<Windows.Landmark>
  /** Rows by which places have moved from one time to the next, and some. */
  readonly margin: number
}

interface OfPlan {
  readonly known: Map<string, Known>
  /** How many pages that nothing was known of, one after the other, were not where rows spread by chance have them. */
  uneven: number
}

/** Of pages of such rows one in a hundred is elsewhere. */
const unevenMax = 2

const isEven = (amounts: Amounts, [begin]: ReadonlyArray<Windows.Landmark>): boolean =>
  begin !== undefined &&
  guessed([], begin.at.length, amounts, 0).every(({ rows = Infinity, skip }, input) => {
    const at = begin.at[input] ?? 0
    return skip <= at && at <= skip + rows
  })

const plans = new WeakMap<DeepStatements, OfPlan>()

const ofPlan = (deep: DeepStatements): OfPlan => {
  const found = plans.get(deep)
  if (found !== undefined) return found
  const plan: OfPlan = { known: new Map(), uneven: 0 }
  plans.set(deep, plan)
  return plan
}

const guessed = (
  landmarks: ReadonlyArray<Windows.Landmark>,
  inputs: number,
  amounts: Amounts,
  margin: number
): ReadonlyArray<Windows.Window> => Windows.guessed(landmarks, inputs, amounts, Math.max(marginMin, margin))

/** A row of each shard before the page and one behind it are the proof. */
const marginMin = 2

const learned = (before: Known | undefined, offset: number, landmarks: ReadonlyArray<Windows.Landmark>): Known => {
  const [begin] = landmarks
  const last = before?.landmarks.find(({ rank }) => rank === offset)
  const moved = begin === undefined || last === undefined ? 0 : distanceOf(begin, last)
  // Wider than a guess that knows nothing it need not be.
  const margin = Math.min(Math.max(moved * 2, (before?.margin ?? 0) / 2), 2 * Math.sqrt(offset))
  const others = before?.landmarks.filter(({ rank }) => landmarks.every((landmark) => landmark.rank !== rank)) ?? []
  return { landmarks: [...landmarks, ...others].slice(0, landmarksMax), margin }
}

const distanceOf = (one: Windows.Landmark, other: Windows.Landmark): number =>
  one.at.reduce((most, at, input) => Math.max(most, Math.abs(at - (other.at[input] ?? 0))), 0)

/** Two a page. */
const landmarksMax = 32
const keysMax = 100
const keyLengthMax = 1_000

/** Parameters that say how far down are no part of it. */
const keyOf = (
  shards: ReadonlyArray<ShardId>,
  page: Page | undefined,
  params: ReadonlyArray<unknown>
): string | undefined => {
  const isAmount = (index: number) =>
    [page?.limit, page?.offset].some((amount) => amount?._tag === "Param" && amount.index === index + 1)
  const text = paramText([shards, params.filter((_, index) => !isAmount(index))])
  return text === undefined || text.length > keyLengthMax ? undefined : text
}

/** The one that was used longest ago goes. */
const keep = (known: Map<string, Known>, key: string, value: Known): void => {
  known.delete(key)
  known.set(key, value)
  if (known.size <= keysMax) return
  for (const oldest of known.keys()) {
    known.delete(oldest)
    return
  }
}
