/**
 * `npm run check:types`: sources, tests and the examples of the docs, in one compiler run.
 *
 * An example is a `ts` block of a page or of a doc comment that imports something; blocks without imports are fragments.
 * Each becomes a module in `.tmp/doc-examples`, where unused names are allowed, and its errors are told at their source.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const target = join(root, ".tmp/doc-examples")
const skipped = new Set(["node_modules", "dist", ".git", ".tmp", "coverage", "test-results", "fixtures"])

const filesBelow = (folder, wanted) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name)) return []
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesBelow(path, wanted)
    return wanted(path) ? [path] : []
  })

/** The examples of one file, each with the line its code starts at. Comment stars are no code. */
const examplesOf = (path) => {
  const isPage = path.endsWith(".md")
  const text = readFileSync(path, "utf8")
  const fence = isPage ? /^```ts\b[^\n]*\n([\s\S]*?)^```/gm : /^ *\* ```ts\b[^\n]*\n([\s\S]*?)^ *\* ```/gm
  return [...text.matchAll(fence)]
    .map((match) => ({
      path,
      line: text.slice(0, match.index).split("\n").length + 1,
      code: isPage ? match[1] : match[1].replace(/^ *\* ?/gm, "")
    }))
    .filter(({ code }) => /^import /m.test(code))
}

const isSource = (path) => /packages\/[^/]+\/src\/.*\.ts$/.test(relative(root, path).replaceAll("\\", "/"))
const examples = filesBelow(root, (path) => path.endsWith(".md") || isSource(path)).flatMap(examplesOf)

rmSync(target, { recursive: true, force: true })
mkdirSync(target, { recursive: true })
examples.forEach(({ code }, index) => writeFileSync(join(target, `example${index}.ts`), code))
const { include } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"))
const config = { extends: "../../tsconfig.json", include: [...include.map((glob) => `../../${glob}`), "*.ts"] }
writeFileSync(join(target, "tsconfig.json"), JSON.stringify(config))

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
const run = spawnSync(process.execPath, [tsc, "-p", target, "--pretty", "false"], { cwd: root })
if (run.status !== 0 && run.stdout.length === 0) {
  console.log(`the compiler did not run: ${run.error?.message ?? run.stderr.toString()}`)
  process.exit(1)
}

/** Errors of unused names are TS6133, TS6192, TS6196, TS6198 and TS6199. */
const told = run.stdout
  .toString()
  .split("\n")
  .filter((line) => line !== "" && !/doc-examples.*error TS61(33|92|96|98|99)\b/.test(line))
  .map((line) =>
    line.replace(/^.*doc-examples\/example(\d+)\.ts\((\d+),/, (_, index, at) => {
      const { line: start, path } = examples[Number(index)]
      return `${relative(root, path)} (example)(${start + Number(at) - 1},`
    })
  )
rmSync(target, { recursive: true, force: true })
if (told.length > 0) {
  console.log(told.join("\n"))
  process.exit(1)
}
console.log(`sources, tests and ${examples.length} examples of the docs compile`)
