/**
 * The bits of generated ids. Pure.
 *
 * Enters: a moment, a node number, a counter, random bytes. Leaves: ids as text. Holds: ids are ordered as (moment, node,
 * counter) are, and two ids are equal only if all three are.
 *
 * @since 0.1.0
 */

/**
 * From the highest bit: `tickBits` of ticks since `epochMillis`, `nodeBits`, `counterBits`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Layout {
  readonly tickMillis: number
  readonly tickBits: number
  readonly nodeBits: number
  readonly counterBits: number
}

/**
 * 2024-01-01T00:00:00Z.
 *
 * @since 0.1.0
 * @category constants
 */
export const epochMillis = 1_704_067_200_000

/**
 *     bit   63   62 … 22          21 … 12   11 … 0
 *           0    milliseconds     node      counter
 *                (until 2093)     (1,024)   (4,096 a millisecond)
 *
 * @since 0.1.0
 * @category constants
 */
export const snowflake: Layout = { tickMillis: 1, tickBits: 41, nodeBits: 10, counterBits: 12 }

/**
 *     bit   52 … 18                17 … 10   9 … 0
 *           tenths of a second     node      counter
 *           (until 2132)           (256)     (1,024 a tenth)
 *
 * @since 0.1.0
 * @category constants
 */
export const safeSnowflake: Layout = { tickMillis: 100, tickBits: 35, nodeBits: 8, counterBits: 10 }

/** @since 0.1.0 @category models */
export interface Parts {
  readonly tick: number
  readonly node: number
  readonly counter: number
}

/** @since 0.1.0 @category getters */
export const nodes = ({ nodeBits }: Layout): number => 2 ** nodeBits

/** @since 0.1.0 @category getters */
export const perTick = ({ counterBits }: Layout): number => 2 ** counterBits

/**
 * The tick that a moment (milliseconds since 1970) is in.
 *
 * @since 0.1.0
 * @category conversions
 */
export const tickOf = ({ tickMillis }: Layout, millis: number): number =>
  Math.floor((millis - epochMillis) / tickMillis)

/**
 * When a tick begins.
 *
 * @since 0.1.0
 * @category conversions
 */
export const millisOf = ({ tickMillis }: Layout, tick: number): number => epochMillis + tick * tickMillis

/** @since 0.1.0 @category conversions */
export const compose = (layout: Layout, { counter, node, tick }: Parts): string => {
  if (tick < 0 || tick >= 2 ** layout.tickBits) throw new Error(`an id's time is out of range: tick ${tick}`)
  const low = node * 2 ** layout.counterBits + counter
  return ((BigInt(tick) << BigInt(layout.nodeBits + layout.counterBits)) | BigInt(low)).toString()
}

/** @since 0.1.0 @category conversions */
export const parse = (layout: Layout, id: string): Parts => {
  const bits = BigInt(id)
  const low = Number(bits & ((1n << BigInt(layout.nodeBits + layout.counterBits)) - 1n))
  return {
    tick: Number(bits >> BigInt(layout.nodeBits + layout.counterBits)),
    node: Math.floor(low / 2 ** layout.counterBits),
    counter: low % 2 ** layout.counterBits
  }
}

/**
 * What the next UUID follows from.
 *
 * @since 0.1.0
 * @category models
 */
export interface UuidState {
  readonly millis: number
  readonly counter: number
}

/** A counter of 12 bits begins in the lower half of its range, so that it has room to count (RFC 9562, 6.2). */
const uuidCounters = 4_096

/** @since 0.1.0 @category constants */
export const uuidRandomBytes = 10

/**
 * RFC 9562, 6.2, method 1: a counter in `rand_a`, seeded anew each millisecond; one that is full, or a clock that goes
 * back, counts on in the milliseconds that follow the last. `random`: `uuidRandomBytes` bytes.
 *
 * @since 0.1.0
 * @category functions
 */
export const nextUuid = (
  before: UuidState | undefined,
  nowMillis: number,
  random: Uint8Array
): readonly [id: string, state: UuidState] => {
  const seed = (byteAt(random, 0) * 256 + byteAt(random, 1)) % (uuidCounters / 2)
  const isLater = before === undefined || nowMillis > before.millis
  const isFull = !isLater && before.counter + 1 >= uuidCounters
  const millis = isLater ? nowMillis : isFull ? before.millis + 1 : before.millis
  const counter = isLater || isFull ? seed : before.counter + 1
  const rest = [0x80 | (byteAt(random, 2) & 0x3f), ...random.subarray(3, uuidRandomBytes)]
  const digits = hex(millis, 12) + hex(0x7000 | counter, 4) + rest.map((byte) => hex(byte, 2)).join("")
  const id = [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32]
  ]
    .map(([from, to]) => digits.slice(from, to))
    .join("-")
  return [id, { millis, counter }]
}

const byteAt = (bytes: Uint8Array, index: number): number => bytes[index] ?? 0

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")
