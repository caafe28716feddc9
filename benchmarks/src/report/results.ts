/** What a run leaves: all that its report says is computed from this, then or later. */
import type { Machine } from "../machine.js"
import type { Options } from "../options.js"
import type { Measured, Result } from "../work.js"

export interface Results {
  readonly measuredAt: string
  readonly machine: Machine
  /** As `PostgreSQL 18.4, fsync on`. */
  readonly server: string
  /** Processes that wanted to run, averaged over a minute: before the first round, and the highest after a work. */
  readonly load: { readonly before: number; readonly highest: number }
  readonly seconds: number
  readonly options: Options
  readonly measured: ReadonlyArray<Measured>
}

export const workOf = ({ measured }: Pick<Results, "measured">, id: string): Measured | undefined =>
  measured.find((work) => work.id === id)

export const contenderOf = (work: Measured, name: string): Result | undefined =>
  work.results.find((result) => result.name === name)
