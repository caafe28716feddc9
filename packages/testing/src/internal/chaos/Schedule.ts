/**
 * Which fault comes when: drawn from a seed, so that a run can be made again.
 *
 * Enters: a seed, how many shards and router processes. Leaves: faults without end, of which a longer run takes more. Holds: the
 * same seed gives the same faults. What they meet depends on the machine all the same.
 */
import * as Random from "../fuzz/Random.js"

export const kinds = [
  "killServer",
  "stopServer",
  "pauseServer",
  "cutConnections",
  "stallNetwork",
  "muteNetwork",
  "terminateBackend",
  "killRouter"
] as const

export type Kind = (typeof kinds)[number]

export interface Fault {
  readonly nth: number
  readonly kind: Kind
  /** Number of the shard, or the place of a router process: from 0. */
  readonly target: number
  /** How long it lasts, or until what was killed is started again. 0: it is over at once. */
  readonly millis: number
  /** Which of a server's sessions, in the order of their processes. */
  readonly session: number
}

export interface Options {
  readonly seed: number
  readonly shards: number
  readonly routers: number
  readonly kinds: ReadonlyArray<Kind>
  readonly millisMax: number
}

export function* faults(options: Options): Generator<Fault, never> {
  const random = Random.make(options.seed)
  for (let nth = 0; ; nth++) {
    // As many draws for each kind: what one kind does not need is left.
    const kind = random.pick(options.kinds)
    const [shard, router] = [random.int(options.shards), random.int(options.routers)]
    const [millis, session] = [random.between(100, options.millisMax), random.int(1_000)]
    const isOver = kind === "cutConnections" || kind === "terminateBackend"
    yield { nth, kind, target: kind === "killRouter" ? router : shard, millis: isOver ? 0 : millis, session }
  }
}

export const format = ({ kind, millis, nth, session, target }: Fault): string => {
  const place = kind === "killRouter" ? `router ${target + 1}` : `shard_${target + 1}`
  const length = kind === "terminateBackend" ? `session ${session}` : millis === 0 ? "" : `${millis} ms`
  return `${String(nth + 1).padStart(4)} ${kind} ${place} ${length}`.trimEnd()
}
