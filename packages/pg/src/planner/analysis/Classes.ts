/**
 * Columns that are equal under some claims.
 *
 * Enters: claims. Leaves: which columns are alike. Holds: they have one value; if they are of one family, it hashes alike
 * in all of them. An integer and a numeric are one number then, and hash apart.
 *
 * @since 0.1.0
 */
import type { Claim, ColumnId } from "./Model.js"

/** @since 0.1.0 @category models */
export interface Classes {
  readonly alike: (left: ColumnId, right: ColumnId) => boolean
  /** It is compared with a column, so it is not NULL. */
  readonly isJoined: (column: ColumnId) => boolean
  /** One column for all that are alike. */
  readonly representative: (column: ColumnId) => ColumnId
  /** The claims that made them. */
  readonly links: ReadonlyArray<Link>
}

type Link = Extract<Claim, { readonly _tag: "Same" | "Link" }>

/** @since 0.1.0 @category constructors */
export const make = (claims: ReadonlyArray<Claim>): Classes => {
  const links = claims.filter(isLink)
  const alike = makeUnion()
  for (const link of links) {
    if (link._tag === "Link") alike.unite(link.outer, link.inner)
    else alike.unite(link.left, link.right)
  }
  const joined = new Set(links.flatMap((link) => (link._tag === "Link" ? [] : [alike.find(link.left)])))
  return {
    isJoined: (column) => joined.has(alike.find(column)),
    alike: (left, right) => alike.find(left) === alike.find(right),
    representative: alike.find,
    links
  }
}

/**
 * The classes if these claims hold too.
 *
 * @since 0.1.0
 * @category combinators
 */
export const extend = (classes: Classes, claims: ReadonlyArray<Claim>): Classes =>
  claims.some(isLink) ? make([...classes.links, ...claims]) : classes

const isLink = (claim: Claim): claim is Link => claim._tag === "Same" || claim._tag === "Link"

const makeUnion = () => {
  const parents = new Map<ColumnId, ColumnId>()
  const find = (column: ColumnId): ColumnId => {
    let root = column
    for (let next = parents.get(root); next !== undefined; next = parents.get(root)) root = next
    return root
  }
  return {
    find,
    unite: (left: ColumnId, right: ColumnId): void => {
      const [one, other] = [find(left), find(right)]
      if (one !== other) parents.set(one, other)
    }
  }
}
