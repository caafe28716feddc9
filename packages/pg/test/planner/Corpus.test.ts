import { describe, expect, it } from "@effect/vitest"
import * as Parser from "@shardlayer/pg/planner/Parser"
import * as Effect from "effect/Effect"
import * as Corpus from "./corpus.js"

const parser = await Effect.runPromise(Parser.make)

for (const folder of ["plans", "refusals"]) {
  describe(`${folder} corpus`, () => {
    for (const file of Corpus.files(folder)) {
      const cases = Corpus.read(folder, file)
      const found = cases.map(({ sql }) => ({ sql, expected: Corpus.explain(parser, sql) }))
      if (process.env["ACCEPT"] === "1") Corpus.accept(folder, file, found)
      it(`${file}: ${cases.length} statements`, () => {
        expect(cases.length).toBeGreaterThan(0)
        if (process.env["ACCEPT"] !== "1") expect(found).toEqual(cases)
      })
    }
  })
}
