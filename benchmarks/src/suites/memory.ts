/** What a process holds that has done next to nothing yet: its clients, one statement, and plans. Processes of their own. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { inChild, placeOf } from "../child.js"
import { plainName, states } from "../children/names.js"
import type { Lab } from "../lab.js"
import type { Work } from "../work.js"

export const name = "memory"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    const place = placeOf(cluster, 0)
    return [
      {
        id: `${name}/idle`,
        title: "Memory of a process that has run one statement",
        shards: 4,
        inFlight: 1,
        baseline: plainName,
        rounds: Math.min(3, lab.options.rounds),
        contenders: states.map((contender) => ({
          name: contender,
          sample: (profileTo?: string) => inChild("./children/memory.js", { contender, place }, profileTo)
        })),
        remark: "after a garbage collection; resident memory of the whole process"
      }
    ]
  })
