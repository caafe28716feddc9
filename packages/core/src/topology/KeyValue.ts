/**
 * The canonical text of a key part.
 *
 * Enters a value as it would be handed to the `pg` driver; it is judged by the text (or bytes) that would go over the
 * wire. Leaves the text PostgreSQL itself prints for that value (UTC, ISO dates, hex bytea, no trailing zeros), so two
 * values have one canonical text exactly when PostgreSQL's `=` calls them equal. Only texts whose meaning no setting
 * and no server version changes are accepted; all others are refused with a reason.
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Either from "effect/Either"
import * as Calendar from "./Calendar.js"
import type { KeyType } from "./KeyType.js"
import * as Numeric from "./Numeric.js"

/**
 * Canonical text; `null` is SQL's NULL.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyPart = string | null

/**
 * One part a key column.
 *
 * @since 0.1.0
 * @category models
 */
export type KeyTuple = ReadonlyArray<KeyPart>

/**
 * The canonical text of `value` as a key part of type `type`, or what is wrong with the value.
 *
 * @since 0.1.0
 * @category constructors
 */
export const canonical = (type: KeyType, value: unknown): Either.Either<KeyPart, string> => {
  if (value === null || value === undefined) return Either.right(null)
  if (typeof value === "object") return canonicalObject(type, value)
  if (
    typeof value === "string" ||
    typeof value === "number" ||
    typeof value === "bigint" ||
    typeof value === "boolean"
  ) {
    return canonicalText(type, String(value))
  }
  return Either.left(`a ${typeof value} is no ${type}`)
}

/**
 * The canonical key of a whole key: a bare value for one column, else one value a column. Takes what `canonical`
 * takes, and `BigDecimal` for numeric parts.
 *
 * @since 0.1.0
 * @category constructors
 */
export const decode = (types: ReadonlyArray<KeyType>, input: unknown): Either.Either<KeyTuple, string> => {
  const values: ReadonlyArray<unknown> = Array.isArray(input) ? input : [input]
  if (values.length !== types.length) {
    return Either.left(`the key has ${plural(types.length, "column")}, but ${plural(values.length, "value")} came`)
  }
  const parts: Array<KeyPart> = []
  for (const [index, type] of types.entries()) {
    const value = values[index]
    const part = canonical(
      type,
      type === "numeric" && BigDecimal.isBigDecimal(value) ? BigDecimal.format(value) : value
    )
    if (Either.isLeft(part)) {
      return Either.left(types.length === 1 ? part.left : `key column ${index + 1}: ${part.left}`)
    }
    parts.push(part.right)
  }
  return Either.right(parts)
}

/**
 * A text that differs for different keys: for use in maps.
 *
 * @since 0.1.0
 * @category getters
 */
export const identity = (key: KeyTuple): string =>
  key.map((part) => (part === null ? "N" : `${part.length}:${part}`)).join("")

/**
 * How a key reads in messages.
 *
 * @since 0.1.0
 * @category getters
 */
export const format = (key: KeyTuple): string =>
  `(${key.map((part) => (part === null ? "NULL" : excerpt(part))).join(", ")})`

/** The only white space PostgreSQL's own parsers skip; JavaScript's `\s` means more. */
const space = "[ \\t\\n\\v\\f\\r]*"
const integerPattern = new RegExp(`^${space}([+-]?)([0-9]+)${space}$`)
const boolPattern = new RegExp(`^${space}([a-z]+|[01])${space}$`, "i")
const usualUuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const uuidPattern = /^(?:\{((?:[0-9a-f]{4}-?){7}[0-9a-f]{4})\}|((?:[0-9a-f]{4}-?){7}[0-9a-f]{4}))$/i
const loneSurrogates = /\p{Surrogate}/gu

const integerMax = { int2: "32767", int4: "2147483647", int8: "9223372036854775807" } as const
const integerMin = { int2: "32768", int4: "2147483648", int8: "9223372036854775808" } as const

const canonicalText = (type: KeyType, text: string): Either.Either<string, string> => {
  switch (type) {
    case "int2":
    case "int4":
    case "int8":
      return canonicalInteger(type, text)
    case "text":
    case "varchar":
      return canonicalString(type, text)
    case "uuid":
      return canonicalUuid(text)
    case "bytea":
      return canonicalBytea(text)
    case "bool":
      return canonicalBool(text)
    case "date":
      return Calendar.canonicalDate(text)
    case "timestamptz":
      return Calendar.canonicalTimestamp(text)
    case "numeric":
      return Numeric.canonical(text)
  }
}

