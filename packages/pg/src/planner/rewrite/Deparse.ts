/**
 * From a tree back to text, proven: what is written is parsed again and must be the same tree.
 *
 * Enters: a tree, perhaps made here. Leaves: its text, or a refusal where the deparser loses something or does not know a
 * node. Holds: a text that leaves here means what the tree means.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import * as Either from "effect/Either"
import type { Parser } from "../Parser.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import { inParentheses, plain } from "./Deparser.js"
import * as Tree from "./Tree.js"

export {
  /** @since 0.1.0 @category functions */
  quoted
} from "./Deparser.js"

/** @since 0.1.0 @category functions */
export const deparse = (parser: Parser, tree: Node): string =>
  // The deparser leaves out parentheses here and there, as in `(a AND b) IS NULL`: all may have them.
  written(parser, tree, plain) ?? written(parser, tree, inParentheses) ?? refuse(draft("SL1103", {}, undefined))

const written = (parser: Parser, tree: Node, write: (tree: Node) => string): string | undefined => {
  const sql = textOf(tree, write)
  if (sql === undefined) return undefined
  const again = parser.parse(sql)
  const isSame =
    Either.isRight(again) && again.right.statements.length === 1 && Tree.isSame(again.right.statements[0]?.tree, tree)
  return isSame ? sql : undefined
}

/** Undefined: it met a node that it does not know. */
const textOf = (tree: Node, write: (tree: Node) => string): string | undefined => {
  try {
    return write(tree)
  } catch (error) {
    // Deeper than the stack, which is another refusal.
    if (error instanceof RangeError) throw error
    return undefined
  }
}
