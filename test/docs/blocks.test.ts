/** What stands in code on the pages is looked at: every block has a test, or says why not, and of these there are as many as here. */
import { expect, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { blocksOfPage, blocksOfSource, pages, root, sources } from "../../scripts/doc-blocks.mjs"

const read = (file: string) => readFileSync(join(root, file), "utf8")
const blocks = pages().flatMap(blocksOfPage)

/** Languages that other tests hold, whatever their page: commands below, diagrams site.test.ts. */
const elsewhere = ["sh", "mermaid"]

/** Pages with a test of their own. */
const own = {
  "README.md": "examples/test/readme.pg.test.ts",
  "docs/refusals.md": "packages/pg/test/planner/Refusals.test.ts"
}

it("every page with code has a test that runs it", () => {
  const folder = join(root, "test/docs")
  const tests = readdirSync(folder).filter((file) => file.endsWith(".test.ts"))
  const named = tests.flatMap((file) =>
    [...read(`test/docs/${file}`).matchAll(/\bpage\("([^"]+)"\)/g)].map(([, path]) => path)
  )
  const withCode = new Set(blocks.filter(({ language }) => !elsewhere.includes(language)).map(({ path }) => path))
  expect([...withCode].sort()).toEqual([...named, ...Object.keys(own)].sort())
  for (const [path, test] of Object.entries(own)) expect(read(test)).toContain(path)
})

it("what is not run says so, and is no more than this", () => {
  const marked = blocks.flatMap(({ notRun, path }) => (notRun === undefined ? [] : [`${path}: ${notRun}`]))
  expect(marked).toEqual([
    // A picture in letters, and parts of outputs, with … for what was left out.
    "docs/life-of-a-query.md: drawing",
    "docs/life-of-a-query.md: abridged",
    "docs/life-of-a-query.md: abridged",
    "docs/life-of-a-query.md: abridged"
  ])
  expect(pages().flatMap((page) => read(page).match(/<!-- (?:not run|before|resolved as):/g) ?? [])).toHaveLength(
    blocks.filter(({ before, notRun, resolvedAs }) => before !== "" || notRun !== undefined || resolvedAs !== undefined)
      .length
  )
})

it("every example of a doc comment is TypeScript that stands for itself", () => {
  const examples = sources().flatMap(blocksOfSource)
  const others = examples.filter(({ code, language }) => language !== "ts" || !/^import /m.test(code))
  expect(others.map(({ line, path }) => `${path}:${line}`)).toEqual([])
  const tagged = sources().flatMap((source) => read(source).match(/^ *\* @example$/gm) ?? [])
  expect(examples).toHaveLength(tagged.length)
})

const commands = blocks.filter(({ language }) => language === "sh")
const scripts = (JSON.parse(read("package.json")) as { scripts: Record<string, string> }).scripts

it("every command of npm is one of this repository", () => {
  const run = commands.flatMap(({ code }) => [...code.matchAll(/npm (?:run )?([\w:-]+)/g)].map(([, name]) => name!))
  const ofNpm = new Set(["ci", "install", "i", "init", "pack", "pkg"])
  expect(run.filter((name) => !ofNpm.has(name) && !(name in scripts))).toEqual([])
})

interface Manifest {
  readonly name: string
  readonly peerDependencies: Record<string, string>
}
const manifests = ["core", "pg", "testing"].map((name) => JSON.parse(read(`packages/${name}/package.json`)) as Manifest)
const [, pg, testing] = manifests

it("what is to be installed is what the packages ask for, in their versions", () => {
  const installs = commands.flatMap(({ code, path }) =>
    [...code.replaceAll("\\\n", " ").matchAll(/npm (?:install|i) ([^\n#]+)/g)].map(([, rest]) => ({
      path,
      words: rest!.split(/ +/)
    }))
  )
  expect(installs.length).toBeGreaterThan(3)
  for (const { path, words } of installs) {
    for (const word of words.filter((each) => each !== "" && !each.startsWith("-") && !each.endsWith(".tgz"))) {
      const [, name, range] = /^(@?[^@]+)(?:@(.*))?$/.exec(word)!
      if (manifests.some((one) => one.name === name)) continue
      const asked = (range ?? "").replaceAll('"', "")
      const peer = (pg!.peerDependencies[name!] ?? testing!.peerDependencies[name!])?.replace(/\.0$/, "")
      expect(`${path}: ${name} ${asked}`).toBe(`${path}: ${name} ${peer ?? ofDevelopment[name!]}`)
    }
  }
})

/** No peers of ours. */
const ofDevelopment: Record<string, string> = {
  "@effect/vitest": "^0.30",
  "@types/node": "^20",
  tsx: "^4.20",
  typescript: "^5.9"
}
