// PostgreSQL's protocol, version 3, as far as a virtual shard takes part in it. Enters and leaves: bytes.
// Frontend and backend messages share one form: a type byte, a length that counts itself, a body. Only a connection's first
// message has no type byte.

export interface Frame {
  /** One ASCII character. */
  readonly type: string
  /** The whole message, type and length included. */
  readonly bytes: Buffer
}

/** The complete messages at the beginning of `bytes`, and what is left of an incomplete one. */
export const split = (bytes: Buffer): { readonly frames: ReadonlyArray<Frame>; readonly rest: Buffer } => {
  const frames: Array<Frame> = []
  let offset = 0
  while (bytes.length - offset >= 5) {
    const end = offset + 1 + bytes.readInt32BE(offset + 1)
    if (end > bytes.length) break
    frames.push({ type: String.fromCharCode(bytes[offset] ?? 0), bytes: bytes.subarray(offset, end) })
    offset = end
  }
  return { frames, rest: bytes.subarray(offset) }
}

export const bodyOf = (frame: Frame): Buffer => frame.bytes.subarray(5)

/** The text up to the next zero byte, and where the text after it begins. */
export const textAt = (body: Buffer, offset: number): { readonly text: string; readonly end: number } => {
  const zero = body.indexOf(0, offset)
  const end = zero === -1 ? body.length : zero
  return { text: body.toString("utf8", offset, end), end: end + 1 }
}

export const message = (type: string, ...parts: ReadonlyArray<Buffer | string>): Buffer => {
  const body = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(`${part}\0`) : part)))
  const head = Buffer.alloc(5)
  head.write(type, 0, "latin1")
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

export const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** What PGlite is asked on the session's own behalf. */
export const simpleQuery = (sql: string): Buffer => message("Q", sql)
export const sync: Buffer = message("S")

export const authenticationOk: Buffer = message("R", int32(0))
export const parameterStatus = (name: string, value: string): Buffer => message("S", name, value)
export const keyData = (id: number, secret: number): Buffer => message("K", int32(id), int32(secret))
export const readyForQuery = (status: string): Buffer => message("Z", Buffer.from(status))

/** Text format, no columns known: whoever copies in knows its columns. */
export const copyIn: Buffer = message("G", Buffer.from([0, 0, 0]))

export const errorResponse = (severity: "ERROR" | "FATAL", code: string, text: string): Buffer =>
  message("E", `S${severity}`, `V${severity}`, `C${code}`, `M${text}`, Buffer.from([0]))

/** The M field of an ErrorResponse: fields are a letter and a text each, and a zero byte ends them. */
export const messageOf = (frame: Frame): string => {
  const body = bodyOf(frame)
  for (let offset = 0; offset < body.length && body[offset] !== 0;) {
    const { end, text } = textAt(body, offset)
    if (text.startsWith("M")) return text.slice(1)
    offset = end
  }
  return ""
}

/** What a connection's first message is, once it has arrived as a whole. */
export type Greeting =
  | { readonly _tag: "Incomplete" }
  | { readonly _tag: "EncryptionRequest"; readonly rest: Buffer }
  | { readonly _tag: "Cancel"; readonly id: number; readonly secret: number }
  | { readonly _tag: "Startup"; readonly parameters: ReadonlyMap<string, string>; readonly rest: Buffer }

const cancelCode = 80877102
const encryptionCodes: ReadonlyArray<number> = [80877103, 80877104]

export const greeting = (bytes: Buffer): Greeting => {
  if (bytes.length < 8 || bytes.length < bytes.readInt32BE(0)) return { _tag: "Incomplete" }
  const length = bytes.readInt32BE(0)
  const code = bytes.readInt32BE(4)
  const rest = bytes.subarray(length)
  if (encryptionCodes.includes(code)) return { _tag: "EncryptionRequest", rest }
  if (code === cancelCode) return { _tag: "Cancel", id: bytes.readInt32BE(8), secret: bytes.readInt32BE(12) }
  const parameters = new Map<string, string>()
  for (let offset = 8; offset < length && bytes[offset] !== 0;) {
    const name = textAt(bytes, offset)
    const value = textAt(bytes, name.end)
    parameters.set(name.text, value.text)
    offset = value.end
  }
  return { _tag: "Startup", parameters, rest }
}
