/**
 * `node scripts/run.mjs FOLDER MODULE [argument…]`: builds the folder (`all` for everything), then runs the module in this
 * very process. So one command both builds and runs, and a signal reaches the program itself and not a shell before it.
 */
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { build } from "./build.mjs"

const [folder, module, ...rest] = process.argv.slice(2)
if (folder === undefined || module === undefined) {
  console.error("usage: node scripts/run.mjs FOLDER MODULE [argument…]")
  process.exit(2)
}
const code = build(folder === "all" ? [] : [folder])
if (code !== 0) process.exit(code)

const path = resolve(module)
process.argv = [process.argv[0], path, ...rest]
await import(pathToFileURL(path).href)