const canonicalObject = (type: KeyType, value: object): Either.Either<string, string> => {
  if (ArrayBuffer.isView(value)) {
    if (type !== "bytea") return Either.left(`bytes are no ${type}`)
    return Either.right(hexText(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)))
  }
  if (value instanceof Date && type === "timestamptz") return Calendar.canonicalInstant(value)
  if (value instanceof Date) return Either.left(`a Date has no ${type} that all time zones agree on: pass it as text`)
  return Either.left(`an object is no ${type}`)
}

const canonicalInteger = (type: "int2" | "int4" | "int8", text: string): Either.Either<string, string> => {
  const match = integerPattern.exec(text)
  if (match === null) return Either.left(`${quote(text)} is no ${type}`)
  const negative = match[1] === "-"
  const digits = withoutLeadingZeros(match[2] ?? "")
  const limit = negative ? integerMin[type] : integerMax[type]
  if (digits.length > limit.length || (digits.length === limit.length && digits > limit)) {
    return Either.left(`${quote(text)} is out of range for ${type}`)
  }
  return Either.right(negative && digits !== "0" ? `-${digits}` : digits)
}

/** Not part of the pattern: `0*[0-9]+` takes quadratic time to fail. */
const withoutLeadingZeros = (digits: string): string => {
  let first = 0
  while (first < digits.length - 1 && digits.charCodeAt(first) === 48) first++
  return digits.slice(first)
}

const canonicalString = (type: KeyType, text: string): Either.Either<string, string> => {
  if (text.includes("\0")) return Either.left(`a ${type} cannot hold the character U+0000`)
  // The driver's UTF-8 encoder writes U+FFFD for half a surrogate pair; that is the value the server would see.
  return Either.right(text.replace(loneSurrogates, "\uFFFD"))
}

const canonicalUuid = (text: string): Either.Either<string, string> => {
  if (usualUuidPattern.test(text)) return Either.right(text)
  const match = uuidPattern.exec(text)
  if (match === null) return Either.left(`${quote(text)} is no uuid`)
  const hex = (match[1] ?? match[2] ?? "").replaceAll("-", "").toLowerCase()
  return Either.right(
    `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  )
}

/** `parse_bool`: any unique prefix of true, false, yes, no, on, off, in any case; 1 and 0. */
const canonicalBool = (text: string): Either.Either<string, string> => {
  const word = boolPattern.exec(text)?.[1]?.toLowerCase() ?? ""
  if (word === "1" || word === "on" || isPrefix(word, "true") || isPrefix(word, "yes")) return Either.right("t")
  if (word === "0" || word === "of" || word === "off" || isPrefix(word, "false") || isPrefix(word, "no")) {
    return Either.right("f")
  }
  return Either.left(`${quote(text)} is no bool`)
}

const isPrefix = (word: string, whole: string): boolean => word !== "" && whole.startsWith(word)

const canonicalBytea = (text: string): Either.Either<string, string> => {
  if (text.startsWith("\\x")) {
    const hex = /^(?:[ \t\n\r]*[0-9a-f]{2})*[ \t\n\r]*$/i.test(text.slice(2)) ? text.slice(2) : undefined
    if (hex === undefined) return Either.left(`${quote(text)} is no bytea: the hex digits after \\x are malformed`)
    return Either.right(`\\x${hex.replace(/[ \t\n\r]/g, "").toLowerCase()}`)
  }
  if (text.includes("\0")) return Either.left("the text of a bytea cannot hold the character U+0000")
  const bytes = escapeBytes(text.replace(loneSurrogates, "\uFFFD"))
  return bytes === undefined
    ? Either.left(`${quote(text)} is no bytea: a backslash begins neither \\\\ nor an octal byte`)
    : Either.right(hexText(bytes))
}

/** The escape format: two backslashes are one, a backslash and three octal digits are a byte, the rest is UTF-8. */
const escapeBytes = (text: string): ReadonlyArray<number> | undefined => {
  const bytes: Array<number> = []
  for (let index = 0; index < text.length;) {
    if (text[index] !== "\\") {
      const point = text.codePointAt(index) ?? 0
      pushUtf8(bytes, point)
      index += point > 0xffff ? 2 : 1
      continue
    }
    const octal = /^\\(?:([0-3][0-7]{2})|\\)/.exec(text.slice(index, index + 4))
    if (octal === null) return undefined
    bytes.push(octal[1] === undefined ? 0x5c : Number.parseInt(octal[1], 8))
    index += octal[0].length
  }
  return bytes
}

const pushUtf8 = (bytes: Array<number>, point: number): void => {
  if (point < 0x80) bytes.push(point)
  else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f))
  else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f))
  else {
    bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f))
  }
}

const hexText = (bytes: Iterable<number>): string => {
  let text = "\\x"
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16)
  return text
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

/** Keys can be long; a message need not be. */
const excerpt = (text: string): string => (text.length > 64 ? `${text.slice(0, 61)}...` : text)

const quote = (text: string): string => `"${excerpt(text)}"`
