/**
 * Walks through the worlds of a model: all of them, or one run drawn by a seed.
 *
 * Leaves: how many it met, how runs end, and the first world that breaks something, with the moves that led there: the
 * fewest there are when all are walked.
 */
import { setImmediate } from "node:timers/promises"
import * as Moves from "./Moves.js"
import * as World from "./World.js"

export interface Found {
  readonly violation: World.Violation
  /** Move by move. */
  readonly trace: ReadonlyArray<string>
}

export interface Explored {
  readonly states: number
  readonly moves: number
  /** What clients had been told when nothing was due any more, and how often: one letter a transaction. */
  readonly ends: ReadonlyMap<string, number>
  readonly violations: ReadonlySet<World.Violation>
  readonly found: Found | undefined
}

/**
 * Every world that can be reached, each once, the nearest first; until one breaks something, or what is `wanted`; or
 * `everything` that they break.
 */
export const all = async (model: World.Model, wanted?: World.Violation | "everything"): Promise<Explored> => {
  const first = Moves.initial(model)
  const ids = new Map([[World.key(first), 0]])
  const cameFrom: Array<number> = [0]
  const cameBy: Array<Moves.Move | undefined> = [undefined]
  const ends = new Map<string, number>()
  const broken = new Set<World.Violation>()
  let moves = 0
  const trace = (id: number): ReadonlyArray<string> => {
    const by = cameBy[id]
    return by === undefined ? [] : [...trace(cameFrom[id]!), show(model, by)]
  }
  let frontier = [{ id: 0, world: first }]
  while (frontier.length > 0) {
    // A process that never listens is taken for dead by its test runner.
    await setImmediate()
    const following: typeof frontier = []
    for (const { id, world } of frontier) {
      const due = Moves.due(model, world)
      if (due.length === 0) count(ends, toldKey(world))
      const violations = violationsIn(model, world, due.length === 0)
      for (const each of violations) broken.add(each)
      const violation = violations.find((found) => wanted === undefined || found === wanted)
      if (violation !== undefined) {
        return { states: ids.size, moves, ends, violations: broken, found: { violation, trace: trace(id) } }
      }
      if (world.broken !== undefined) continue
      for (const move of [...due, ...Moves.optional(model, world), ...Moves.faults(model, world)]) {
        moves++
        const next = Moves.step(model, world, move)
        const key = World.key(next)
        if (ids.has(key)) continue
        ids.set(key, cameBy.length)
        following.push({ id: cameBy.length, world: next })
        cameFrom.push(id)
        cameBy.push(move)
      }
    }
    frontier = following
  }
  return { states: ids.size, moves, ends, violations: broken, found: undefined }
}

const violationsIn = (model: World.Model, world: World.World, isOver: boolean): ReadonlyArray<World.Violation> => {
  const found = World.violations(model, world)
  return isOver ? [...found, ...World.violationsAtEnd(model, world)] : found
}

export interface Run {
  readonly moves: number
  readonly end: string
  readonly found: Found | undefined
}

/** After so many moves nothing happens any more but what has to. */
const freeMovesMax = 80
/** A run that is not over by then never ends. */
const movesMax = 400

/** One run, the same for the same seed. How much fails, and how much is late, is drawn as well. */
export const one = (model: World.Model, seed: number): Run => {
  const random = randomOf(seed)
  const chances = { fault: [20, 100, 300][random(3)]!, optional: [100, 300, 700][random(3)]! }
  const taken: Array<Moves.Move> = []
  let world = Moves.initial(model)
  const fails = (violation: World.Violation): Run => ({
    moves: taken.length,
    end: toldKey(world),
    found: { violation, trace: taken.map((move) => show(model, move)) }
  })
  while (taken.length < movesMax) {
    const due = Moves.due(model, world)
    const isOver = due.length === 0
    const [violation] = violationsIn(model, world, isOver)
    if (violation !== undefined) return fails(violation)
    if (isOver) return { moves: taken.length, end: toldKey(world), found: undefined }
    const move = draw(model, world, due, random, taken.length < freeMovesMax ? chances : none)
    taken.push(move)
    world = Moves.step(model, world, move)
  }
  return fails("stuck")
}

type Random = (below: number) => number

/** Of a thousand. */
interface Chances {
  readonly fault: number
  readonly optional: number
}

const none: Chances = { fault: 0, optional: 0 }

/** Each kind has a chance of its own, or the late commands of a long run would outnumber the others. */
const draw = (
  model: World.Model,
  world: World.World,
  due: ReadonlyArray<Moves.Move>,
  random: Random,
  chances: Chances
): Moves.Move => {
  if (random(1_000) < chances.fault) {
    const faults = Moves.faults(model, world)
    if (faults.length > 0) return faults[random(faults.length)]!
  }
  if (random(1_000) < chances.optional) {
    const optional = Moves.optional(model, world)
    if (optional.length > 0) return optional[random(optional.length)]!
  }
  return due[random(due.length)]!
}

/** Mulberry32: 32 bits of state, so that a seed is all there is to say about a run. */
const randomOf = (seed: number): Random => {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) % below
  }
}

/** C: committed, c: with branches pending, R and r: rolled back, U: unknown, X: the router crashed before it could say. */
const toldKey = ({ told }: World.World): string => told.map(letter).join("")

const letter = (told: World.World["told"][number]): string => {
  if (told === undefined) return "X"
  return told.pending.length === 0 || told._tag === "Unknown" ? told._tag.charAt(0) : told._tag.charAt(0).toLowerCase()
}

const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1)

const show = (model: World.Model, move: Moves.Move): string => {
  switch (move._tag) {
    case "Carry":
    case "Lose":
    case "Refuse": {
      const { act, by, shard, transaction } = move.message
      const from = by === World.nobody ? "late" : by < model.transactions.length ? "router" : "recovery"
      return `${move._tag} ${from} ${act} of ${transaction} on ${model.ids[shard]}`
    }
    case "EndSession":
    case "KillSession":
      return `${move._tag} of ${move.transaction} on ${model.ids[move.shard]}`
    case "Recover":
      return `Recover ${move.transaction} on ${move.branches.map((shard) => model.ids[shard]).join(", ")}`
    case "TakeGate":
    case "CrashRouter":
      return `${move._tag} of ${move.transaction}`
    case "CrashRecovery":
      return `${move._tag} ${move.process}`
    case "CleanBegin":
    case "CrashServer":
      return `${move._tag} on ${model.ids[move.shard]}`
    case "Read":
    case "CleanGoOn":
      return move._tag
  }
}
