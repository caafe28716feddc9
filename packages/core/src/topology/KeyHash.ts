/**
 * PostgreSQL's own hash-partition hash of a key, and the slot it falls into.
 *
 * Enters canonical text (`KeyValue.canonical`), leaves what `compute_partition_hash_value` computes on a server: each
 * part through its type's extended hash function with the partition seed, NULL parts skipped, the rest combined.
 * Byte-exact, proven against a real server. 64-bit numbers are handled as pairs of 32-bit words, because BigInt would
 * cost more than all the rest.
 *
 * Sources: src/common/hashfn.c (Bob Jenkins' lookup3), src/include/common/hashfn.h, src/include/catalog/partition.h.
 */
import * as Calendar from "./Calendar.js"
import type { KeyType } from "./KeyType.js"
import type { KeyPart, KeyTuple } from "./KeyValue.js"

/**
 * `HASH_PARTITION_SEED`.
 *
 * @since 0.1.0
 * @category constants
 */
export const seed = 0x7a5b22367996dcfdn

/**
 * The constant of `hash_combine64`.
 *
 * @since 0.1.0
 * @category constants
 */
export const combineConstant = 0x49a0f4dd15e5a8e3n

/**
 * The unsigned 64-bit hash of a whole key, as PostgreSQL computes it to choose a hash partition.
 *
 * @since 0.1.0
 * @category getters
 */
export const hash = (types: ReadonlyArray<KeyType>, key: KeyTuple): bigint => {
  const low = rowHashLow(types, key)
  return (BigInt(high) << 32n) | BigInt(low)
}

/**
 * The slot of a key: its hash modulo `slots`, a power of two up to 65,536. A key of NULLs alone is in slot 0.
 *
 * @since 0.1.0
 * @category getters
 */
export const slot = (types: ReadonlyArray<KeyType>, key: KeyTuple, slots: number): number => {
  const type = types[0]
  const part = key[0]
  // With one part the combine step only adds a constant, and the low word is all a slot needs.
  if (key.length === 1 && type !== undefined && typeof part === "string") {
    return (partHashLow(type, part) + combineLow) & (slots - 1)
  }
  return rowHashLow(types, key) & (slots - 1)
}

/**
 * The slot of a key of one part, from ASCII bytes of a text that PostgreSQL would read as the part; -1 where the text is
 * not written plainly or the type is none of the usual ones: its canonical text will say.
 *
 * @since 0.1.0
 * @category getters
 */
export const slotOfBytes = (type: KeyType, bytes: Uint8Array, from: number, to: number, slots: number): number => {
  switch (type) {
    case "int2":
    case "int4":
    case "int8": {
      const value = integerOf(bytes, from, to)
      return fits(type, value) ? slotOfInteger(value, slots) : -1
    }
    case "text":
    case "varchar": {
      reserve(to - from)
      for (let at = from; at < to; at++) {
        const byte = bytes[at]!
        if (byte === 0) return -1
        scratch[at - from] = byte
      }
      return (hashBytes(to - from) + combineLow) & (slots - 1)
    }
    case "uuid":
      return isPlainUuid(bytes, from, to) ? (hashBytes(16) + combineLow) & (slots - 1) : -1
    case "bytea":
    case "bool":
    case "date":
    case "timestamptz":
    case "numeric":
      return -1
  }
}

/**
 * The slot of a key of one part that is given as a whole number; -1 where the value is none of the type, or not exact.
 *
 * @since 0.1.0
 * @category getters
 */
export const slotOfNumber = (type: KeyType, value: unknown, slots: number): number =>
  typeof value === "number" && (type === "int8" || type === "int4" || type === "int2") && fits(type, value)
    ? slotOfInteger(value, slots)
    : -1

const slotOfInteger = (value: number, slots: number): number =>
  (hashMagnitude(Math.abs(value) >>> 0, Math.floor(Math.abs(value) / 0x100000000), value < 0) + combineLow) &
  (slots - 1)

