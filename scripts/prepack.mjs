/**
 * Runs in a package's folder before npm packs it: the build is current, the licence of the project lies beside it, and
 * beside virtual shards the data folder that they start from.
 */
import { copyFileSync, existsSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "./build.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const code = build([relative(root, process.cwd())])
if (code !== 0) process.exit(code)
copyFileSync(join(root, "LICENSE"), join(process.cwd(), "LICENSE"))

const snapshot = join(process.cwd(), "dist/internal/virtualSnapshot.js")
if (existsSync(snapshot)) await (await import(pathToFileURL(snapshot).href)).pack()
