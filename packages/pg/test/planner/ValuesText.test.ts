// The text of an INSERT is cut where PostgreSQL's own scanner sees its rows, whatever its strings, names and comments hold.
import { describe, expect, it } from "@effect/vitest"
import { joined, type Piece } from "@shardlayer/core/plan/Write"
import * as ValuesText from "@shardlayer/pg/planner/rewrite/ValuesText"
import * as fc from "fast-check"
import { loadModule, parseSync, scanSync } from "libpg-query"
import { beforeAll } from "vitest"

beforeAll(() => loadModule())

const given = (index: number) => ({ _tag: "Given", index }) as const

const shown = (piece: Piece) =>
  piece.texts
    .map(
      (text, index) =>
        text + (piece.params[index] === undefined ? "" : `$${(piece.params[index] as { index: number }).index}`)
    )
    .join("")

const rowsOf = (sql: string, count: number) => ValuesText.cut(sql, count, given)?.rows.map(shown)

describe("ValuesText", () => {
  it("cuts at the rows alone", () => {
    const sql = `insert into "values" /* values (1) */ ("values", b) values ($1, ')'), -- (2)\n(E'\\'(', $tag$ ), ( $tag$), (array[1, (2)], $2) on conflict do nothing returning $1`
    expect(rowsOf(sql, 3)).toEqual(["($1, ')')", `(E'\\'(', $tag$ ), ( $tag$)`, "(array[1, (2)], $2)"])
    expect(rowsOf(sql, 2)).toBe(undefined)
    expect(rowsOf("insert into t default values", 1)).toBe(undefined)
    expect(rowsOf("insert into t select 1", 1)).toBe(undefined)
  })

  it("numbers the parameters of some rows anew, each once", () => {
    const found = ValuesText.cut("insert into t (a, b) values ($1, $2), ($3, $2), ($4, $1) returning $2", 3, given)
    if (found === undefined) throw new Error("not cut")
    const comma: Piece = { texts: [", "], params: [] }
    expect(joined([found.head, found.rows[1]!, comma, found.rows[2]!, found.tail])).toEqual({
      sql: "insert into t (a, b) values ($1, $2), ($3, $4) returning $2",
      params: [3, 2, 4, 1].map(given)
    })
  })

  const item = fc.oneof(
    fc.constantFrom(
      "null",
      "default",
      "1.5e3",
      "$1",
      "$12",
      "now()",
      "'it''s'",
      "'('",
      "e'\\'),('",
      "E'a\\\\'",
      "U&'\\0041)'",
      "b'01'",
      "x'ff'"
    ),
    fc.constantFrom(
      "$$)$$",
      "$a$ '$$( $a$",
      "array[1, 2]",
      '(select \')\' || "values".x from (values (1)) "values" (x))',
      "-- ),(\n 1",
      "/* ( /* ' */ */ 2"
    ),
    fc.constantFrom(
      "'ü)'",
      '"Ü("."x""("',
      "date '2020-01-01'",
      "'a'\n  'b)'",
      "e'a'\n'\\')'",
      "a.b[1]",
      "3::numeric(10, 2)",
      "n'x'",
      "1 -2",
      "5 /2"
    )
  )

  it("as PostgreSQL's own scanner and parser see it", () => {
    fc.assert(
      fc.property(fc.array(fc.array(item, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }), (rows) => {
        const texts = rows.map((row) => `(${row.join(" , ")} )`)
        const sql = `insert into t ("a(", b) values ${texts.join(" , ")} on conflict (b) do update set b = $3 returning 'values ('`
        expect(parseSync(sql).stmts?.length).toBe(1)
        const params = scanSync(sql)
          .tokens.filter(({ tokenName }) => tokenName === "PARAM")
          .map(({ text }) => text)
        const found = ValuesText.cut(sql, rows.length, given)
        expect(found?.rows.map(shown)).toEqual(texts)
        if (found === undefined) return
        const pieces = [found.head, ...found.rows, found.tail]
        expect(
          pieces.flatMap((piece) => piece.params).map((source) => `$${(source as { index: number }).index}`)
        ).toEqual(params)
      }),
      { numRuns: 400 }
    )
  })
})