/** Is it a whole number of this type, and exact? */
const fits = (type: "int2" | "int4" | "int8", value: number): boolean => {
  switch (type) {
    case "int2":
      return Number.isInteger(value) && value >= -0x8000 && value < 0x8000
    case "int4":
      return (value | 0) === value
    case "int8":
      return Number.isSafeInteger(value)
  }
}

/**
 * The unsigned 64-bit extended hash of one part under the partition seed, before the combine step: what
 * `hashint8extended(part, seed)` and its like return.
 *
 * @since 0.1.0
 * @category getters
 */
export const part = (type: KeyType, part: Exclude<KeyPart, null>): bigint => {
  const low = partHashLow(type, part)
  return (BigInt(high) << 32n) | BigInt(low)
}

const seedHigh = 0x7a5b2236
const seedLow = 0x7996dcfd
const combineHigh = 0x49a0f4dd
const combineLow = 0x15e5a8e3

/**
 * The high word of the 64-bit hash whose low word was returned last: a second return value that costs no allocation.
 * Read it before the next call.
 */
let high = 0

/** `compute_partition_hash_value`. */
const rowHashLow = (types: ReadonlyArray<KeyType>, key: KeyTuple): number => {
  let rowLow = 0
  let rowHigh = 0
  for (let index = 0; index < key.length; index++) {
    const part = key[index]
    const type = types[index]
    if (part === null || part === undefined || type === undefined) continue
    const partLow = partHashLow(type, part)
    // hash_combine64: row ^= part + constant + (row << 54) + (row >> 7)
    const shiftedLow = ((rowLow >>> 7) | (rowHigh << 25)) >>> 0
    const sumLow = partLow + combineLow + shiftedLow
    const carry = Math.floor(sumLow / 0x100000000)
    const sumHigh = (high + combineHigh + (rowLow << 22) + (rowHigh >>> 7) + carry) | 0
    rowLow = (rowLow ^ sumLow) >>> 0
    rowHigh = (rowHigh ^ sumHigh) >>> 0
  }
  high = rowHigh
  return rowLow
}

const partHashLow = (type: KeyType, text: string): number => {
  switch (type) {
    case "int2":
    case "int4":
    case "int8":
      return hashInteger(text)
    case "text":
    case "varchar":
      return hashBytes(writeUtf8(text))
    case "uuid":
      return hashBytes(writeUuid(text))
    case "bytea":
      return hashBytes(writeHex(text, 2))
    case "bool":
      return hashWord(text === "t" ? 1 : 0)
    case "date":
      return hashWord(Calendar.dateDays(text))
    case "timestamptz":
      return hashLong(Calendar.timestampMicros(text))
    case "numeric":
      return hashNumeric(text)
  }
}

/**
 * `hashint8extended`: the high half is folded into the low one so that an int8 hashes like an equal int4.
 * A number of up to nineteen digits is two exact doubles.
 */
const hashInteger = (text: string): number => {
  const negative = text.charCodeAt(0) === minus
  const digits = negative ? text.length - 1 : text.length
  if (digits <= 9) return hashWord(Number(text))
  const nine = text.length - 9
  const upper = Number(text.slice(negative ? 1 : 0, nine))
  const upperHigh = Math.floor(upper / 65536) * 1e9
  const magnitude = (upper % 65536) * 1e9 + Number(text.slice(nine)) + (upperHigh % 65536) * 65536
  const highWord = Math.floor(upperHigh / 65536) + Math.floor(magnitude / 0x100000000)
  return hashMagnitude(magnitude >>> 0, highWord, negative)
}

/** A negative value's words are ~magnitude + 1, and its high word is folded in complemented. */
const hashMagnitude = (low: number, highWord: number, negative: boolean): number =>
  hashWord(negative ? -low ^ (low === 0 ? highWord - 1 : highWord) : low ^ highWord)

