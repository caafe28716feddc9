/**
 * Breaks each import rule once, in a small copy of the project's tree, and expects exactly that rule to speak: a rule
 * whose pattern matches nothing would pass every check for ever.
 */
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, expect, it } from "vitest"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Each breaks the rules it names, and no other. */
const broken: ReadonlyArray<{ readonly file: string; readonly text: string; readonly rules: ReadonlyArray<string> }> = [
  { file: "packages/core/src/topology/Runs.ts", text: `import "effect/Effect"`, rules: ["pure-topology"] },
  {
    file: "packages/core/src/topology/Reads.ts",
    text: `import "node:fs"`,
    rules: ["pure-topology", "core-only-effect"]
  },
  { file: "packages/core/src/topology/Up.ts", text: `import "../plan/Good.js"`, rules: ["pure-topology"] },
  {
    file: "packages/core/src/topology/Types.ts",
    text: `import type { Effect } from "effect/Effect"\nexport type Never = Effect<never>`,
    rules: ["pure-topology"]
  },
  { file: "packages/core/src/plan/Service.ts", text: `import "../Good.js"`, rules: ["pure-plan"] },
  { file: "packages/core/src/plan/Merges.ts", text: `import "../merge/Good.js"`, rules: ["pure-plan"] },
  { file: "packages/core/src/merge/Protocol.ts", text: `import "../protocol/Good.js"`, rules: ["pure-merge"] },
  { file: "packages/core/src/protocol/Streams.ts", text: `import "effect/Stream"`, rules: ["pure-protocol"] },
  {
    file: "packages/core/src/Drives.ts",
    text: `import "@effect/sql-pg/PgClient"`,
    rules: ["core-only-effect", "declared-dependencies"]
  },
  { file: "packages/core/src/Dialect.ts", text: `import "@shardlayer/pg/Good"`, rules: ["core-only-effect"] },
  { file: "packages/core/src/Local.ts", text: `import "effect/FiberRef"`, rules: ["one-fiber-ref"] },
  { file: "packages/core/src/Ring.ts", text: `import "./Ring2.js"`, rules: ["no-cycles"] },
  { file: "packages/core/src/ShardError.ts", text: `import "./internal/closed.js"`, rules: ["pure-errors"] },
  { file: "packages/core/src/Lost.ts", text: `import "./Nowhere.js"`, rules: ["resolvable"] },
  { file: "packages/pg/src/Tests.ts", text: `import "@shardlayer/testing/Good"`, rules: ["pg-not-up"] },
  { file: "packages/pg/src/Path.ts", text: `import "../../core/src/Good.js"`, rules: ["packages-by-name"] },
  {
    file: "packages/pg/src/Inside.ts",
    text: `import "@shardlayer/core/internal/closed"`,
    rules: ["internal-stays-inside"]
  },
  { file: "packages/pg/src/Undeclared.ts", text: `import "fast-check"`, rules: ["declared-dependencies"] },
  { file: "packages/pg/src/Peeks.ts", text: `import "../test/helper.js"`, rules: ["no-test-in-source"] },
  { file: "packages/testing/src/Shows.ts", text: `import "../../../examples/src/good.js"`, rules: ["testing-not-up"] },
  { file: "examples/src/measures.ts", text: `import "../../benchmarks/src/good.js"`, rules: ["examples-apart"] }
]

const good: Record<string, string> = {
  "packages/core/src/topology/Good.ts": `import "effect/Option"\nimport "effect/Schema"`,
  "packages/core/src/plan/Good.ts": `import "../topology/Good.js"\nimport "../ShardError.js"\nimport "effect/Either"`,
  "packages/core/src/merge/Good.ts": `import "../plan/Good.js"`,
  "packages/core/src/protocol/Good.ts": `import "../topology/Good.js"`,
  "packages/core/src/Ring2.ts": `import "./Ring.js"`,
  "packages/core/src/ShardContext.ts": `import "effect/FiberRef"`,
  "packages/core/src/internal/closed.ts": `import "effect/Effect"`,
  "packages/core/src/Good.ts": `import "effect/Effect"\nimport "@effect/sql/SqlClient"\nimport "./internal/closed.js"\nimport "./merge/Good.js"`,
  "packages/pg/src/Good.ts": `import "@shardlayer/core/Good"\nimport "node:net"\nimport "pg"`,
  "packages/pg/test/helper.ts": `import "@shardlayer/testing/Good"\nimport "../src/Good.js"\nimport "fast-check"`,
  "packages/testing/src/Good.ts": `import "@shardlayer/pg/Good"`,
  "examples/src/good.ts": `import "@shardlayer/testing/Good"`,
  "benchmarks/src/good.ts": `import "@shardlayer/pg/Good"`
}

const manifests: Record<string, object> = {
  "package.json": { name: "boundaries", type: "module", devDependencies: { "fast-check": "*" } },
  "packages/core/package.json": { name: "@shardlayer/core", peerDependencies: { effect: "*", "@effect/sql": "*" } },
  "packages/pg/package.json": { name: "@shardlayer/pg", dependencies: { pg: "*" }, peerDependencies: { effect: "*" } },
  "packages/testing/package.json": { name: "@shardlayer/testing" },
  "tsconfig.json": {
    compilerOptions: {
      module: "NodeNext",
      paths: {
        "@shardlayer/core/*": ["./packages/core/src/*.ts"],
        "@shardlayer/pg/*": ["./packages/pg/src/*.ts"],
        "@shardlayer/testing/*": ["./packages/testing/src/*.ts"]
      }
    }
  }
}

interface CruiseResult {
  readonly summary: {
    readonly totalCruised: number
    readonly violations: ReadonlyArray<{ readonly from: string; readonly rule: { readonly name: string } }>
  }
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "shardlayer-boundaries-"))
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  for (const { file, text } of broken) write(file, text)
  for (const [file, text] of Object.entries(good)) write(file, text)
  for (const [file, json] of Object.entries(manifests)) write(file, JSON.stringify(json))
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction")
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("each rule speaks where it is broken, and nowhere else", async () => {
  const cli = join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs")
  const config = join(root, ".dependency-cruiser.mjs")
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [cli, "--config", config, "--output-type", "json", "packages", "examples", "benchmarks"],
    { cwd: folder, maxBuffer: 64 * 1024 * 1024 }
  ).catch((failure: { stdout: string; stderr: string }) => {
    if (failure.stdout === "") throw new Error(failure.stderr)
    return failure
  })
  const { summary } = JSON.parse(stdout) as CruiseResult
  const spoke = new Map<string, Set<string>>()
  for (const { from, rule } of summary.violations) spoke.set(from, (spoke.get(from) ?? new Set()).add(rule.name))
  const expected = new Map(broken.map(({ file, rules }) => [file, new Set(rules)]))
  expect(spoke).toEqual(expected)
})

it("every rule of the configuration is broken by one of the cases", async () => {
  const { default: config } = (await import(join(root, ".dependency-cruiser.mjs"))) as {
    default: { forbidden: ReadonlyArray<{ name: string }> }
  }
  const tested = new Set(broken.flatMap(({ rules }) => rules))
  const untested = config.forbidden.map(({ name }) => name).filter((name) => !tested.has(name))
  expect(untested).toEqual([])
})
