/**
 * Named statements: which texts get a name, which of them may share a connection, and what to do when the server no
 * longer has what we think it has.
 *
 * Holds: a text is prepared from its second use on; a connection holds at most `max` names; names are unique to the
 * pool, so that a pooler between us and the server that mixes sessions answers "unknown name", never with another
 * statement; such an answer, or a plan that a schema change has made invalid, is answered by running the statement
 * once more without a name: neither has executed anything.
 */
import { randomBytes } from "node:crypto"
import type { PgBackend } from "./backend.js"
import type { PgQuery } from "./query.js"

/** Longer texts are mostly generated, and rarely come again. */
const textLengthMax = 10_000

/** After some uses PostgreSQL plans a named statement for lists of ten, which joins of thousands do not survive. */
const listMax = 100

/** More than that are a bulk of rows, and no short statement. */
const valuesMax = 1_000

const hasLongList = (values: ReadonlyArray<unknown>): boolean => {
  for (const value of values) if (Array.isArray(value) && value.length > listMax) return true
  return false
}

/** What is known of a text that has been used before. */
export interface KnownText {
  /** From its second use on. */
  name: string | undefined
  /** It took long, and has connections to itself until then; milliseconds of `performance.now`. */
  aloneUntil: number
  /** How often it did, without many quick ones between. */
  slow: number
  /** Uses since then. */
  quick: number
}

/** What may be prepared, and failed for its name or not. */
type Named = Pick<PgQuery, "name" | "failure" | "valueFailed">

/** How long a slow text is kept apart: at first, and at most. It doubles each time. */
const apartMillis = { first: 1_000, most: 60_000 }

/** After so many quick uses, one that took long is taken for the server's trouble, not for the text's own. */
const quickEnough = 100

export class PreparedNames {
  /** Texts seen lately, in two generations: what is not used while the younger fills up is forgotten with the elder. */
  private young = new Map<string, KnownText>()
  private old = new Map<string, KnownText>()
  private readonly prefix = `shardlayer_${randomBytes(6).toString("hex")}_`
  private count = 0

  constructor(private readonly max: number) {}

  /** Gives the query a name where it should have one. */
  name(backend: PgBackend, query: PgQuery): void {
    if (!query.preparable) return
    const known = this.used(query.text, query.values ?? [])
    if (known?.name === undefined) return
    query.evicts = this.hold(backend, known.name)
    query.name = known.name
  }

  /** A use of a text; undefined where it is never prepared. */
  used(text: string, values: ReadonlyArray<unknown>): KnownText | undefined {
    if (this.max === 0 || text.length > textLengthMax || hasLongList(values)) return undefined
    const known = this.find(text)
    if (known === undefined) {
      this.keep(text, { name: undefined, aloneUntil: 0, slow: 0, quick: 0 })
      return undefined
    }
    known.name ??= `${this.prefix}${++this.count}`
    return known
  }

  /** One that can be run by its name beside others: it has one, and did not take long. */
  shareable(text: string, values: ReadonlyArray<unknown>): KnownText | undefined {
    if (this.max === 0 || text.length > textLengthMax || values.length > valuesMax) return undefined
    const known = this.find(text)
    if (known?.name === undefined || hasLongList(values)) return undefined
    known.quick++
    return known.aloneUntil === 0 || known.aloneUntil < performance.now() ? known : undefined
  }

  /** It runs for longer than what shares connections may. If that is its habit, it is kept apart until that has ended. */
  takesLong(text: string): void {
    const known = this.find(text)
    if (known !== undefined && known.quick <= quickEnough) known.aloneUntil = Infinity
  }

  tookLong(text: string): void {
    const known = this.find(text)
    if (known === undefined) return
    const isHabit = known.quick <= quickEnough
    known.slow = isHabit ? known.slow + 1 : 0
    known.aloneUntil = isHabit
      ? performance.now() + Math.min(apartMillis.first * 2 ** (known.slow - 1), apartMillis.most)
      : 0
    known.quick = 0
  }

  /** The connection will hold this name; gives the one that it must give up for that. */
  hold(backend: PgBackend, name: string): string | undefined {
    const { prepared, shapes } = backend
    let evicted: string | undefined
    if (!prepared.delete(name) && prepared.size >= this.max) {
      for (const oldest of prepared) {
        prepared.delete(oldest)
        shapes.delete(oldest)
        evicted = oldest
        break
      }
    }
    prepared.add(name)
    return evicted
  }

  /** True: the query did not run because of its name; run it again without one. */
  isOutdated(backend: PgBackend, query: Named): boolean {
    const { failure, name } = query
    if (name === undefined || failure === undefined) return false
    if (!query.valueFailed && !isNameTrouble(failure)) return false
    // A failed Bind on our side has closed the statement, too.
    this.forget(backend, name)
    return !query.valueFailed && !backend.dead && backend.status === "I"
  }

  private forget(backend: PgBackend, name: string): void {
    backend.prepared.delete(name)
    backend.shapes.delete(name)
    delete backend.wire.parsedStatements[name]
  }

  private find(text: string): KnownText | undefined {
    const young = this.young.get(text)
    if (young !== undefined) return young
    const old = this.old.get(text)
    if (old !== undefined) {
      this.old.delete(text)
      this.keep(text, old)
    }
    return old
  }

  private keep(text: string, known: KnownText): void {
    if (this.young.size >= this.max * 2) {
      this.old = this.young
      this.young = new Map()
    }
    this.young.set(text, known)
  }
}

/** By the routine of the server's source as well as the code: 0A000 means many other things, and messages are translated. */
const isNameTrouble = (failure: unknown): boolean => {
  if (!(failure instanceof Error) || !("code" in failure)) return false
  const routine = "routine" in failure ? failure.routine : undefined
  switch (failure.code) {
    case "0A000":
      return routine === "RevalidateCachedQuery"
    case "26000":
    case "42P05":
      return true
    default:
      return false
  }
}
