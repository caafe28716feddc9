/**
 * What an executed statement holds, however deep: writes, calls, row locks, parameters.
 *
 * Enters: a tree. Leaves: everything of these kinds in it. Holds: nothing is skipped, because the walk knows no node
 * but those it looks for.
 *
 * @since 0.1.0
 */
import type { DeleteStmt, FuncCall, InsertStmt, IntoClause, MergeStmt, Node, UpdateStmt } from "libpg-query"

/** @since 0.1.0 @category models */
export type Write =
  | { readonly _tag: "Insert"; readonly node: InsertStmt }
  | { readonly _tag: "Update"; readonly node: UpdateStmt }
  | { readonly _tag: "Delete"; readonly node: DeleteStmt }
  | { readonly _tag: "Merge"; readonly node: MergeStmt }

/** @since 0.1.0 @category models */
export interface Param {
  readonly number: number
  /** Its byte offset: the parser may put one parameter into several nodes. */
  readonly location: number
}

/** @since 0.1.0 @category models */
export interface Contents {
  readonly writes: ReadonlyArray<Write>
  readonly calls: ReadonlyArray<FuncCall>
  /** SELECT INTO. */
  readonly into: ReadonlyArray<IntoClause>
  readonly locksRows: boolean
  /** EXECUTE inside of EXPLAIN or CREATE TABLE AS. */
  readonly executes: boolean
  readonly params: ReadonlyArray<Param>
}

/** The node of a `Write` is found by the shape of its wrapper, as in `Ast`. */
const writeOf = (value: object): Write | undefined => {
  if ("InsertStmt" in value) return { _tag: "Insert", node: value.InsertStmt as InsertStmt }
  if ("UpdateStmt" in value) return { _tag: "Update", node: value.UpdateStmt as UpdateStmt }
  if ("DeleteStmt" in value) return { _tag: "Delete", node: value.DeleteStmt as DeleteStmt }
  return "MergeStmt" in value ? { _tag: "Merge", node: value.MergeStmt as MergeStmt } : undefined
}

/** @since 0.1.0 @category getters */
export const of = (tree: Node): Contents => {
  const writes: Array<Write> = []
  const calls: Array<FuncCall> = []
  const into: Array<IntoClause> = []
  const params: Array<Param> = []
  let locksRows = false
  let executes = false
  // A stack of our own: trees may be deeper than the machine's.
  const open: Array<unknown> = [tree]
  while (open.length > 0) {
    const value = open.pop()
    if (typeof value !== "object" || value === null) continue
    const write = writeOf(value)
    if (write !== undefined) writes.push(write)
    if ("FuncCall" in value) calls.push(value.FuncCall as FuncCall)
    if ("intoClause" in value) into.push(value.intoClause as IntoClause)
    if ("LockingClause" in value) locksRows = true
    if ("ExecuteStmt" in value) executes = true
    if ("ParamRef" in value) {
      const { location, number } = value.ParamRef as { readonly number?: number; readonly location?: number }
      params.push({ number: number ?? 0, location: location ?? 0 })
    }
    for (const child of Object.values(value)) open.push(child)
  }
  return { writes, calls, into, locksRows, executes, params }
}
