/**
 * What was worked out once per text, bounded in entries.
 *
 * Two generations: a hit in the old one moves to the young one, and when the young one is full it becomes the old one.
 * So a hit costs one `Map` lookup, what is used stays, and at most twice `entriesMax` texts are held. Everything goes
 * when the planner's version moves. Texts longer than `textMax` are not kept: a generated INSERT of 10,000 rows is
 * seldom seen twice.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 @category models */
export interface PlanCache<A> {
  readonly get: (sql: string, version: number) => A | undefined
  readonly set: (sql: string, version: number, value: A) => void
  readonly size: () => number
  readonly hits: () => number
  readonly misses: () => number
}

/** @since 0.1.0 @category models */
export interface Options {
  /** Entries of one generation. */
  readonly entriesMax: number
  /** UTF-16 code units of a text. */
  readonly textMax: number
}

/** @since 0.1.0 @category constructors */
export const make = <A>(options: Options): PlanCache<A> => {
  let young = new Map<string, A>()
  let old = new Map<string, A>()
  let known = -1
  let hits = 0
  let misses = 0

  const keep = (sql: string, value: A): void => {
    if (young.size >= options.entriesMax) {
      old = young
      young = new Map()
    }
    young.set(sql, value)
  }
  const forget = (version: number): void => {
    if (version === known) return
    known = version
    young = new Map()
    old = new Map()
  }

  return {
    get: (sql, version) => {
      forget(version)
      const found = young.get(sql)
      if (found !== undefined) {
        hits++
        return found
      }
      const older = old.get(sql)
      if (older === undefined) {
        misses++
        return undefined
      }
      hits++
      old.delete(sql)
      keep(sql, older)
      return older
    },
    set: (sql, version, value) => {
      // Planned under a version that is over: the next statement plans again.
      if (version < known || sql.length > options.textMax) return
      forget(version)
      old.delete(sql)
      keep(sql, value)
    },
    size: () => young.size + old.size,
    hits: () => hits,
    misses: () => misses
  }
}
