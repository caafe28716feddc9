/**
 * The code of the pages compiles for who installs the packages: against what is built and exported, not against sources.
 * (`npm run check:types` holds it against the sources, doc comments included.)
 */
import { expect, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { promisify } from "node:util"
import { type Block, blocksOfPage, lineOf, moduleOf, pages, root } from "../../scripts/doc-blocks.mjs"

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
const blocks = pages()
  .flatMap(blocksOfPage)
  .filter(({ language }) => language === "ts")

const node = (...args: ReadonlyArray<string>): Promise<string> =>
  promisify(execFile)(process.execPath, args, { cwd: root }).then(
    () => "",
    (error: { readonly stdout: string; readonly stderr: string }) => error.stdout + error.stderr
  )

/** What the compiler says of them, each line with the block's own place. */
const complaints = async (some: ReadonlyArray<Block>, options: object) => {
  await mkdir(join(root, ".tmp"), { recursive: true })
  const folder = await mkdtemp(join(root, ".tmp/compiled-"))
  try {
    const compilerOptions = { composite: false, noEmit: true, noUnusedLocals: false, types: ["node"], ...options }
    const tsconfig = { extends: "../../tsconfig.base.json", compilerOptions, include: ["*.ts"] }
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(tsconfig))
    for (const [index, block] of some.entries()) await writeFile(join(folder, `block${index}.ts`), moduleOf(block))
    const said = await node(tsc, "-p", folder, "--pretty", "false")
    return said.replaceAll(/^.*block(\d+)\.ts\((\d+),\d+\)/gm, (_, index: string, line: string) => {
      const block = some[Number(index)]!
      return `${block.path}:${lineOf(block, Number(line))}`
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

it("compiles against the built packages", { timeout: 180_000 }, async () => {
  expect(await node("scripts/build.mjs", "packages/testing")).toBe("")
  const plain = blocks.filter(({ resolvedAs }) => resolvedAs === undefined)
  expect(plain.length).toBeGreaterThan(40)
  expect(await complaints(plain, {})).toBe("")
})

it("but for one of drizzle-orm, whose types differ there, also without NodeNext", { timeout: 180_000 }, async () => {
  const bundled = blocks.filter(({ resolvedAs }) => resolvedAs === "bundler")
  expect(bundled.map(({ name, path }) => `${path} ${name}`)).toEqual(["docs/ecosystem.md drizzle ts"])
  expect(await complaints(bundled, { module: "ESNext", moduleResolution: "Bundler" })).toBe("")
})
