/**
 * Named statements: which texts get a name, and what to do when the server no longer has what we think it has.
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

const hasLongList = ({ values }: PgQuery): boolean =>
  (values ?? []).some((value) => Array.isArray(value) && value.length > listMax)

export class PreparedNames {
  /** Texts seen lately, least recently first; without a name they were seen once. */
  private readonly names = new Map<string, string | undefined>()
  private readonly prefix = `shardlayer_${randomBytes(6).toString("hex")}_`
  private count = 0

  constructor(private readonly max: number) {}

  /** Gives the query a name where it should have one. */
  name(backend: PgBackend, query: PgQuery): void {
    if (this.max === 0 || !query.preparable || query.text.length > textLengthMax || hasLongList(query)) return
    const name = this.nameOf(query.text)
    if (name === undefined) return
    const { prepared } = backend
    if (!prepared.delete(name) && prepared.size >= this.max) {
      for (const oldest of prepared) {
        prepared.delete(oldest)
        query.evicts = oldest
        break
      }
    }
    prepared.add(name)
    query.name = name
  }

  /** True: the query did not run because of its name; run it again without one. */
  isOutdated(backend: PgBackend, query: PgQuery): boolean {
    const { failure, name } = query
    if (name === undefined || failure === undefined) return false
    if (!query.valueFailed && !isNameTrouble(failure)) return false
    // A failed Bind on our side has closed the statement, too.
    this.forget(backend, name)
    return !query.valueFailed && !backend.dead && backend.status === "I"
  }

  private forget(backend: PgBackend, name: string): void {
    backend.prepared.delete(name)
    delete backend.wire.parsedStatements[name]
  }

  private nameOf(text: string): string | undefined {
    const { names } = this
    const known = names.get(text)
    if (known !== undefined) {
      names.delete(text)
      names.set(text, known)
      return known
    }
    const name = names.has(text) ? `${this.prefix}${++this.count}` : undefined
    names.delete(text)
    names.set(text, name)
    if (names.size > this.max * 4) {
      for (const oldest of names.keys()) {
        names.delete(oldest)
        break
      }
    }
    return name
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