const hashLong = (value: bigint): number => {
  const low = Number(BigInt.asIntN(32, value))
  const highWord = Number(BigInt.asIntN(32, value >> 32n))
  return hashWord(low ^ (value >= 0n ? highWord : ~highWord))
}

/**
 * `hash_numeric_extended`: over the base-10000 digits without leading and trailing zero digits, then XOR the weight.
 * The sign and the scale take no part.
 */
const hashNumeric = (text: string): number => {
  if (text === "NaN" || text === "Infinity" || text === "-Infinity") return setHash(seedLow, seedHigh)
  if (text === "0") return setHash((seedLow - 1) >>> 0, seedHigh)
  const unsigned = text.charCodeAt(0) === minus ? text.slice(1) : text
  const point = unsigned.indexOf(".")
  const integer = (point < 0 ? unsigned : unsigned.slice(0, point)).replace(/^0$/, "")
  const fraction = point < 0 ? "" : unsigned.slice(point + 1)
  const groups =
    integer.padStart(Math.ceil(integer.length / 4) * 4, "0") + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, "0")
  let first = 0
  let end = groups.length
  while (groups.startsWith("0000", first)) first += 4
  while (groups.startsWith("0000", end - 4)) end -= 4
  reserve((end - first) / 2)
  for (let index = first, at = 0; index < end; index += 4) {
    const digit = Number(groups.slice(index, index + 4))
    scratch[at++] = digit & 0xff
    scratch[at++] = digit >> 8
  }
  const weight = Math.ceil(integer.length / 4) - 1 - first / 4
  const low = hashBytes((end - first) / 2)
  return setHash((low ^ weight) >>> 0, (high ^ (weight < 0 ? -1 : 0)) >>> 0)
}

const setHash = (low: number, highWord: number): number => {
  high = highWord
  return low
}

const minus = 45
const rotate = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits))

/** `hash_bytes_uint32_extended`: lookup3 of four bytes, after the seed. */
const hashWord = (word: number): number => {
  const start = 0x9e3779b9 + 4 + 3923095
  mix((start + seedHigh) | 0, (start + seedLow) | 0, start | 0)
  return final((stateA + word) | 0, stateB, stateC)
}

/** `hash_bytes_extended` of the first `length` scratch bytes. Words are little-endian, as on every server we run on. */
const hashBytes = (length: number): number => {
  const bytes = scratch
  const start = 0x9e3779b9 + length + 3923095
  mix((start + seedHigh) | 0, (start + seedLow) | 0, start | 0)
  let at = 0
  for (; length - at >= 12; at += 12) {
    mix((stateA + word(bytes, at)) | 0, (stateB + word(bytes, at + 4)) | 0, (stateC + word(bytes, at + 8)) | 0)
  }
  // The last bytes; the lowest byte of the third word is reserved for the length.
  let [a, b, c] = [stateA, stateB, stateC]
  for (let index = length - at - 1; index >= 0; index--) {
    const byte = bytes[at + index] ?? 0
    if (index >= 8) c = (c + (byte << ((index - 7) * 8))) | 0
    else if (index >= 4) b = (b + (byte << ((index - 4) * 8))) | 0
    else a = (a + (byte << (index * 8))) | 0
  }
  return final(a, b, c)
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)

/** The three words of lookup3's state, between its steps. */
let stateA = 0
let stateB = 0
let stateC = 0

const mix = (a: number, b: number, c: number): void => {
  a = (a - c) ^ rotate(c, 4)
  c = (c + b) | 0
  b = (b - a) ^ rotate(a, 6)
  a = (a + c) | 0
  c = (c - b) ^ rotate(b, 8)
  b = (b + a) | 0
  a = (a - c) ^ rotate(c, 16)
  c = (c + b) | 0
  b = (b - a) ^ rotate(a, 19)
  a = (a + c) | 0
  c = (c - b) ^ rotate(b, 4)
  b = (b + a) | 0
  stateA = a
  stateB = b
  stateC = c
}

