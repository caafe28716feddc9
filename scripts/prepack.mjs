/**
 * Runs in a package's folder before npm packs it: the build is current, the licence of the project lies beside it.
 */
import { copyFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "./build.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const code = build([relative(root, process.cwd())])
if (code !== 0) process.exit(code)
copyFileSync(join(root, "LICENSE"), join(process.cwd(), "LICENSE"))
