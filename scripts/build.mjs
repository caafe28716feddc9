/**
 * `npm run build [project…]`: compiles the named projects (all without names) and what they refer to, then makes every
 * touched `dist` an exact image of its `src`: files the compiler does not emit (`.mjs`, `.d.mts`) are copied, outputs of
 * deleted sources removed. So nothing stale can run, pass a test or be packed.
 */
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")

const filesBelow = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true, recursive: true })
        .filter((entry) => entry.isFile())
        .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    : []

const isCompiled = (file) => file.endsWith(".ts") && !file.endsWith(".d.ts")

/** Copies what changed only: a reader of `dist` never sees a file half written for nothing. */
const copyRest = (source, target) => {
  for (const file of filesBelow(source).filter((name) => !isCompiled(name))) {
    const [from, to] = [join(source, file), join(target, file)]
    if (existsSync(to) && readFileSync(from).equals(readFileSync(to))) continue
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(from, to)
  }
}

const removeOrphans = (source, target) => {
  const sources = new Set(filesBelow(source))
  for (const file of filesBelow(target)) {
    const compiledFrom = file.replace(/(\.d\.ts|\.js)(\.map)?$/, ".ts")
    if (file !== ".tsbuildinfo" && !sources.has(file) && !sources.has(compiledFrom)) rmSync(join(target, file))
  }
}

const folders = ["packages/core", "packages/pg", "packages/testing", "examples", "benchmarks"]

/** Builds the named folders, or everything when none is named; the compiler's exit code. */
export const build = (named) => {
  const projects = named.length === 0 ? ["."] : named
  const configs = projects.map((name) => join(root, name, "tsconfig.build.json"))
  const { status } = spawnSync(process.execPath, [tsc, "-b", ...configs], { cwd: root, stdio: "inherit" })
  for (const folder of folders) {
    const [source, target] = [join(root, folder, "src"), join(root, folder, "dist")]
    if (!existsSync(target)) continue
    copyRest(source, target)
    removeOrphans(source, target)
  }
  return status ?? 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(build(process.argv.slice(2)))
