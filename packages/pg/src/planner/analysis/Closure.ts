/**
 * Which keys can a row have, if it is to matter? And which rows are sure to share a shard?
 *
 * A row of leaf X *matters* if, for some contents of all tables, taking it away changes the answer. Rows that do not
 * matter may be missing: a shard that holds all rows that matter answers for all. Taken away one after another, so a
 * claim made for any contents holds for all of them together.
 *
 * Proof sketch. Let x be a row of X that matters, in block B.
 * - WHERE and inner ON of B: x changes the answer through a row combination that satisfies them, so their facts hold
 *   for it. A comparison that is satisfied has no NULL on either side.
 * - `L LEFT JOIN R ON p`, X in R: x appears or disappears in a pair (l, x) with p true, and in its place (l, NULL) may
 *   disappear or appear. One of both must satisfy the rest. What the rest says of l holds for l either way; if it
 *   compares R's columns, (l, NULL) fails it, so (l, x) satisfies all. So p, and the facts inside R, hold (X is in the
 *   guard), and so do the facts of the rest. Only IS NULL (`NotDistinct`) may hold for (l, NULL) and not for (l, x): it
 *   counts if something else in the rest demands that R is real, or if it stands inside of the guard itself.
 * - X in L: p may be false for every r, so p and the facts inside R count only if the rest demands that R is real: an
 *   active comparison of a column of R (`Real`, `Same`, `Is`...). This is the fixpoint below. FULL JOIN has both guards.
 * - OR: one of its arms holds, for one and the same assignment of rows as the rest. What all arms say holds; R is real
 *   if each arm demands it. An arm satisfied by (l, NULL) compares no columns of R, so what it says holds for l.
 * - Derived tables: a row of D stems from a combination inside of it that satisfies D's facts, unless D aggregates
 *   without GROUP BY or is a set operation (`exports`). From inside, x changes only D's rows with equal plain output
 *   columns, so what the outside says of such a column, IS NULL too, holds for x, unless D looks at other rows to
 *   decide which ones come out (LIMIT, window, DISTINCT ON, columns that are not grouped by): a `Link` that does not
 *   `import`.
 * - Subqueries in expressions: x changes the value for some outer row that satisfies the outer facts, unless the outer
 *   block gives a row anyway (`Sight`). EXISTS and IN at the top of WHERE are derived tables joined to it.
 * - CTEs are copied to each reference: a row matters if it matters for one of the copies, and each copy is a leaf.
 * All of these facts hold for one common assignment of rows, so their closure under equality holds too.
 *
 * Concatenation. Let A be a leaf that is real in every row of the answer, and whose key the outermost FROM list sees
 * (through derived tables that hand it on both ways). The statement is the concatenation over shards s of "the
 * statement, and A's key lives on s". If for every leaf X the active facts say X.key = A.key, then rows of X on other
 * shards do not matter for that, and it can run on s alone.
 *
 * @since 0.1.0
 */
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as Classes from "./Classes.js"
import { isContradiction, limits } from "./KeyLimits.js"
import type { Analyzed, Block, BlockId, Claim, ColumnId, ColumnInfo, Fact, GuardId, RelationId } from "./Model.js"

/**
 * From where the facts are looked at: a leaf's row, or (without `relation`) a row that comes out of a block.
 *
 * @since 0.1.0
 * @category models
 */
export interface Viewpoint {
  readonly block: BlockId
  readonly relation?: RelationId
}

/** What one active fact allows a column: one of the operands, or one of an array parameter's elements. */
type Choice =
  | { readonly _tag: "Operands"; readonly operands: ReadonlyArray<Operand> }
  | { readonly _tag: "Elements"; readonly param: number }

/** @since 0.1.0 @category models */
export interface Closure {
  /** The facts contradict each other: nothing matters. */
  readonly never: boolean
  /** They are equal and hash alike. */
  readonly same: (left: ColumnId, right: ColumnId) => boolean
  readonly choices: (column: ColumnId) => ReadonlyArray<Choice>
  readonly isGuardActive: (guard: GuardId) => boolean
  readonly classes: Classes.Classes
  /** The claims that hold. */
  readonly claims: ReadonlyArray<Claim>
  /** It is a leaf's row, not one that comes out of a block. */
  readonly isLeaf: boolean
}

