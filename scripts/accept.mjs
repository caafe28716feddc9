/**
 * `node scripts/accept.mjs TEST…`: runs tests of committed text (golden plans, generated pages) with ACCEPT=1, which makes
 * them write what they found. Read the diff before you commit it.
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const vitest = join(root, "node_modules/vitest/vitest.mjs")
const env = { ...process.env, ACCEPT: "1" }

/** What tests with servers record comes first: the others read it. */
const [withServers, without] = [true, false].map((isPg) =>
  process.argv.slice(2).filter((file) => file.endsWith(".pg.test.ts") === isPg)
)
for (const [project, files] of [
  ["pg", withServers],
  ["unit", without]
]) {
  if (files.length === 0) continue
  const args = [vitest, "run", "--project", project, ...files]
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit", env })
  if (status !== 0) process.exit(status ?? 1)
}
