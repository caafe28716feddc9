/**
 * Rows in the text form of COPY.
 *
 * Enters: rows of texts, a null for NULL. Leaves: whole lines, in chunks of about `chunkLength`. Holds: COPY reads each
 * value as it was, whatever it contains; an empty text is none of the two things that could be taken for it, NULL (`\\N`)
 * and the end of the data (`\\.`).
 */
import type { CopySink } from "@shardlayer/core/Dialect"
import type { TextRow } from "@shardlayer/core/plan/Merge"
import type { CopyFeed } from "@shardlayer/core/ShardConnection"
import { loopMax, writeText } from "./valueBytes.js"

/** In UTF-16 code units: few writes a megabyte, and little is held. */
const chunkLength = 65_536

export function* chunks(rows: Iterable<TextRow>): Generator<string, undefined> {
  let chunk = ""
  for (const row of rows) {
    chunk += `${row.map(field).join("\t")}\n`
    if (chunk.length < chunkLength) continue
    yield chunk
    chunk = ""
  }
  if (chunk !== "") yield chunk
  return undefined
}

/** Chunks that are all there as soon as they are asked for. */
export const feedOf = (chunks: Iterator<string, unknown>): CopyFeed => ({
  take: () => {
    const { done, value } = chunks.next()
    return done === true ? null : Buffer.from(value)
  },
  whenMore: () => {},
  sent: () => {}
})

export const field = (value: string | null): string => {
  if (value === null) return "\\N"
  return special.test(value) ? value.replace(specials, (found) => escapes[found] ?? found) : value
}

/** As `field` has it. */
export const writeField = (value: string, sink: CopySink): void => {
  if (value.length > loopMax || !writeAscii(value, sink)) writeText(field(value), sink)
}

/** Is it all ASCII? What was written is dropped, else. */
const writeAscii = (value: string, sink: CopySink): boolean => {
  const { length } = value
  sink.reserve(length * 2)
  const { bytes } = sink
  let to = sink.length
  for (let at = 0; at < length; at++) {
    const unit = value.charCodeAt(at)
    if (unit > 0x7f) return false
    if (unit === 0x5c || (unit <= 0x0d && (unit === 0x0a || unit === 0x0d || unit === 0x09))) {
      bytes[to++] = 0x5c
      bytes[to++] = unit === 0x0a ? 0x6e : unit === 0x0d ? 0x72 : unit === 0x09 ? 0x74 : 0x5c
    } else bytes[to++] = unit
  }
  sink.length = to
  return true
}

/** What ends a field, a line, or begins an escape. Whatever else there is, COPY takes as it stands. */
const special = /[\\\n\r\t]/
const specials = /[\\\n\r\t]/g
const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" }
