/**
 * PostgreSQL 18's own parser, as WASM: SQL text in, parse trees out.
 *
 * Enters: any text. Leaves: one tree a statement, with the UTF-16 range of its text, or `StatementInvalid` with
 * PostgreSQL's own message. Holds: offsets that leave this module are UTF-16 code units, whatever the parser counts in.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { hasSqlDetails, loadModule, type Node, parseSync } from "libpg-query"
import { StatementInvalid } from "@shardlayer/core/ShardError"

/** @since 0.1.0 @category models */
export interface Statement {
  readonly tree: Node
  /** Its text within the list, without the semicolon. */
  readonly text: string
  /** Where it begins in the list, in bytes, as nodes count. */
  readonly location: number
}

/** @since 0.1.0 @category models */
export interface Parsed {
  readonly sql: string
  readonly statements: ReadonlyArray<Statement>
}

/** @since 0.1.0 @category models */
export interface Parser {
  readonly parse: (sql: string) => Either.Either<Parsed, StatementInvalid>
  /** How often `parse` ran. */
  readonly parses: () => number
}

/**
 * Loads the WASM module once a process; afterwards parsing is synchronous.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Parser> = Effect.map(Effect.promise(loadModule), () => {
  let parses = 0
  return {
    parse: (sql) => {
      parses++
      return parseText(sql)
    },
    parses: () => parses
  }
})

const parseText = (sql: string): Either.Either<Parsed, StatementInvalid> => {
  try {
    // The WASM interface reads a C string: an empty or blank one is no statement, and one with NUL would be cut.
    if (sql.includes("\0")) return Either.left(invalid(sql, "a statement cannot hold the character U+0000", undefined))
    if (sql.trim() === "") return Either.right({ sql, statements: [] })
    const statements = (parseSync(sql).stmts ?? []).flatMap(({ stmt, stmt_len, stmt_location }) => {
      if (stmt === undefined) return []
      const from = stmt_location ?? 0
      const text = slice(sql, from, stmt_len ?? 0)
      // What follows a semicolon counts from there: the blanks before the first word are no part of the place.
      return [{ tree: stmt, text, location: from + text.length - text.trimStart().length }]
    })
    return Either.right({ sql, statements })
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "SqlError") throw error
    const position = hasSqlDetails(error) ? error.sqlDetails?.cursorPosition : undefined
    return Either.left(invalid(sql, error.message, position === undefined ? undefined : fromCodePoints(sql, position)))
  }
}

/**
 * The query that a text of the server's own making holds. For whoever has a tree already: the module is loaded then.
 *
 * @since 0.1.0
 * @category functions
 */
export const parseQuery = (sql: string): Either.Either<Node, StatementInvalid> =>
  Either.flatMap(parseText(sql), ({ statements: [query] }) =>
    query === undefined ? Either.left(invalid(sql, "it holds no statement", undefined)) : Either.right(query.tree)
  )

const invalid = (sql: string, reason: string, offset: number | undefined): StatementInvalid =>
  new StatementInvalid({ reason, code: "42601", offset, sql })

/** A length of 0 means: to the end. */
const slice = (sql: string, from: number, length: number): string => {
  const start = toOffset(sql, from)
  return length === 0 ? sql.slice(start) : sql.slice(start, toOffset(sql, from + length))
}

/**
 * The UTF-16 offset of a UTF-8 byte offset, which is what nodes carry.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toOffset = (sql: string, bytes: number): number => {
  let seen = 0
  let offset = 0
  while (offset < sql.length && seen < bytes) {
    const point = sql.codePointAt(offset) ?? 0
    seen += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    offset += point > 0xffff ? 2 : 1
  }
  return offset
}

/** Error positions count characters, as PostgreSQL's messages do. */
const fromCodePoints = (sql: string, points: number): number => {
  let offset = 0
  for (let seen = 0; seen < points && offset < sql.length; seen++) {
    offset += (sql.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1
  }
  return offset
}
