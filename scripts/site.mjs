/**
 * `npm run docs:build`: the reference, then the site, in docs/.vitepress/dist. A link that leads nowhere fails it, and so does an
 * anchor that is no place of its page. `docs:dev` serves the pages while they are written, `docs:preview` what was built.
 */
import { spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { join } from "node:path"
import { root } from "./doc-blocks.mjs"
import { problemsOf } from "./site-links.mjs"

const [task = "build", ...rest] = process.argv.slice(2)
const vitepress = join(createRequire(import.meta.url).resolve("vitepress/package.json"), "../bin/vitepress.js")

const run = (...args) => {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" })
  if (status !== 0) process.exit(status ?? 1)
}

if (task !== "preview") run("scripts/api.mjs")
run(vitepress, task, "docs", ...rest)
if (task === "build") {
  const problems = problemsOf(join(root, "docs/.vitepress/dist"), process.env["DOCS_BASE"] ?? "/")
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exit(1)
}
