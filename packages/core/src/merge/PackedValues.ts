/**
 * How many different values there are, of values that travel packed: images of one width, one after the other in a bytea.
 *
 * Enters the texts of such byteas, in any order; leaves the number of different images in all of them. Holds: two images are
 * the same exactly when all their bytes are, so that this is the number of values where equal values have equal images and
 * different ones do not; at most `valuesMax` images are kept, as numbers in one array, and no object a value.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { tooManyGroups, type TooManyGroups } from "./MergeProblem.js"

/**
 * Bytes of an image.
 *
 * @since 0.1.0
 * @category models
 */
export type Width = 4 | 8 | 16

/** @since 0.1.0 @category models */
export interface PackedValues {
  /** `\x` and two lower case digits a byte, as `bytea_output = hex` prints it. */
  readonly add: (hex: string) => Either.Either<void, TooManyGroups>
  readonly count: () => number
}

/** @since 0.1.0 @category models */
export interface Options {
  readonly width: Width
  readonly valuesMax: number
}

/**
 * A table of open addressing, at most half full. No image is zero in it: that one is known by itself. Where an image goes
 * depends on a number that nobody who stores values knows, so that none can be chosen to meet in one place.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ valuesMax, width }: Options): PackedValues => {
  const words = width / 4
  const seed = (Math.random() * 2 ** 32) | 0
  const image = new Int32Array(words)
  let places = placesMin
  let table = new Int32Array(places * words)
  let held = 0
  let hasZero = false

  /** Says whether the image is new. */
  const put = (): boolean => {
    let hash = seed
    for (let word = 0; word < words; word++) {
      hash = Math.imul(hash ^ image[word]!, 0x85eb_ca6b)
      hash ^= hash >>> 15
      hash = Math.imul(hash, 0xc2b2_ae35)
      hash ^= hash >>> 13
    }
    for (let place = hash & (places - 1); ; place = (place + 1) & (places - 1)) {
      const at = place * words
      let all = 0
      let differing = 0
      for (let word = 0; word < words; word++) {
        const known = table[at + word]!
        all |= known
        differing |= known ^ image[word]!
      }
      if (differing === 0) return false
      if (all !== 0) continue
      for (let word = 0; word < words; word++) table[at + word] = image[word]!
      return true
    }
  }

  const grow = (): void => {
    const before = table
    places *= growth
    table = new Int32Array(places * words)
    for (let at = 0; at < before.length; at += words) {
      let all = 0
      for (let word = 0; word < words; word++) all |= image[word] = before[at + word]!
      if (all !== 0) put()
    }
  }

  const count = (): number => held + (hasZero ? 1 : 0)

  return {
    add: (hex) => {
      expectImages(hex, width)
      for (let at = 2; at < hex.length;) {
        let all = 0
        for (let word = 0; word < words; word++, at += 8) all |= image[word] = wordAt(hex, at)
        if (all === 0) hasZero = true
        else if (put() && ++held * 2 > places) grow()
        if (held >= valuesMax && count() > valuesMax) return Either.left(tooManyGroups(valuesMax))
      }
      return Either.void
    },
    count
  }
}

/** A power of two. */
const placesMin = 1024
const growth = 4

/** What is no image at all would be counted as one. */
const expectImages = (hex: string, width: Width): void => {
  if (!hex.startsWith("\\x") || (hex.length - 2) % (width * 2) !== 0)
    throw new Error(`a shard gave no images of ${width} bytes, but ${hex.length} characters: ${hex.slice(0, 20)}`)
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

/**
 * The images in a bytea.
 *
 * @since 0.1.0
 * @category getters
 */
export const imagesIn = (hex: string, width: Width): number => (hex.length - 2) / (width * 2)
