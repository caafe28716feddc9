/**
 * What must never be seen, each with what shows it.
 */
import type { ListRead, ListsRead, Told, TotalRead } from "./Event.js"

/** A transaction, what its program was told, and when. Nothing told: its process was killed. */
export interface Attempt {
  readonly id: string
  readonly begunAt: number
  readonly told?: Told
  readonly toldAt?: number
  readonly why?: string
  readonly transaction?: string
}

type Reading = ListRead | ListsRead

export type Violation =
  /** Acknowledged, and not there. */
  | { readonly _tag: "Lost"; readonly attempt: Attempt }
  /** Told as rolled back, and there. */
  | { readonly _tag: "CommittedAfterAll"; readonly attempt: Attempt }
  | { readonly _tag: "HalfCommitted"; readonly attempt: Attempt; readonly there: number; readonly of: number }
  | {
      readonly _tag: "HalfVisible"
      readonly attempt: Attempt
      readonly missing: ReadonlyArray<number>
      readonly read: ListsRead
    }
  /** `read` undefined: at the end. */
  | { readonly _tag: "Duplicated"; readonly key: number; readonly element: number; readonly read: Reading | undefined }
  /** Nobody has tried to write it, or not there. */
  | { readonly _tag: "Unattempted"; readonly what: string }
  /** Acknowledged before the read began, and not seen by it. */
  | {
      readonly _tag: "Unseen"
      readonly attempt: Attempt
      readonly key: number
      readonly element: number
      readonly read: Reading
    }
  /** A transaction does not see what it wrote itself. */
  | { readonly _tag: "OwnUnseen"; readonly read: ListRead }
  /** A read that began after another had ended sees less. */
  | {
      readonly _tag: "Backwards"
      readonly key: number
      readonly length: number
      readonly seen: number
      readonly read: Reading
    }
  /** Two reads of one list of which neither continues the other; `read` undefined: what was seen is not there at the end. */
  | {
      readonly _tag: "Forked"
      readonly key: number
      readonly seen: ReadonlyArray<number>
      readonly items: ReadonlyArray<number>
      readonly read: Reading | undefined
    }
  | { readonly _tag: "WrongTotal"; readonly read: TotalRead; readonly expected: number }
  | { readonly _tag: "WrongTotalAtEnd"; readonly total: number; readonly expected: number }
  | { readonly _tag: "WrongBalance"; readonly account: number; readonly balance: number; readonly expected: number }
  | { readonly _tag: "WrongAccounts"; readonly found: number; readonly expected: number }
  /** What is still prepared when all has been healed for long. */
  | { readonly _tag: "InDoubt"; readonly left: ReadonlyArray<string>; readonly afterMillis: number }
  /** A router logged an error, as it does where somebody ended a branch against its decision. */
  | { readonly _tag: "Alarm"; readonly text: string }
  /** A router failed with what is no error of its own, or its process ended by itself. */
  | { readonly _tag: "Died"; readonly text: string }
