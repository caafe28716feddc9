/** What all clients have in common, and where they connect to. */
import type * as Redacted from "effect/Redacted"

/** Of every pool, unless a suite says otherwise. */
export const maxConnections = 10

/** Longer than a contender waits for its turn: nobody is to connect anew in a round. */
export const idleTimeoutMillis = 120_000

/** What a client needs to know of a server. */
export interface Address {
  readonly id: string
  readonly url: Redacted.Redacted
}
