/**
 * A parameter as text that only an equal parameter has: `1`, `"1"`, `1n` and a `Date` differ, and so do objects whose
 * fields stand in another order, because they are sent as another text.
 *
 * Values of a class are not told apart by what can be seen of them; functions and symbols neither. They have no text.
 */

/** Deeper values have no text; those that contain themselves are among them. */
const depthMax = 64

export const paramText = (value: unknown): string | undefined => textAt(value, 0)

const textAt = (value: unknown, depth: number): string | undefined => {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value)
    case "number":
      return `n${Object.is(value, -0) ? "-0" : value}`
    case "bigint":
      return `i${value}`
    case "boolean":
      return value ? "t" : "f"
    case "undefined":
      return "u"
    case "object":
      return depth > depthMax ? undefined : objectText(value, depth)
    case "function":
    case "symbol":
      return undefined
  }
}

const objectText = (value: object | null, depth: number): string | undefined => {
  if (value === null) return "0"
  if (value instanceof Date) return `d${value.getTime()}`
  if (ArrayBuffer.isView(value)) return bytesText(value)
  if (Array.isArray(value))
    return joined(
      "[",
      Array.from(value, (item: unknown) => textAt(item, depth + 1)),
      "]"
    )
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return undefined
  const fields = Object.entries(value).map(([name, field]) => {
    const text = textAt(field, depth + 1)
    return text === undefined ? undefined : `${JSON.stringify(name)}:${text}`
  })
  return joined("{", fields, "}")
}

/** `b`, the kind of view, which decides what is sent, and the bytes. */
const bytesText = (view: ArrayBufferView): string => {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
  return `b${view.constructor.name}:${digits}`
}

const joined = (open: string, parts: ReadonlyArray<string | undefined>, close: string): string | undefined =>
  parts.includes(undefined) ? undefined : `${open}${parts.join(",")}${close}`