/** @since 0.1.0 @category functions */
export const closure = (analyzed: Analyzed, viewpoint: Viewpoint): Closure => {
  const path = pathOf(analyzed, viewpoint)
  const guards = activeGuards(analyzed, path)
  const pending = new Set(analyzed.facts.filter((fact) => isVisible(analyzed, path, fact)))
  const active: Array<Fact> = []
  for (let grown = true; grown;) {
    grown = false
    for (const fact of pending) {
      if (!fact.guards.every(guards.isActive)) continue
      pending.delete(fact)
      active.push(fact)
      for (const relation of realRelations(analyzed, fact.claim)) guards.demand(relation, fact.guards)
      grown = true
    }
  }
  const claims = active.flatMap(({ claim, guards: inside }) =>
    guards.isSure(inside) ? [claim] : without(claim, isLoose)
  )
  const classes = Classes.make(claims)
  return {
    never: isContradiction(classes, claims, (column) => columnAt(analyzed, column)),
    same: (left, right) => isSame(analyzed, classes, left, right),
    choices: (column) => choicesOf(analyzed, classes, claims, column),
    isGuardActive: guards.isActive,
    classes,
    claims,
    isLeaf: viewpoint.relation !== undefined
  }
}

interface Path {
  /** The blocks from the viewpoint to the outermost one; true where the block's own facts are seen. */
  readonly seen: ReadonlyMap<BlockId, boolean>
  /** The viewpoint's relation, and the place of each block in its parent. */
  readonly members: ReadonlySet<RelationId>
}

const pathOf = (analyzed: Analyzed, viewpoint: Viewpoint): Path => {
  const seen = new Map<BlockId, boolean>([[viewpoint.block, true]])
  const members = new Set<RelationId>(viewpoint.relation === undefined ? [] : [viewpoint.relation])
  let open = true
  for (let parent = analyzed.blocks[viewpoint.block]?.parent; parent !== undefined;) {
    if (parent.sees === "nothing") open = false
    seen.set(parent.block, open && parent.sees === "all")
    members.add(parent.position)
    parent = analyzed.blocks[parent.block]?.parent
  }
  return { seen, members }
}

/** A fact of a block beside or below the path is seen if each block up to the path exports it. */
const isVisible = (analyzed: Analyzed, path: Path, fact: Fact): boolean => {
  if (fact.claim._tag === "Link" && !(path.seen.has(fact.claim.inside) ? fact.claim.imports : fact.claim.exports)) {
    return false
  }
  for (let block: BlockId | undefined = fact.block; block !== undefined;) {
    const seen = path.seen.get(block)
    if (seen !== undefined) return seen
    const info: Block | undefined = analyzed.blocks[block]
    if (info === undefined || !info.exports) return false
    block = info.parent?.block
  }
  return false
}

/**
 * A guard is active if the viewpoint is in it, or if a fact outside of it demands that its relations are real. Only the
 * latter rules the NULL-extended row out.
 */
const activeGuards = (analyzed: Analyzed, path: Path) => {
  const [around, demanded] = [new Set<GuardId>(), new Set<GuardId>()]
  const guardsOf = new Map<RelationId, Array<GuardId>>()
  for (const [guard, { relations }] of analyzed.guards.entries()) {
    for (const relation of relations) {
      guardsOf.set(relation, [...(guardsOf.get(relation) ?? []), guard])
      if (path.members.has(relation)) around.add(guard)
    }
  }
  return {
    isActive: (guard: GuardId) => around.has(guard) || demanded.has(guard),
    demand: (relation: RelationId, inside: ReadonlyArray<GuardId>) => {
      for (const guard of guardsOf.get(relation) ?? []) if (!inside.includes(guard)) demanded.add(guard)
    },
    /** What stands inside of these guards is said of the viewpoint's own row, not of NULLs in its place. */
    isSure: (inside: ReadonlyArray<GuardId>) =>
      [...around].every((guard) => inside.includes(guard) || demanded.has(guard))
  }
}

const columnAt = (analyzed: Analyzed, column: ColumnId): ColumnInfo => {
  const found = analyzed.columns[column]
  if (found === undefined) throw new Error(`a claim names column ${column}, which was never made`)
  return found
}

