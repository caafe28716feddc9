/**
 * What router processes report: a line of JSON each, in the order of their times.
 *
 * Holds: what a process is about to do is reported before it is begun, so that what a killed one did is known to be
 * unknown; what it was told is reported after it was told. Times are milliseconds of a clock that all processes of the
 * machine share.
 */

/** What one side of a transfer does to an account. */
export interface Delta {
  readonly account: number
  readonly amount: number
}

/** An element of its own kind, put at the end of a list. */
export interface Append {
  readonly key: number
  readonly element: number
}

export type Told = "committed" | "rolledBack" | "unknown" | "incomplete"

/** In a view of all shards, or as a plain statement over all of them. */
export type Auditor = "snapshot" | "scatter"

export type Event = { readonly at: number } & (
  | { readonly _tag: "Beat" }
  | { readonly _tag: "TransferBegun"; readonly id: string; readonly deltas: ReadonlyArray<Delta> }
  | { readonly _tag: "AppendsBegun"; readonly id: string; readonly appends: ReadonlyArray<Append> }
  /** `transaction`: what `router.outcome` takes. */
  | {
      readonly _tag: "Told"
      readonly id: string
      readonly told: Told
      readonly why?: string | undefined
      readonly transaction?: string | undefined
    }
  | ListRead
  | ListsRead
  | TotalRead
  | { readonly _tag: "ReadFailed"; readonly by: Auditor | "writer"; readonly why: string }
  | { readonly _tag: "Logged"; readonly level: string; readonly text: string }
  /** A mistake of the library's own: no typed error. */
  | { readonly _tag: "Died"; readonly why: string }
  /** Asked to stop, it has ended all that it had begun. */
  | { readonly _tag: "Idle" }
)

/** One list: inside a transaction that has put `own` at its end, or just after it was told to be committed. */
export interface ListRead {
  readonly _tag: "ListRead"
  readonly at: number
  readonly id: string
  readonly begunAt: number
  readonly key: number
  readonly items: ReadonlyArray<number>
  readonly own: ReadonlyArray<number>
}

/** All lists whose keys are at least `from` and below `to`. */
export interface ListsRead {
  readonly _tag: "ListsRead"
  readonly at: number
  readonly by: Auditor
  readonly begunAt: number
  readonly from: number
  readonly to: number
  readonly lists: ReadonlyArray<readonly [key: number, items: ReadonlyArray<number>]>
}

export interface TotalRead {
  readonly _tag: "TotalRead"
  readonly at: number
  readonly by: Auditor
  readonly begunAt: number
  readonly accounts: number
  readonly total: number
}

/** The clock that the processes of a machine share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6
