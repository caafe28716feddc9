/**
 * Trees with parameters of several kinds, written as fragments with `$1`, `$2`, … in order.
 *
 * Enters: a tree in which the program's parameters keep their numbers, and others have numbers given here. Leaves: a
 * `Fragment`. Holds: no gap in the numbers (a gap fails), each parameter cast to the type it has in the program's own
 * text, so that standing elsewhere does not give it another one.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import type { Fragment, ParamSource } from "@shardlayer/core/plan/Merge"
import * as Ast from "../Ast.js"
import type { Parser } from "../Parser.js"
import { draft } from "../Refusal.js"
import { refuse } from "../SchemaView.js"
import type { TypeRef } from "../Types.js"
import * as Deparse from "./Deparse.js"
import * as Tree from "./Tree.js"

/**
 * Numbers beyond those that PostgreSQL allows stand for the router's own parameters until they are written.
 */
const ownFrom = 100_000

/** @since 0.1.0 @category models */
export interface OwnParams {
  /** A node that stands for the value, cast to its type. */
  readonly node: (source: ParamSource, type: ReadonlyArray<string>) => Node
  readonly sourceOf: (number: number) => ParamSource | undefined
}

/** @since 0.1.0 @category constructors */
export const ownParams = (): OwnParams => {
  const sources: Array<ParamSource> = []
  return {
    node: (source, type) => {
      const known = sources.findIndex((other) => JSON.stringify(other) === JSON.stringify(source))
      const at = known < 0 ? sources.push(source) - 1 : known
      return Tree.cast(Tree.param(ownFrom + at), type)
    },
    sourceOf: (number) => sources[number - ownFrom]
  }
}

/** @since 0.1.0 @category constructors */
export const fragment = (parser: Parser, tree: Node, own: OwnParams, typeOf: (index: number) => TypeRef): Fragment => {
  const numbers: Array<number> = []
  const placed = (number: number): Node => {
    const known = numbers.indexOf(number)
    return Tree.param((known < 0 ? numbers.push(number) - 1 : known) + 1)
  }
  const written = Tree.replaced(tree, (node) => {
    const reference = Ast.as("ParamRef", node)
    if (reference === undefined) return undefined
    const number = reference.number ?? 0
    if (number >= ownFrom) return placed(number)
    const { names } = typeOf(number)
    if (names.length === 0) return refuse(draft("SL4018", { what: `parameter $${number}` }, Ast.location(reference)))
    return Tree.cast(placed(number), names)
  })
  return {
    sql: Deparse.deparse(parser, written),
    params: numbers.map((number): ParamSource => {
      const source = own.sourceOf(number)
      return number < ownFrom || source === undefined ? { _tag: "Given", index: number } : source
    })
  }
}
