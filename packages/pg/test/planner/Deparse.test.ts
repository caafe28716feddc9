/**
 * Trees back to texts: one of each form that PostgreSQL's grammar has, a line each. What is written is parsed again, and
 * must be the same tree, or it is refused.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Parser from "@shardlayer/pg/planner/Parser"
import { deparse } from "@shardlayer/pg/planner/rewrite/Deparse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Node } from "libpg-query"
import { readFileSync } from "node:fs"

const linesOf = (name: string): ReadonlyArray<string> =>
  readFileSync(new URL(`./texts/${name}.sql`, import.meta.url), "utf8")
    .trimEnd()
    .split("\n")

const treeOf = (parser: Parser.Parser, sql: string) => {
  const parsed = Either.getOrThrow(parser.parse(sql))
  expect([sql, parsed.statements.length]).toEqual([sql, 1])
  return parsed.statements[0]!.tree
}

/** Undefined: it was refused. */
const writtenTree = (parser: Parser.Parser, tree: Node): string | undefined => {
  try {
    return deparse(parser, tree)
  } catch (error) {
    expect(error).toMatchObject({ stop: { refusal: { code: "SL1103" } } })
    return undefined
  }
}

const written = (parser: Parser.Parser, sql: string): string | undefined => writtenTree(parser, treeOf(parser, sql))

describe("texts", () => {
  it.effect("every expression and statement is written so that it means the same", () =>
    Effect.gen(function* () {
      const parser = yield* Parser.make
      const all = [
        ...linesOf("expressions").map((expression) => `select ${expression} from t`),
        ...linesOf("statements")
      ]
      expect(all.length).toBeGreaterThan(350)
      expect(all.filter((sql) => written(parser, sql) === undefined)).toEqual([])
    })
  )

  it.effect("what the deparser does not know is refused, and no defect", () =>
    Effect.gen(function* () {
      const parser = yield* Parser.make
      const unknown = { Unheard: { of: 1 } } as unknown as Node
      const tree: Node = { SelectStmt: { targetList: [{ ResTarget: { val: unknown } }], op: "SETOP_NONE" } }
      expect(writtenTree(parser, tree)).toBeUndefined()
    })
  )
})
