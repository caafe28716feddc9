/** All suites, in the order in which they run and are printed. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Lab } from "../lab.js"
import type { Work } from "../work.js"
import * as Copy from "./copy.js"
import * as Insert from "./insert.js"
import * as Many from "./many.js"
import * as Memory from "./memory.js"
import * as Planning from "./planning.js"
import * as PointRead from "./pointRead.js"
import * as PointWrite from "./pointWrite.js"
import * as Pools from "./pools.js"
import * as Scatter from "./scatter.js"
import * as Slow from "./slow.js"
import * as Stream from "./stream.js"
import * as Transactions from "./transactions.js"

export interface Suite {
  readonly name: string
  /** Opens what its works need, for the scope that they run in. */
  readonly make: (lab: Lab) => Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope>
}

export const suites: ReadonlyArray<Suite> = [
  PointRead,
  PointWrite,
  Planning,
  Pools,
  Scatter,
  Stream,
  Insert,
  Copy,
  Transactions,
  Slow,
  Many,
  Memory
]
