/**
 * How many different values there are, of values that travel packed: images of one width, one after the other in a bytea, in
 * the order of their values.
 *
 * Enters the texts of such byteas; leaves the number of different images in all of them. Holds: two images are the same
 * exactly when all their bytes are; no more different ones than `valuesMax` are let in, and they are held as numbers in a few
 * arrays, three times all of them at most, without an object a value. Each array is in order and twice as long as the next,
 * about, so that a value is merged as often as the shards can be halved. (A hash table of the same numbers, measured, takes
 * three times as long: it waits for memory.)
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { PackedOrder, PackedWidth } from "../plan/Merge.js"
import { tooManyGroups, type TooManyGroups } from "./MergeProblem.js"

/** @since 0.1.0 @category models */
export interface PackedValues {
  /** `\x` and two lower case digits a byte, as `bytea_output = hex` prints it; ascending, each image once. */
  readonly add: (hex: string) => Either.Either<void, TooManyGroups>
  readonly count: () => Either.Either<number, TooManyGroups>
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly width: PackedWidth
  readonly order: PackedOrder
  readonly valuesMax: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ order, valuesMax, width }: Options): PackedValues => {
  const words = width / 4
  // The longest first.
  const runs: Array<Run> = []

  const kept = (run: Run): Either.Either<number, TooManyGroups> => {
    runs.push(run)
    const images = run.length / words
    return images > valuesMax ? Either.left(tooManyGroups(valuesMax)) : Either.right(images)
  }

  return {
    add: (hex) => {
      let run = runOf(hex, width, order)
      for (let last = runs.at(-1); last !== undefined && last.length < run.length * 2; last = runs.at(-1)) {
        run = union(last, run, words)
        runs.pop()
      }
      return Either.map(kept(run), () => undefined)
    },
    count: () => kept(runs.splice(0).reduceRight((all, run) => union(run, all, words), empty))
  }
}

/**
 * The images in such a text.
 *
 * @since 0.1.0
 * @category getters
 */
export const imagesIn = (hex: string, width: PackedWidth): number => (hex.length - 2) / (width * 2)

/**
 * Images in ascending order, `width / 4` words each; they compare word by word, as signed numbers.
 */
type Run = Int32Array

const empty: Run = new Int32Array(0)

const runOf = (hex: string, width: PackedWidth, order: PackedOrder): Run => {
  const images = imagesIn(hex, width)
  if (!hex.startsWith("\\x") || !Number.isInteger(images))
    throw new Error(`a shard gave no images of ${width} bytes, but ${hex.length} characters: ${hex.slice(0, 20)}`)
  const words = width / 4
  const run = new Int32Array(images * words)
  for (let at = 0, digit = 2; at < run.length; at++, digit += 8) run[at] = wordAt(hex, digit) ^ lowest
  if (order !== "Unsigned") fromSigned(run, words, order)
  for (let at = words; at < run.length; at += words) {
    if (compare(run, at - words, run, at, words) >= 0) throw new Error("a shard gave images that are out of order")
  }
  return run
}

/** Flips the sign: what is compared as signed numbers has the order of unsigned ones then. */
const lowest = -(2 ** 31)

/** Of a negative float the larger number is the smaller one. */
const fromSigned = (run: Run, words: number, order: Exclude<PackedOrder, "Unsigned">): void => {
  for (let at = 0; at < run.length; at += words) {
    const first = run[at]! ^ lowest
    run[at] = first
    if (order === "Float" && first < 0) {
      run[at] = ~first ^ lowest
      for (let word = 1; word < words; word++) run[at + word] = ~run[at + word]!
    }
  }
}

/** Eight digits: those below `a` have their number in four bits, those from `a` on nine less than it. */
const wordAt = (hex: string, from: number): number => {
  let word = 0
  for (let at = from; at < from + 8; at++) {
    const code = hex.charCodeAt(at)
    word = (word << 4) | ((code & 15) + (code >> 6) * 9)
  }
  return word
}

const compare = (one: Run, at: number, other: Run, otherAt: number, words: number): -1 | 0 | 1 => {
  for (let word = 0; word < words; word++) {
    const left = one[at + word]!
    const right = other[otherAt + word]!
    if (left !== right) return left < right ? -1 : 1
  }
  return 0
}

const union = (one: Run, other: Run, words: number): Run => {
  const all = new Int32Array(one.length + other.length)
  let [at, otherAt, length] = [0, 0, 0]
  while (at < one.length && otherAt < other.length) {
    const order = compare(one, at, other, otherAt, words)
    if (order <= 0) {
      for (let word = 0; word < words; word++) all[length + word] = one[at + word]!
      at += words
      if (order === 0) otherAt += words
    } else {
      for (let word = 0; word < words; word++) all[length + word] = other[otherAt + word]!
      otherAt += words
    }
    length += words
  }
  const rest = at < one.length ? one.subarray(at) : other.subarray(otherAt)
  all.set(rest, length)
  return all.subarray(0, length + rest.length)
}
