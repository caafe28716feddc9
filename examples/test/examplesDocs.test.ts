/** docs/examples.md lists each example that can be started, and nothing else. */
import { expect, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")

const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Record<string, string> }
const started = Object.entries(scripts).filter(([name]) => name === "demo" || name.startsWith("example:"))

it("each example is a module, and in the list of docs/examples.md with a link to its source", () => {
  const rows = read("docs/examples.md").matchAll(
    /^\| `npm run ([\w:]+)` \|.*\]\(\.\.\/(examples\/src\/[\w./]+)\) \|$/gm
  )
  const listed = Object.fromEntries([...rows].map(([, name = "", source = ""]) => [name, source]))
  expect(started.length).toBeGreaterThanOrEqual(9)
  expect(Object.keys(listed).sort()).toEqual(started.map(([name]) => name).sort())
  for (const [name, command] of started) {
    const [, module] = /^node scripts\/run\.mjs examples examples\/dist\/([\w/]+)\.js$/.exec(command) ?? []
    expect([name, existsSync(new URL(`../src/${module}.ts`, import.meta.url))]).toEqual([name, true])
    // A folder may be listed by the file to begin with.
    expect(listed[name]?.split("/")[2]?.replace(/\.ts$/, "")).toBe(module?.split("/")[0])
  }
})
