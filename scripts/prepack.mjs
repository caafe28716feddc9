/**
 * Runs in a package's folder before npm packs it: the build is current, the licence of the project lies beside it.
 */
import { spawnSync } from "node:child_process"
import { copyFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const build = spawnSync(process.execPath, [join(root, "scripts/build.mjs"), relative(root, process.cwd())], {
  stdio: "inherit"
})
if (build.status !== 0) process.exit(build.status ?? 1)
copyFileSync(join(root, "LICENSE"), join(process.cwd(), "LICENSE"))
