/**
 * A CPU profile of one contender under load: the inspector's own profiler in this process, so the client's share and
 * not the servers'.
 *
 * Enters: a work and the name of a contender. Leaves in a folder: `NAME.cpuprofile` (opens in the browser's developer
 * tools and in speedscope), a flame graph as SVG, and a summary as text: self time by package, then by function.
 */
import * as Effect from "effect/Effect"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import type { Profiler } from "node:inspector"
import { Session } from "node:inspector/promises"
import { fileURLToPath } from "node:url"
import { short } from "./report/console.js"
import { flameGraph, type Frame } from "./report/flame.js"
import { effectOf, load, warmUpOf } from "./measure.js"
import type { Options } from "./options.js"
import type { Contender, Round, Sampled, Work } from "./work.js"

/** Between two samples. */
const intervalMicros = 100
const functionsShown = 40

export const profile = (
  work: Work,
  contender: Contender | Sampled,
  options: Options,
  folder: string
): Effect.Effect<ReadonlyArray<string>, unknown> =>
  Effect.gen(function* () {
    if (work.before !== undefined) yield* work.before
    const name = `profile-${work.id}-${contender.name}`.replaceAll(/[^A-Za-z0-9.]+/g, "-")
    mkdirSync(folder, { recursive: true })
    const file = `${folder}/${name}.cpuprofile`
    const round = yield* "sample" in contender
      ? Effect.promise(() => contender.sample(file))
      : profiledHere(work, contender, options, file)
    const taken = JSON.parse(readFileSync(file, "utf8")) as Profiler.Profile
    // A process of its own makes one request, and is sampled from its start to its end.
    const summary = summaryOf(work, contender.name, taken, round, "sample" in contender)
    writeFileSync(`${folder}/${name}.svg`, flameGraph(`${work.title}: ${contender.name}`, framesOf(taken)))
    writeFileSync(`${folder}/${name}.txt`, summary)
    console.log(summary)
    return [`${name}.cpuprofile`, `${name}.svg`, `${name}.txt`]
  })

const profiledHere = (work: Work, contender: Contender, options: Options, file: string) =>
  Effect.gen(function* () {
    // A request that can be made once needs everything put back before the next.
    const request =
      work.single === true && work.before !== undefined
        ? Effect.zipRight(work.before, effectOf(contender.request))
        : contender.request
    yield* load(request, work.inFlight, 2 * warmUpOf(work, options))
    const { profile: taken, round } = yield* sampled(load(request, work.inFlight, options.profileMillis))
    writeFileSync(file, JSON.stringify(taken))
    return round
  })

const sampled = (running: Effect.Effect<Round, unknown>) =>
  Effect.acquireUseRelease(
    Effect.tryPromise(async () => {
      const session = new Session()
      session.connect()
      await session.post("Profiler.enable")
      await session.post("Profiler.setSamplingInterval", { interval: intervalMicros })
      await session.post("Profiler.start")
      return session
    }),
    (session) =>
      Effect.flatMap(running, (round) =>
        Effect.map(
          Effect.tryPromise(() => session.post("Profiler.stop")),
          ({ profile }) => ({ profile, round })
        )
      ),
    (session) => Effect.sync(() => session.disconnect())
  )

