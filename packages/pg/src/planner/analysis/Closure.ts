/**
 * Which keys can a row have, if it is to matter? And which rows are sure to share a shard?
 *
 * A row of leaf X *matters* if, for some contents of all tables, taking it away changes the answer. Rows that do not
 * matter may be missing: a shard that holds all rows that matter answers for all. Taken away one after another, so a
 * claim made for any contents holds for all of them together.
 *
 * Proof sketch. Let x be a row of X that matters, in block B.
 * - WHERE and inner ON of B: x changes the answer through a row combination that satisfies them, so their facts hold
 *   for it. An equality that is satisfied has no NULL on either side.
 * - `L LEFT JOIN R ON p`, X in R: x appears or disappears in a pair (l, x) with p true, and in its place (l, NULL) may
 *   disappear or appear. One of both must satisfy the rest. What the rest says of l holds for l either way; if it says
 *   an equality of R's columns, (l, NULL) fails it, so (l, x) satisfies all. So p, and the facts inside R, hold (X is in
 *   the guard), and so do the facts of the rest.
 * - X in L: p may be false for every r, so p and the facts inside R count only if the rest demands that R is real: an
 *   active equality of a column of R (`Real`, `Same`, `Is`...). This is the fixpoint below. FULL JOIN has both guards.
 * - Derived tables: a row of D stems from a combination inside of it that satisfies D's facts, unless D aggregates
 *   without GROUP BY or is a set operation (`exports`). From inside, x changes only D's rows with equal plain output
 *   columns, so what the outside says of such a column holds for x, unless D looks at other rows to decide which
 *   ones come out (LIMIT, window, DISTINCT ON, columns that are not grouped by): a `Link` that does not `import`.
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
import * as Either from "effect/Either"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import type { Analyzed, Block, BlockId, Claim, ColumnId, Fact, GuardId, RelationId } from "./Model.js"

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

type Tuples = Extract<Claim, { readonly _tag: "Tuples" }>

/** @since 0.1.0 @category models */
export interface Closure {
  /** The facts contradict each other: nothing matters. */
  readonly never: boolean
  readonly same: (left: ColumnId, right: ColumnId) => boolean
  readonly choices: (column: ColumnId) => ReadonlyArray<Choice>
  readonly tuples: ReadonlyArray<Tuples>
  readonly isGuardActive: (guard: GuardId) => boolean
}

