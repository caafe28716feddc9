/**
 * Chance from a seed: the same seed gives the same choices, on every machine.
 */
export interface Random {
  /** From 0 up to, and without, `below`. */
  readonly int: (below: number) => number
  readonly between: (from: number, to: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(all: ReadonlyArray<A>) => A
  /** One of several by weight. */
  readonly weighted: <A>(all: ReadonlyArray<readonly [weight: number, value: A]>) => A
  /** Up to `count` of them, in any order. */
  readonly some: <A>(all: ReadonlyArray<A>, count: number) => ReadonlyArray<A>
}

/** mulberry32: 32 bits of state, good enough to choose by. */
export const make = (seed: number): Random => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  const int = (below: number) => Math.floor(next() * below)
  const pick = <A>(all: ReadonlyArray<A>): A => {
    if (all.length === 0) throw new Error("nothing to pick from")
    return all[int(all.length)] as A
  }
  return {
    int,
    between: (from, to) => from + int(to - from + 1),
    chance: (probability) => next() < probability,
    pick,
    weighted: (all) => {
      let left = next() * all.reduce((sum, [weight]) => sum + weight, 0)
      for (const [weight, value] of all) {
        left -= weight
        if (left < 0) return value
      }
      return pick(all)[1]
    },
    some: (all, count) => {
      const rest = [...all]
      return Array.from({ length: Math.min(count, rest.length) }, () => rest.splice(int(rest.length), 1)[0] as never)
    }
  }
}

/** A seed for the nth thing made from a seed: neighbours do not resemble each other. */
export const derive = (seed: number, nth: number): number => {
  let mixed = (seed ^ Math.imul(nth + 1, 0x9e3779b1)) >>> 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b) >>> 0
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) >>> 0
  return (mixed ^ (mixed >>> 16)) >>> 0
}
