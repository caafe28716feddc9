/**
 * The parse tree of libpg-query, opened for exhaustive matching.
 *
 * Enters: `{ SelectStmt: {...} }` nodes as the parser gives them, protobuf's JSON with defaults left out. Leaves:
 * `{ _tag: "SelectStmt", node: {...} }`. Nothing is changed or lost on the way.
 *
 * @since 0.1.0
 */
import type { Node, RangeVar } from "libpg-query"

type TagOf<N> = N extends N ? keyof N : never

/** @since 0.1.0 @category models */
export type Tag = TagOf<Node>

/** @since 0.1.0 @category models */
export type Body<T extends Tag> = Extract<Node, Record<T, unknown>>[T]

/** @since 0.1.0 @category models */
export type Opened = { [T in Tag]: { readonly _tag: T; readonly node: Body<T> } }[Tag]

/** @since 0.1.0 @category getters */
export const open = (node: Node): Opened => {
  for (const tag in node) {
    // The one cast of the parse tree: a node is an object with its tag as only property.
    return { _tag: tag, node: (node as Record<string, unknown>)[tag] } as Opened
  }
  throw new Error("the parser gave a node without a tag")
}

/**
 * The node's content if it has this tag.
 *
 * @since 0.1.0
 * @category getters
 */
export const as = <T extends Tag>(tag: T, node: Node | undefined): Body<T> | undefined => {
  if (node === undefined) return undefined
  const opened = open(node)
  return opened._tag === tag ? (opened.node as Body<T>) : undefined
}

/**
 * The strings of a qualified name, outermost first.
 *
 * @since 0.1.0
 * @category getters
 */
export const names = (nodes: ReadonlyArray<Node> | undefined): ReadonlyArray<string> =>
  (nodes ?? []).map((node) => as("String", node)?.sval ?? "")

/**
 * The byte offset that a node carries; a location of 0 is left out by the parser.
 *
 * @since 0.1.0
 * @category getters
 */
export const location = (node: { readonly location?: number } | undefined): number | undefined => {
  if (node === undefined) return undefined
  const at = node.location ?? 0
  return at < 0 ? undefined : at
}

/**
 * Where a node begins, as far as it or something in it says so.
 *
 * @since 0.1.0
 * @category getters
 */
export const locationOf = (node: Node | undefined): number | undefined => {
  if (node === undefined) return undefined
  const body: unknown = open(node).node
  return firstLocation(body)
}

const firstLocation = (value: unknown): number | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  let least: number | undefined
  for (const [key, child] of Object.entries(value)) {
    const found =
      key === "location" && typeof child === "number" ? (child < 0 ? undefined : child) : firstLocation(child)
    if (found !== undefined && (least === undefined || found < least)) least = found
  }
  return least
}

/** @since 0.1.0 @category getters */
export const relationName = (relation: RangeVar): string =>
  relation.schemaname === undefined ? (relation.relname ?? "") : `${relation.schemaname}.${relation.relname ?? ""}`
