/** One process in one of the states whose memory is compared. Loads the modules of its own client and no other's. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { clusterOf, type Place, serve } from "../child.js"
import type { Round } from "../work.js"
import { plainName, plansTotal, type states as stateNames } from "./names.js"

/** Brings the process into the state that is measured. */
type State = (place: Place) => Effect.Effect<unknown, unknown, Scope.Scope>

const states: Readonly<Record<(typeof stateNames)[number], State>> = {
  [plainName]: (place) =>
    Effect.gen(function* () {
      const { openPlain } = yield* loaded(() => import("../clients/plain.js"))
      const sql = yield* openPlain(clusterOf(place).oracle)
      yield* sql`SELECT name FROM accounts WHERE id = ${1}`
    }),
  "pg, one server": (place) =>
    Effect.gen(function* () {
      const { openPool } = yield* loaded(() => import("../clients/drivers.js"))
      const pool = yield* openPool(clusterOf(place).oracle)
      yield* loaded(() => pool.query("SELECT name FROM accounts WHERE id = $1", [1]))
    }),
  routed: (place) => Effect.flatMap(routerOn(place), ({ client }) => client`SELECT name FROM accounts WHERE id = ${1}`),
  "routed, 2,000 plans": (place) =>
    Effect.flatMap(routerOn(place), ({ client, explain }) =>
      Effect.forEach(
        Array.from({ length: plansTotal }, (_, index) => index),
        (index) => explain(client.unsafe(`SELECT name, balance + ${index} AS more FROM accounts WHERE id = $1`, [1])),
        { discard: true }
      )
    )
}

const loaded = <A>(importing: () => Promise<A>) => Effect.promise(importing)

const routerOn = (place: Place) =>
  Effect.gen(function* () {
    const { openRouter } = yield* loaded(() => import("../clients/router.js"))
    const { topologyOf } = yield* loaded(() => import("../topology.js"))
    return yield* openRouter({ ...clusterOf(place), topology: topologyOf(place.size) })
  })

const measured = (contender: string, place: Place): Effect.Effect<Round, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const state = states[contender as keyof typeof states]
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    yield* state(place)
    const millis = performance.now() - startedAt
    const cpu = process.cpuUsage(cpuBefore)
    yield* Effect.sleep("100 millis")
    globalThis.gc?.()
    const { heapUsed, rss } = process.memoryUsage()
    return {
      perSecond: 1000 / millis,
      cpuMicros: cpu.user + cpu.system,
      p50Millis: millis,
      p99Millis: millis,
      peakMiB: rss / 2 ** 20,
      heapMiB: heapUsed / 2 ** 20
    }
  })

serve(({ contender, place }) => measured(contender, place))