/** Self time of each node in microseconds. */
const selfMicros = ({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Map<number, number> => {
  const self = new Map(nodes.map(({ id }): [number, number] => [id, 0]))
  for (const [at, id] of samples.entries()) self.set(id, (self.get(id) ?? 0) + (timeDeltas[at] ?? 0))
  return self
}

const isIdle = ({ functionName }: Profiler.ProfileNode["callFrame"]): boolean =>
  functionName === "(idle)" || functionName === "(root)"

const summaryOf = (work: Work, contender: string, taken: Profiler.Profile, round: Round, alone: boolean): string => {
  const self = selfMicros(taken)
  const busy = taken.nodes.filter(({ callFrame }) => !isIdle(callFrame))
  const requests = Math.max(1, alone ? 1 : round.perSecond * ((taken.endTime - taken.startTime) / 1e6))
  const total = sum(busy.map(({ id }) => self.get(id) ?? 0))
  const idle = sum(taken.nodes.filter(({ callFrame }) => isIdle(callFrame)).map(({ id }) => self.get(id) ?? 0))
  const line = (micros: number, label: string) =>
    `${(micros / requests).toFixed(2).padStart(9)}  ${((micros / total) * 100).toFixed(1).padStart(5)} %  ${label}`
  const grouped = (key: (node: Profiler.ProfileNode) => string) => {
    const groups = new Map<string, number>()
    for (const node of busy) groups.set(key(node), (groups.get(key(node)) ?? 0) + (self.get(node.id) ?? 0))
    return [...groups].sort(([, one], [, other]) => other - one)
  }
  const byFunction = ({ callFrame }: Profiler.ProfileNode) =>
    `${packageOf(callFrame)}  ${callFrame.functionName || "(anonymous)"}  ${placeOf(callFrame)}`
  return [
    `${work.title}: ${contender}`,
    `${short(round.perSecond)} requests/s while sampled, ${Math.round(requests)} requests`,
    `${(total / requests).toFixed(1)} µs of the JavaScript thread's time a request, ${((idle / (idle + total)) * 100).toFixed(0)} % idle;`,
    `${round.cpuMicros.toFixed(1)} µs of CPU by the process's own clock, all its threads, the profiler included`,
    "",
    "self time by package, µs a request",
    ...grouped(({ callFrame }) => packageOf(callFrame)).map(([label, micros]) => line(micros, label)),
    "",
    `self time by function, the first ${functionsShown}, µs a request`,
    ...grouped(byFunction)
      .slice(0, functionsShown)
      .map(([label, micros]) => line(micros, label)),
    ""
  ].join("\n")
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

/** `effect`, `@shardlayer/core`, `node`; what is no JavaScript is `(native)`, system calls above all, or V8's own. */
const packageOf = ({ functionName, url }: Profiler.ProfileNode["callFrame"]): string => {
  if (url === "") return functionName.startsWith("(") ? "(v8)" : "(native)"
  if (url.startsWith("node:")) return "node"
  const [, installed] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? []
  if (installed !== undefined) return installed
  const [, ours] = /\/packages\/([^/]+)\/(?:dist|src)\//.exec(url) ?? []
  return ours === undefined ? "benchmarks" : `@shardlayer/${ours}`
}

/** The file within its package, and the line. */
const placeOf = ({ lineNumber, url }: Profiler.ProfileNode["callFrame"]): string => {
  if (url === "") return ""
  const file = url.replace(/^.*\/node_modules\/(?:@[^/]+\/)?[^/]+\//, "").replace(/^.*\/(?:dist|src)\//, "")
  return `${file}:${lineNumber + 1}`
}

/** The tree of calls, idle time left out. */
const framesOf = (taken: Profiler.Profile): Frame => {
  const self = selfMicros(taken)
  const byId = new Map(taken.nodes.map((node) => [node.id, node]))
  const frameOf = (node: Profiler.ProfileNode): Frame => {
    const children = (node.children ?? []).flatMap((id) => {
      const child = byId.get(id)
      return child === undefined || isIdle(child.callFrame) ? [] : [frameOf(child)]
    })
    const own = isIdle(node.callFrame) ? 0 : (self.get(node.id) ?? 0)
    return {
      name: `${node.callFrame.functionName || "(anonymous)"} ${placeOf(node.callFrame)}`.trim(),
      group: packageOf(node.callFrame),
      micros: own + sum(children.map(({ micros }) => micros)),
      children
    }
  }
  const [root] = taken.nodes
  if (root === undefined) throw new Error("a profile without nodes")
  return frameOf(root)
}

export const resultsFolder = fileURLToPath(new URL("../results", import.meta.url))
