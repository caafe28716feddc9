// Chaos for half a minute, with faults of every kind; and that it goes without a trace when it is interrupted.
import { afterEach, beforeAll, beforeEach, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, realpathSync, rmSync, chmodSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Report from "../../src/internal/chaos/Report.js"
import * as Run from "../../src/internal/chaos/Run.js"
import * as Processes from "../../src/internal/processes.mjs"

const root = fileURLToPath(new URL("../../../..", import.meta.url))
const built = (module: string) => join(root, "packages/testing/dist/internal/chaos", module)

// Router processes are run by plain Node: it needs JavaScript, and not that of yesterday.
beforeAll(() => {
  const { status } = spawnSync(process.execPath, ["scripts/build.mjs", "packages/testing"], {
    cwd: root,
    stdio: "inherit"
  })
  expect(status).toBe(0)
}, 240_000)

it.scopedLive(
  "nothing is lost, half done or half seen",
  () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const summary = yield* Run.run({
        ...Run.defaults,
        // Its first faults are of every kind.
        seed: 16,
        millis: 24_000,
        faultMillisMax: 1_500,
        routers: 2,
        transfersPerSecond: 10,
        appendsPerSecond: 5,
        readsPerSecond: 10,
        program: built("router.js"),
        print: (text) => Effect.sync(() => void said.push(text))
      })
      const report = [...said, Report.total(summary)].join("\n")
      expect(summary.checker.violations, report).toEqual([])
      expect(new Set(summary.faults.map(({ fault }) => fault.kind)).size, report).toBe(Run.defaults.kinds.length)
      expect(summary.settledMillis, report).toBeLessThan(15_000)
      expect(summary.checker.counts("transfers").committed, report).toBeGreaterThan(10)
      expect(summary.checker.counts("appends").committed, report).toBeGreaterThan(5)
      expect(summary.checker.reads.done, report).toBeGreaterThan(10)
    }),
  180_000
)

/** Each is seen without any fault. */
const planted = [
  ["gateSkipped", ["WrongTotal"]],
  ["earlyReply", ["Unseen"]]
] as const

for (const [bug, expected] of planted) {
  it.scopedLive(
    `a planted bug is found: ${bug}`,
    () =>
      Effect.gen(function* () {
        const summary = yield* Run.run({
          ...Run.defaults,
          seed: 1,
          millis: 10_000,
          everyMillis: Infinity,
          routers: 2,
          transfersPerSecond: 20,
          appendsPerSecond: 20,
          readsPerSecond: 30,
          bug,
          program: built("router.js"),
          print: () => Effect.void
        })
        const found = summary.checker.violations.map(({ _tag }) => _tag)
        expect(found, Report.total(summary)).toEqual(expect.arrayContaining([...expected]))
        expect(Report.isClean(summary)).toBe(false)
      }),
    180_000
  )
}

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(realpathSync(tmpdir()), "chaos-"))
  chmodSync(folder, 0o755)
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

it("interrupted, it leaves no process and no file", async () => {
  const out = join(folder, "out")
  const child = spawn(
    process.execPath,
    [built("main.js"), "--minutes", "5", "--seed", "1", "--every", "1", "--out", out],
    {
      env: { ...process.env, TMPDIR: folder },
      stdio: ["ignore", "pipe", "inherit"]
    }
  )
  let said = ""
  child.stdout.on("data", (chunk) => (said += String(chunk)))
  await expect.poll(() => said, { timeout: 60_000 }).toMatch(/ 2 \w+ (shard|router)/)
  const children = Processes.childrenOf(child.pid!)
  expect(Processes.ownedBy(basename(folder)).length).toBeGreaterThan(10)
  expect(children.length).toBeGreaterThan(5)
  child.kill("SIGTERM")
  const [code] = await once(child, "exit")
  expect(code).toBe(130)
  const running = new Set(Processes.list().map(({ pid }) => pid))
  expect(children.filter((pid) => running.has(pid))).toEqual([])
  expect(Processes.ownedBy(basename(folder))).toEqual([])
  expect(readdirSync(folder)).toEqual([])
}, 120_000)
