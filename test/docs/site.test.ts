/** The diagrams of the pages are ones that mermaid draws. Without a browser it parses them; what it then makes of them is to be looked at. */
import { expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { runInNewContext } from "node:vm"
import { blocksOfPage, pages } from "../../scripts/doc-blocks.mjs"

interface Mermaid {
  readonly parse: (text: string) => Promise<{ readonly diagramType: string }>
}

/** As a page has it: a script that leaves a global. It purifies labels by a DOM, for which two functions stand in here. */
const mermaid = (): Mermaid => {
  const file = createRequire(import.meta.url).resolve("@mermaid-js/tiny/dist/mermaid.tiny.js")
  const shims = "Function.prototype.addHook = () => {}; Function.prototype.sanitize = (text) => text;"
  const context: { mermaid?: Mermaid; structuredClone: unknown } = { structuredClone }
  runInNewContext(`${shims}${readFileSync(file, "utf8")}`, context)
  return context.mermaid!
}

const diagrams = pages()
  .flatMap(blocksOfPage)
  .filter(({ language }) => language === "mermaid")

it("every diagram parses", async () => {
  const { parse } = mermaid()
  expect(diagrams.length).toBeGreaterThan(1)
  for (const { code, line, path } of diagrams) {
    const outcome = await parse(code).then(
      ({ diagramType }) => diagramType,
      (error: Error) => error.message
    )
    expect(`${path}:${line} ${outcome}`).toMatch(/ (sequence|flowchart(-v2)?|stateDiagram|state)$/)
  }
  await expect(parse("sequenceDiagram\n A->>B: one; two\n")).rejects.toThrow("Parse error")
  await expect(parse("flowchart LR\n a[ok] --> b\n a[[x --> b\n")).rejects.toThrow("Parse error")
})
