/**
 * All rows in order, each contender in a process of its own: rows a second, the time to the first row, the highest
 * resident memory.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { inChild, placeOf } from "../child.js"
import { foreignName, names, plainName } from "../children/names.js"
import type { Lab } from "../lab.js"
import type { Sampled, Skipped, Work } from "../work.js"

export const name = "stream"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.withOrders(4)
    const foreign = yield* lab.foreign(4)
    const { rows } = lab.options
    const place = placeOf(cluster, rows, typeof foreign === "string" ? undefined : foreign)
    return [
      {
        id: `${name}/ordered`,
        title: `Ordered stream of ${rows.toLocaleString("en-US")} rows, 4 shards`,
        shards: 4,
        inFlight: 1,
        rowsPerRequest: rows,
        baseline: plainName,
        rounds: Math.min(3, lab.options.rounds),
        contenders: names.map((contender): Sampled | Skipped =>
          contender === foreignName && typeof foreign === "string"
            ? { name: contender, skipped: foreign }
            : {
                name: contender,
                sample: (profileTo?: string) => inChild("./children/stream.js", { contender, place }, profileTo)
              }
        ),
        remark: "pages of 1,000 rows; resident memory of the whole process"
      }
    ]
  })
