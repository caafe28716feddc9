/**
 * Floating point numbers as PostgreSQL prints them: the shortest digits that mean the value, with `extra_float_digits` 1.
 *
 * Enters a number, or a text that a server printed. Leaves the number, or the server's text. Where a text of fewest digits
 * lies exactly half way between two numbers, JavaScript prints it and PostgreSQL does not (`acceptBounds` in its d2s.c):
 * `1e+23` here is `9.999999999999999e+22` there. That is decided in exact integers.
 */

/** @since 0.1.0 @category models */
export type Bits = 32 | 64

/**
 * @since 0.1.0
 * @category functions
 */
export const parse = (text: string, bits: Bits): number => {
  if (bits === 32 && text.endsWith(twiceRounded.text))
    return text.startsWith("-") ? -twiceRounded.value : twiceRounded.value
  return round(Number(text), bits)
}

/**
 * To float8 and then to float4 is rounded twice, which is wrong for this one of all float4 texts (each of the 2^31 was
 * tried): as a float8 it lies exactly half way between two float4.
 */
const twiceRounded = { text: "7.038531e-26", value: 0xae43fd * 2 ** -107 }

/**
 * To the nearest number of that width.
 *
 * @since 0.1.0
 * @category functions
 */
export const round = (value: number, bits: Bits): number => (bits === 64 ? value : Math.fround(value))

/**
 * @since 0.1.0
 * @category functions
 */
export const print = (value: number, bits: Bits): string => {
  if (Number.isNaN(value)) return "NaN"
  const sign = value < 0 || Object.is(value, -0) ? "-" : ""
  if (value === 0) return `${sign}0`
  if (!Number.isFinite(value)) return `${sign}Infinity`
  return sign + layOut(shortest(Math.abs(value), bits), bits)
}

/** `1.5e-7` is the digits `15` and the exponent -7; no zeros at the end. */
interface Digits {
  readonly digits: string
  readonly exponent: number
}

/** Above, and below 0.0001, PostgreSQL writes an exponent. */
const fixedDigits = { 32: 6, 64: 15 } as const

const layOut = ({ digits, exponent }: Digits, bits: Bits): string => {
  if (exponent < -4 || exponent >= fixedDigits[bits]) {
    const power = `${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`
    return `${digits[0]}${digits.length > 1 ? `.${digits.slice(1)}` : ""}e${power}`
  }
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`
  const integer = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0")
  return digits.length > exponent + 1 ? `${integer}.${digits.slice(exponent + 1)}` : integer
}

/** From here on float8 has integers only, and what lies half way between two of them is an integer of 17 digits or less. */
const halvesAreShort = 2 ** 53

const shortest = (value: number, bits: Bits): Digits => {
  const [mantissa = "", exponent = ""] = value.toExponential().split("e")
  const digits = mantissa.replace(".", "")
  if (bits === 64) {
    const own = { digits, exponent: Number(exponent) }
    return value < halvesAreShort ? own : shortestInside(value, own.exponent, digits.length, bits)
  }
  return shortestInside(value, Number(exponent), 1, bits)
}

/**
 * The nearest of the shortest decimals that lie strictly between the halves to the neighbours; of two as near, the even
 * one. `digitsMin`: there are none with fewer digits.
 */
const shortestInside = (value: number, exponent: number, digitsMin: number, bits: Bits): Digits => {
  const { binaryExponent, high, low, middle } = neighbourhood(value, bits)
  for (let length = digitsMin; ; length++) {
    const decimalExponent = exponent - length + 1
    // With both sides of decimal · 10^d ? x · 2^b multiplied until they are integers.
    const perDecimal = power(10n, decimalExponent) * power(2n, -binaryExponent)
    const perBinary = power(10n, -decimalExponent) * power(2n, binaryExponent)
    const below = (middle * perBinary) / perDecimal
    const isInside = (decimal: bigint): boolean =>
      decimal * perDecimal > low * perBinary && decimal * perDecimal < high * perBinary
    // Positive when the next decimal is nearer, zero when both are as near.
    const nearness = 2n * middle * perBinary - (2n * below + 1n) * perDecimal
    const nextIsNearer = nearness > 0n || (nearness === 0n && below % 2n === 1n)
    const preferred = nextIsNearer ? [below + 1n, below] : [below, below + 1n]
    const decimal = preferred.find(isInside)
    if (decimal !== undefined) return trimmed(decimal, decimalExponent)
  }
}

/** 1 for a negative exponent, which stands on the other side. */
const power = (base: bigint, exponent: number): bigint => base ** BigInt(Math.max(exponent, 0))

const trimmed = (decimal: bigint, decimalExponent: number): Digits => {
  const digits = decimal.toString()
  let end = digits.length
  while (digits.charCodeAt(end - 1) === 48) end--
  return { digits: digits.slice(0, end), exponent: decimalExponent + digits.length - 1 }
}

/** The value, and the halves to its neighbours, as integers times 2 ** binaryExponent. */
interface Neighbourhood {
  readonly low: bigint
  readonly middle: bigint
  readonly high: bigint
  readonly binaryExponent: number
}

const neighbourhood = (value: number, bits: Bits): Neighbourhood => {
  const { biased, fraction, fractionBits } = fieldsOf(value, bits)
  const significand = biased === 0 ? fraction : fraction + 2n ** BigInt(fractionBits)
  const middle = 4n * significand
  // Just below a power of two the numbers lie twice as close, but not below the smallest with full precision.
  const low = middle - (fraction === 0n && biased > 1 ? 1n : 2n)
  const exponent = Math.max(biased, 1) - bias[bits] - fractionBits
  return { low, middle, high: middle + 2n, binaryExponent: exponent - 2 }
}

const bias = { 32: 127, 64: 1023 } as const

/** Of IEEE 754, for a positive value. */
const fieldsOf = (
  value: number,
  bits: Bits
): { readonly biased: number; readonly fraction: bigint; readonly fractionBits: number } => {
  const view = new DataView(new ArrayBuffer(8))
  const fractionBits = bits === 64 ? 52 : 23
  if (bits === 64) view.setFloat64(0, value)
  else view.setFloat32(4, value)
  const word = view.getBigUint64(0)
  return {
    biased: Number(word >> BigInt(fractionBits)),
    fraction: BigInt.asUintN(fractionBits, word),
    fractionBits
  }
}