const final = (a: number, b: number, c: number): number => {
  c = ((c ^ b) - rotate(b, 14)) | 0
  a = ((a ^ c) - rotate(c, 11)) | 0
  b = ((b ^ a) - rotate(a, 25)) | 0
  c = ((c ^ b) - rotate(b, 16)) | 0
  a = ((a ^ c) - rotate(c, 4)) | 0
  b = ((b ^ a) - rotate(a, 14)) | 0
  c = ((c ^ b) - rotate(b, 24)) | 0
  high = b >>> 0
  return c >>> 0
}

/** Where a part's bytes are laid out; kept between calls, grown when a longer key comes. */
let scratch = new Uint8Array(256)
const scratchKeptMax = 65536

const reserve = (length: number): void => {
  if (scratch.length >= length && (scratch.length <= scratchKeptMax || length > scratchKeptMax)) return
  scratch = new Uint8Array(Math.max(256, length))
}

const writeUtf8 = (text: string): number => {
  reserve(text.length * 3)
  let at = 0
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0x80) {
      scratch[at++] = unit
    } else if (unit < 0x800) {
      scratch[at++] = 0xc0 | (unit >> 6)
      scratch[at++] = 0x80 | (unit & 0x3f)
    } else if (unit >= 0xd800 && unit < 0xdc00) {
      // Canonical text is well formed: the other half of the pair follows.
      const point = 0x10000 + ((unit & 0x3ff) << 10) + (text.charCodeAt(++index) & 0x3ff)
      scratch[at++] = 0xf0 | (point >> 18)
      scratch[at++] = 0x80 | ((point >> 12) & 0x3f)
      scratch[at++] = 0x80 | ((point >> 6) & 0x3f)
      scratch[at++] = 0x80 | (point & 0x3f)
    } else {
      scratch[at++] = 0xe0 | (unit >> 12)
      scratch[at++] = 0x80 | ((unit >> 6) & 0x3f)
      scratch[at++] = 0x80 | (unit & 0x3f)
    }
  }
  return at
}

const writeHex = (text: string, from: number): number => {
  reserve(text.length / 2)
  let at = 0
  for (let index = from; index < text.length; index += 2) {
    scratch[at++] = (nibble(text.charCodeAt(index)) << 4) | nibble(text.charCodeAt(index + 1))
  }
  return at
}

const writeUuid = (text: string): number => {
  let at = 0
  for (let index = 0; index < text.length; index += 2) {
    if (text.charCodeAt(index) === minus) index++
    scratch[at++] = (nibble(text.charCodeAt(index)) << 4) | nibble(text.charCodeAt(index + 1))
  }
  return at
}

/** Canonical hex digits are lower case. */
const nibble = (code: number): number => (code < 58 ? code - 48 : code - 87)

/** Fifteen digits are exact, with leading zeros or without; NaN for all else. */
const integerOf = (bytes: Uint8Array, from: number, to: number): number => {
  const negative = bytes[from] === minus
  const first = negative ? from + 1 : from
  if (to <= first || to - first > 15) return NaN
  let value = 0
  for (let at = first; at < to; at++) {
    const digit = bytes[at]! - 48
    if (digit < 0 || digit > 9) return NaN
    value = value * 10 + digit
  }
  return negative ? -value : value
}

/** Lays it out, if it has its four hyphens in their places. */
const isPlainUuid = (bytes: Uint8Array, from: number, to: number): boolean => {
  if (to - from !== 36) return false
  let half = 0
  let length = 0
  for (let at = 0; at < 36; at++) {
    const code = bytes[from + at]!
    if (at === 8 || at === 13 || at === 18 || at === 23) {
      if (code !== minus) return false
      continue
    }
    const digit = digitOf(code)
    if (digit < 0) return false
    if ((length++ & 1) === 0) half = digit << 4
    else scratch[(length >> 1) - 1] = half | digit
  }
  return true
}

const digitOf = (code: number): number => {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
