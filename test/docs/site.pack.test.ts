/** The site builds from the pages and doc comments as they are, and every link of it leads somewhere. */
import { execFile } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { root } from "../../scripts/doc-blocks.mjs"

const site = join(root, "docs/.vitepress/dist")
const read = (page: string) => readFileSync(join(site, page), "utf8")

describe("npm run docs:build", () => {
  it("succeeds", { timeout: 600_000 }, async () => {
    const options = { cwd: root, maxBuffer: 64 * 1024 * 1024 }
    const built = await promisify(execFile)(process.execPath, ["scripts/site.mjs", "build"], options).then(
      () => "built",
      (failure: { readonly stdout: string; readonly stderr: string }) => failure.stdout + failure.stderr
    )
    expect(built).toBe("built")
  })

  it("has the pages, the reference, the decisions, and what pages link to", () => {
    const pages =
      "index start guide life-of-a-query consistency testing operations refusals migrating comparison glossary"
    for (const page of pages.split(" ")) expect(existsSync(join(site, `${page}.html`)), page).toBe(true)
    expect(read("api/core/ShardRouter.html")).toContain("Runs <code>effect</code> pinned to one shard")
    expect(read("decisions/0001-effect-3-and-effect-schema.html")).toContain("Effect 3")
    expect(read("decisions/index.html")).toContain("0026-rows-cut-out-of-what-came.html")
    expect(read("source/packages/core/src/QueryPipeline.ts.html")).toContain("QueryPipeline")
  })

  it("hides what stands in comments ahead of code", () => {
    expect(read("testing.html")).not.toContain("before:")
  })
})
