/** The first test of docs/testing.md is a test that runs. */
import { expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const read = (file: string) => readFileSync(new URL(file, import.meta.url), "utf8")

it("docs/testing.md begins with firstTest.pg.test.ts, as it is", () => {
  const [, block] = /<!-- first test:[^\n]*-->\n```ts\n([\s\S]*?)^```/m.exec(read("../../docs/testing.md")) ?? []
  expect(block).toBe(read("firstTest.pg.test.ts"))
})