/** The relations that must be real for the claim to hold. A link is an identity: NULL on both sides fits it. */
const realRelations = (analyzed: Analyzed, claim: Claim): ReadonlyArray<RelationId> => {
  const relationOf = (column: ColumnId) => columnAt(analyzed, column).relation
  switch (claim._tag) {
    case "Same":
      return [relationOf(claim.left), relationOf(claim.right)]
    case "Is":
    case "AnyOf":
    case "Compared":
      return [relationOf(claim.column)]
    case "Tuples":
      return claim.columns.map(relationOf)
    case "Either": {
      const arms = claim.arms.map((arm) => new Set(arm.flatMap((part) => realRelations(analyzed, part))))
      return [...(arms[0] ?? [])].filter((relation) => arms.every((arm) => arm.has(relation)))
    }
    case "Real":
      return claim.relations
    case "Link":
    case "NotDistinct":
    case "Given":
    case "Never":
      return []
  }
}

/** A NULL-extended row may satisfy it. */
const isLoose = (claim: Claim): boolean => claim._tag === "NotDistinct"

/** What is left of a claim that is believed but for some kinds: an arm then says less, and is an arm still. */
const without = (claim: Claim, isLeftOut: (claim: Claim) => boolean): ReadonlyArray<Claim> => {
  if (isLeftOut(claim)) return []
  if (claim._tag !== "Either") return [claim]
  return [{ _tag: "Either", arms: claim.arms.map((arm) => arm.flatMap((part) => without(part, isLeftOut))) }]
}

/** An integer and a numeric of one value hash apart. */
const isSame = (analyzed: Analyzed, classes: Classes.Classes, left: ColumnId, right: ColumnId): boolean =>
  classes.alike(left, right) && columnAt(analyzed, left).family === columnAt(analyzed, right).family

const choicesOf = (
  analyzed: Analyzed,
  classes: Classes.Classes,
  claims: ReadonlyArray<Claim>,
  column: ColumnId
): ReadonlyArray<Choice> =>
  claims.flatMap((claim): ReadonlyArray<Choice> => {
    switch (claim._tag) {
      case "Is":
        return isSame(analyzed, classes, claim.column, column) ? [{ _tag: "Operands", operands: claim.operands }] : []
      case "AnyOf":
        return isSame(analyzed, classes, claim.column, column) ? [{ _tag: "Elements", param: claim.param }] : []
      case "Either": {
        const arms = claim.arms.map((arm) => {
          const choices = choicesOf(analyzed, Classes.extend(classes, arm), arm, column)
          return choices.find((choice) => choice._tag === "Operands")?.operands
        })
        const known = arms.filter((operands) => operands !== undefined)
        return known.length < arms.length ? [] : [{ _tag: "Operands", operands: known.flat() }]
      }
      case "Same":
      case "Link":
      case "Compared":
      case "NotDistinct":
      case "Given":
      case "Tuples":
      case "Real":
      case "Never":
        return []
    }
  })

/**
 * The keys that a tuple of columns can have under the closure.
 *
 * Of a row that comes out of a block, to be stored elsewhere, only values count: a range may have keys in it that no
 * shard owns. And a column that is a parameter may be NULL, which is a key.
 *
 * @since 0.1.0
 * @category functions
 */
export const constraintOf = (
  closed: Closure,
  key: ReadonlyArray<ColumnId>,
  types: ReadonlyArray<KeyType>
): Constraint.Constraint => {
  if (closed.never) return Constraint.nothing
  if (closed.isLeaf) return limits(closed.classes, closed.claims, key, types)
  return stored(
    limits(
      closed.classes,
      closed.claims.flatMap((claim) => without(claim, isNoValue)),
      key,
      types
    )
  )
}

const isNoValue = (claim: Claim): boolean =>
  claim._tag === "Compared" || claim._tag === "NotDistinct" || (claim._tag === "AnyOf" && claim.orNull)

const stored = (constraint: Constraint.Constraint): Constraint.Constraint => {
  switch (constraint._tag) {
    case "Equals":
      return Constraint.stored(constraint.operands)
    case "Is":
      return Constraint.notDistinct(constraint.column, constraint.operand)
    case "And":
      return Constraint.and(constraint.parts.map(stored))
    case "Or":
      return Constraint.or(constraint.parts.map(stored))
    case "Unknown":
    case "Nothing":
    case "Stored":
    case "AnyOf":
    case "Compared":
    case "NotDistinct":
    case "Given":
      return constraint
  }
}
