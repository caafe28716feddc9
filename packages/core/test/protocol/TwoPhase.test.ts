/**
 * The commit protocol against all that can go wrong around it, by walking through every world of small scenes and along
 * random schedules of larger ones; and that walk against planted bugs.
 *
 * `SEED=7 COUNT=1` replays one schedule, `SEED=1000000 COUNT=5000000` draws others, `LONG=1` walks through larger scenes.
 */
import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import * as Explore from "./Explore.js"
import { planted, type Planted } from "./Planted.js"
import * as Scenes from "./Scenes.js"
import * as World from "./World.js"

const seed = Number(process.env["SEED"] ?? 1)
const count = Number(process.env["COUNT"] ?? 100_000)
const isLong = process.env["LONG"] !== undefined

const report = (text: string) => isLong && process.stderr.write(`${text}\n`)

const seconds = (startedAt: NodeJS.CpuUsage) => {
  const { system, user } = process.cpuUsage(startedAt)
  return `${((system + user) / 1e6).toFixed(1)} s of CPU`
}

describe("every world", () => {
  const scenes = Object.entries(isLong ? { ...Scenes.small, ...Scenes.large } : Scenes.small)
  it.each(scenes)("%s", { timeout: 3_600_000 }, async (name, scene) => {
    const startedAt = process.cpuUsage()
    const { ends, found, moves, states } = await Explore.all(World.make(scene))
    report(`${name}: ${states} worlds, ${moves} moves, ${seconds(startedAt)}`)
    expect(found).toBeUndefined()
    // The walk came to every way to end, or it proves little.
    const seen = new Set([...ends.keys()].join(""))
    expect([...seen].sort().join("")).toBe(scene.faults > 0 ? "CRUXcr" : "CR")
  })

  it("without faults and recovery every transaction is committed, everywhere", async () => {
    for (const scene of [...Object.values(Scenes.small), ...Scenes.random]) {
      const transactions = scene.transactions.filter(({ foreign }) => foreign !== true).slice(0, 2)
      const { ends, found } = await Explore.all(World.make({ ...scene, transactions, faults: 0, recoveries: 0 }))
      expect(found).toBeUndefined()
      expect([...ends.keys()]).toEqual(["C".repeat(transactions.length)])
    }
  })
})

describe("random schedules", () => {
  it(`${count} from seed ${seed}`, { timeout: 3_600_000 }, async () => {
    const models = Scenes.random.map((scene) => World.make(scene))
    const ends = new Set<string>()
    let moves = 0
    const startedAt = process.cpuUsage()
    for (let each = seed; each < seed + count; each++) {
      // A process that never listens is taken for dead by its test runner.
      if (each % 1_000 === 0) await setImmediate()
      const run = Explore.one(models[each % models.length]!, each)
      moves += run.moves
      ends.add(run.end)
      if (run.found !== undefined) expect.fail(`SEED=${each}: ${JSON.stringify(run.found, undefined, 2)}`)
    }
    report(`${count} schedules: ${moves} moves, ${seconds(startedAt)}`)
    if (count >= 10_000) expect([...new Set([...ends].join(""))].sort().join("")).toBe("CRUXcr")
  })
})

describe("planted bugs", () => {
  const modelOf = ({ protocol = {}, rules = {}, scene }: Planted, faults: number) =>
    World.make({ ...scene, faults }, { protocol, rules })

  it.each(planted)("$bug: $violation", async (bug) => {
    const { found, states } = await Explore.all(modelOf(bug, bug.scene.faults), bug.violation)
    report(`${states} worlds\n  ${found?.trace.join("\n  ")}`)
    expect(found?.violation).toBe(bug.violation)
  })

  it(
    "a cleaner that overlooks open branches halves no commit: it leaves one to look at, at worst",
    { timeout: 3_600_000 },
    async () => {
      const scenes = isLong
        ? Object.values(Scenes.small).filter(({ cleaner, faults }) => cleaner === true && faults > 0)
        : [Scenes.twoWriters]
      for (const scene of scenes) {
        const { violations } = await Explore.all(World.make(scene, { rules: { belowOpen: false } }), "everything")
        expect([...violations]).toEqual(["undecidable"])
      }
    }
  )

  it("are met by random schedules as well", () => {
    const missed = planted.filter((bug) => {
      const model = modelOf(bug, 9)
      return !Array.from({ length: 2_000 }, (_, each) => each + 1).some((each) => Explore.one(model, each).found)
    })
    expect(missed.map(({ bug }) => bug)).toEqual([])
  })
})
