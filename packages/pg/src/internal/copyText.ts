/**
 * Rows in the text form of COPY.
 *
 * Enters: rows of texts, a null for NULL. Leaves: whole lines, in chunks of about `chunkLength`. Holds: COPY reads each
 * value as it was, whatever it contains; an empty text is none of the two things that could be taken for it, NULL (`\\N`)
 * and the end of the data (`\\.`).
 */
import type { TextRow } from "@shardlayer/core/plan/Merge"
import type { CopyFeed } from "@shardlayer/core/ShardConnection"

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
    return done === true ? null : value
  },
  whenMore: () => {},
  sent: () => {},
  encoding: "utf8"
})

export const field = (value: string | null): string => {
  if (value === null) return "\\N"
  return special.test(value) ? value.replace(specials, (found) => escapes[found] ?? found) : value
}

/** What ends a field, a line, or begins an escape. Whatever else there is, COPY takes as it stands. */
const special = /[\\\n\r\t]/
const specials = /[\\\n\r\t]/g
const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" }
