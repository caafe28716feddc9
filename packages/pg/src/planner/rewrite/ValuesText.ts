/**
 * The text of an INSERT … VALUES, cut into what comes before its rows, each row, and what follows.
 *
 * Enters: a text that PostgreSQL's parser took, and how many rows it saw. Leaves: pieces, cut again at their parameters;
 * undefined where the two do not agree. The text itself is cut, not written anew: of thousands of rows none is parsed
 * twice. Lexical rules are those of PostgreSQL's scan.l, with `standard_conforming_strings` on.
 *
 * @since 0.1.0
 */
import type { ParamSource } from "@shardlayer/core/plan/Merge"
import type { Piece } from "@shardlayer/core/plan/Write"

/** @since 0.1.0 @category models */
export interface Cut {
  readonly head: Piece
  readonly rows: ReadonlyArray<Piece>
  readonly tail: Piece
}

/** @since 0.1.0 @category functions */
export const cut = (sql: string, rows: number, sourceOf: (param: number) => ParamSource): Cut | undefined => {
  const tokens = tokensOf(sql)
  const spans = spansOf(sql, tokens)
  const [first] = spans
  const last = spans[spans.length - 1]
  if (spans.length !== rows || first === undefined || last === undefined) return undefined
  const params = tokens.filter(({ kind }) => kind === "param")
  let next = 0
  const pieceOf = (from: number, to: number): Piece => {
    const texts: Array<string> = []
    const sources: Array<ParamSource> = []
    let done = from
    for (let param = params[next]; param !== undefined && param.start < to; param = params[++next]) {
      texts.push(sql.slice(done, param.start))
      sources.push(sourceOf(Number(sql.slice(param.start + 1, param.end))))
      done = param.end
    }
    return { texts: [...texts, sql.slice(done, to)], params: sources }
  }
  return {
    head: pieceOf(0, first[0]),
    rows: spans.map(([from, to]) => pieceOf(from, to)),
    tail: pieceOf(last[1], sql.length)
  }
}

/**
 * From the parenthesis that opens a row to behind the one that closes it.
 *
 * @since 0.1.0
 * @category getters
 */
export const spansOf = (
  sql: string,
  tokens: ReadonlyArray<Token>
): ReadonlyArray<readonly [from: number, to: number]> => {
  const values = tokens.findIndex(
    ({ depth, end, kind, start }) => depth === 0 && kind === "word" && sql.slice(start, end).toLowerCase() === "values"
  )
  const spans: Array<readonly [number, number]> = []
  if (values < 0) return spans
  for (let place = values + 1; tokens[place]?.kind === "open"; place++) {
    const from = tokens[place]?.start ?? 0
    while (place < tokens.length && !isEnd(tokens[place])) place++
    spans.push([from, tokens[place]?.end ?? sql.length])
    if (tokens[++place]?.kind !== "comma") break
  }
  return spans
}

const isEnd = (token: Token | undefined): boolean => token?.kind === "close" && token.depth === 0

/** @since 0.1.0 @category models */
export interface Token {
  readonly kind: "word" | "param" | "open" | "close" | "comma" | "other"
  readonly start: number
  readonly end: number
  /** Parentheses and brackets around it; of one of these, around the pair. */
  readonly depth: number
}

/** @since 0.1.0 @category getters */
export const tokensOf = (sql: string): ReadonlyArray<Token> => {
  const tokens: Array<Token> = []
  let depth = 0
  for (let start = 0; start < sql.length;) {
    const char = sql[start] ?? ""
    const quote = quoteAt(sql, start)
    const end = quote ?? commentAt(sql, start) ?? endOf(blank, sql, start)
    if (end !== undefined) {
      if (quote !== undefined) tokens.push({ kind: "other", start, end, depth })
      start = end
      continue
    }
    const word = endOf(identifier, sql, start)
    const number = endOf(param, sql, start)
    const digits = endOf(numeral, sql, start)
    const to = word ?? number ?? digits ?? start + 1
    if (char === ")" || char === "]") depth--
    tokens.push({ kind: kindOf(char, word, number), start, end: to, depth })
    if (char === "(" || char === "[") depth++
    start = to
  }
  return tokens
}

const kindOf = (char: string, word: number | undefined, param: number | undefined): Token["kind"] => {
  if (word !== undefined) return "word"
  if (param !== undefined) return "param"
  switch (char) {
    case "(":
      return "open"
    case ")":
      return "close"
    case ",":
      return "comma"
    default:
      return "other"
  }
}

const blank = /\s+/y
const identifier = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const param = /\$\d+/y
const numeral = /\.?\d[\w.]*/y
const lineComment = /--[^\n\r]*/y
/** A string, its kind in front: N and B and X are read as they are, E escapes by a backslash, U& hides none of its quotes. */
const plainString = /(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'/y
/** Goes on behind a line's end, and is still one that escapes. */
const escapeString = /[eE]'(?:[^'\\]|''|\\[^])*'(?:\s*[\n\r]\s*'(?:[^'\\]|''|\\[^])*')*/y
const quotedName = /(?:[uU]&)?"(?:[^"]|"")*"/y
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y

const endOf = (pattern: RegExp, sql: string, start: number): number | undefined => {
  pattern.lastIndex = start
  return pattern.test(sql) ? pattern.lastIndex : undefined
}

const quoteAt = (sql: string, start: number): number | undefined =>
  endOf(escapeString, sql, start) ??
  endOf(plainString, sql, start) ??
  endOf(quotedName, sql, start) ??
  dollarAt(sql, start)

const dollarAt = (sql: string, start: number): number | undefined => {
  const inside = endOf(dollarTag, sql, start)
  if (inside === undefined) return undefined
  const tag = sql.slice(start, inside)
  const close = sql.indexOf(tag, inside)
  return close < 0 ? undefined : close + tag.length
}

/** Comments nest. */
const commentAt = (sql: string, start: number): number | undefined => {
  if (!sql.startsWith("/*", start)) return endOf(lineComment, sql, start)
  let open = 1
  let at = start + 2
  while (at < sql.length && open > 0) {
    if (sql.startsWith("/*", at)) {
      open++
      at += 2
    } else if (sql.startsWith("*/", at)) {
      open--
      at += 2
    } else at++
  }
  return at
}