/** @since 0.1.0 @category functions */
export const closure = (analyzed: Analyzed, viewpoint: Viewpoint): Closure => {
  const path = pathOf(analyzed, viewpoint)
  const guards = activeGuards(analyzed, path)
  const pending = new Set(analyzed.facts.filter((fact) => isVisible(analyzed, path, fact)))
  const active: Array<Claim> = []
  for (let grown = true; grown;) {
    grown = false
    for (const fact of pending) {
      if (!fact.guards.every(guards.isActive)) continue
      pending.delete(fact)
      active.push(fact.claim)
      for (const relation of realRelations(analyzed, fact.claim)) guards.activate(relation)
      grown = true
    }
  }
  return close(active, guards.isActive)
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

const activeGuards = (analyzed: Analyzed, path: Path) => {
  const active = new Set<GuardId>()
  const guardsOf = new Map<RelationId, Array<GuardId>>()
  for (const [guard, { relations }] of analyzed.guards.entries()) {
    for (const relation of relations) {
      guardsOf.set(relation, [...(guardsOf.get(relation) ?? []), guard])
      if (path.members.has(relation)) active.add(guard)
    }
  }
  return {
    isActive: (guard: GuardId) => active.has(guard),
    activate: (relation: RelationId) => {
      for (const guard of guardsOf.get(relation) ?? []) active.add(guard)
    }
  }
}

/** The relations that must be real for the claim to hold. A link is an identity: NULL on both sides fits it. */
const realRelations = (analyzed: Analyzed, claim: Claim): ReadonlyArray<RelationId> => {
  const relationOf = (column: ColumnId) => analyzed.columns[column]?.relation ?? -1
  switch (claim._tag) {
    case "Same":
      return [relationOf(claim.left), relationOf(claim.right)]
    case "Is":
    case "AnyOf":
      return [relationOf(claim.column)]
    case "Tuples":
      return claim.columns.map(relationOf)
    case "Real":
      return claim.relations
    case "Link":
    case "Never":
      return []
  }
}

const close = (claims: ReadonlyArray<Claim>, isGuardActive: (guard: GuardId) => boolean): Closure => {
  const parents = new Map<ColumnId, ColumnId>()
  const find = (column: ColumnId): ColumnId => {
    let root = column
    for (let next = parents.get(root); next !== undefined; next = parents.get(root)) root = next
    return root
  }
  const unite = (left: ColumnId, right: ColumnId) => {
    const [one, other] = [find(left), find(right)]
    if (one !== other) parents.set(one, other)
  }
  for (const claim of claims) {
    if (claim._tag === "Same") unite(claim.left, claim.right)
    if (claim._tag === "Link") unite(claim.outer, claim.inner)
  }
  const choices = new Map<ColumnId, Array<Choice>>()
  const choose = (column: ColumnId, choice: Choice) => {
    const root = find(column)
    const before = choices.get(root) ?? []
    const isKnown = before.some((other) => JSON.stringify(other) === JSON.stringify(choice))
    if (!isKnown) choices.set(root, [...before, choice])
  }
  for (const claim of claims) {
    if (claim._tag === "Is") choose(claim.column, { _tag: "Operands", operands: claim.operands })
    if (claim._tag === "AnyOf") choose(claim.column, { _tag: "Elements", param: claim.param })
  }
  return {
    never: claims.some((claim) => claim._tag === "Never") || [...choices.values()].some(isContradiction),
    same: (left, right) => find(left) === find(right),
    choices: (column) => choices.get(find(column)) ?? [],
    tuples: claims.filter((claim) => claim._tag === "Tuples"),
    isGuardActive
  }
}

/** No constant is in all of the lists that hold constants only. */
const isContradiction = (choices: ReadonlyArray<Choice>): boolean => {
  let common: ReadonlySet<string> | undefined
  for (const choice of choices) {
    if (choice._tag === "Elements") continue
    const parts = choice.operands.flatMap((operand) =>
      operand._tag === "Constant" && operand.part !== null ? [operand.part] : []
    )
    if (parts.length < choice.operands.length) continue
    const found: ReadonlySet<string> = new Set(parts)
    const before: ReadonlySet<string> | undefined = common
    common = before === undefined ? found : new Set([...found].filter((part) => before.has(part)))
    if (common.size === 0) return true
  }
  return false
}

/** Lists of one column are crossed with those of the others up to this many keys; beyond it a list is not used. */
const tuplesMax = 10_000

/** This many combinations of one list a column are used: more say little more. */
const combinationsMax = 8

/**
 * The keys that a tuple of columns can have under the closure.
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
  const lists = key.map((column, index) => closed.choices(column).map((choice) => inType(choice, types[index])))
  const single = lists.length === 1 ? lists[0] : undefined
  const crossed = single === undefined ? crossedConstraints(lists) : single.map(choiceConstraint)
  const rows = closed.tuples.flatMap((tuples) => tuplesConstraint(closed, tuples, key, types, lists))
  return Constraint.and([...crossed, ...rows])
}

const choiceConstraint = (choice: Choice): Constraint.Constraint =>
  choice._tag === "Elements"
    ? Constraint.anyOf(choice.param)
    : Constraint.or(choice.operands.map((operand) => Constraint.equals([operand])))

const crossedConstraints = (lists: ReadonlyArray<ReadonlyArray<Choice>>): ReadonlyArray<Constraint.Constraint> => {
  let combinations: ReadonlyArray<ReadonlyArray<ReadonlyArray<Operand>>> = [[]]
  for (const list of lists) {
    const operands = list.flatMap((choice) => (choice._tag === "Operands" ? [choice.operands] : []))
    combinations = combinations
      .flatMap((before) => operands.map((choice) => [...before, choice]))
      .slice(0, combinationsMax)
  }
  return combinations.flatMap((combination) => {
    if (combination.reduce((count, choice) => count * choice.length, 1) > tuplesMax) return []
    return [Constraint.or(cross(combination).map((operands) => Constraint.equals(operands)))]
  })
}

const cross = (choices: ReadonlyArray<ReadonlyArray<Operand>>): ReadonlyArray<ReadonlyArray<Operand>> =>
  choices.reduce<ReadonlyArray<ReadonlyArray<Operand>>>(
    (rows, choice) => rows.flatMap((row) => choice.map((operand) => [...row, operand])),
    [[]]
  )

/** `(a, b) IN (…)`: rows for the key columns it names; a key column it leaves out needs one known operand. */
const tuplesConstraint = (
  closed: Closure,
  tuples: Tuples,
  key: ReadonlyArray<ColumnId>,
  types: ReadonlyArray<KeyType>,
  lists: ReadonlyArray<ReadonlyArray<Choice>>
): ReadonlyArray<Constraint.Constraint> => {
  const places = key.map((column) => tuples.columns.findIndex((named) => closed.same(named, column)))
  if (places.every((place) => place < 0)) return []
  const fixed = lists.map(
    (list) =>
      list.flatMap((choice) => (choice._tag === "Operands" && choice.operands.length === 1 ? choice.operands : []))[0]
  )
  const rows = tuples.rows.map((row) =>
    key.map((_, index) => {
      const place = places[index] ?? -1
      const operand = place < 0 ? fixed[index] : row[place]
      return operand === undefined ? undefined : operandIn(operand, types[index])
    })
  )
  if (key.some((_, index) => (places[index] ?? -1) < 0 && fixed[index] === undefined)) return []
  return [Constraint.or(rows.flatMap((row) => (row.every(isOperand) ? [Constraint.equals(row)] : [])))]
}

const isOperand = (operand: Operand | undefined): operand is Operand => operand !== undefined

const inType = (choice: Choice, type: KeyType | undefined): Choice =>
  choice._tag === "Elements"
    ? choice
    : {
        _tag: "Operands",
        operands: choice.operands.flatMap((operand) => {
          const typed = operandIn(operand, type)
          return typed === undefined ? [] : [typed]
        })
      }

/** The operand as a value of the key's own type; a constant outside of its range equals no key. */
const operandIn = (operand: Operand, type: KeyType | undefined): Operand | undefined => {
  if (type === undefined) throw new Error("a key has more columns than types")
  if (operand._tag === "Param") return operand
  const part = KeyValue.canonical(type, operand.part)
  return Either.isRight(part) && part.right !== null ? { _tag: "Constant", part: part.right } : undefined
}
