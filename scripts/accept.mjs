/**
 * `node scripts/accept.mjs TEST…`: runs tests of committed text (golden plans, generated pages) with ACCEPT=1, which makes
 * them write what they found. Read the diff before you commit it.
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const vitest = join(root, "node_modules/vitest/vitest.mjs")
const args = [vitest, "run", "--project", "unit", ...process.argv.slice(2)]
const env = { ...process.env, ACCEPT: "1" }
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit", env })
process.exit(status ?? 1)
